package tarx

import (
	"errors"
	"fmt"
)

var (
	// ErrFormat: the stream is not a tar, or a record breaks the format.
	ErrFormat = errors.New("broken tar")
	// ErrUnsupported: a record is of a kind that is refused by name, or no
	// filesystem could hold it (ENT-6, ENT-12, ENT-17, ENT-34, MRG-7).
	ErrUnsupported = errors.New("unsupported tar entry")
	// ErrTooLarge: a record is over a limit of Options (ERR-6).
	ErrTooLarge = errors.New("tar record too large")
	// ErrBudget: a walk would need more requests or bytes than WalkOptions allows.
	ErrBudget = errors.New("walk over its budget")
)

// An Error is a tar that cannot be used. It wraps one of the package's sentinels,
// or io.ErrUnexpectedEOF for a stream that ends early.
type Error struct {
	Off  int64  // offset in the tar stream of the record or block
	Path string // the entry's path as far as it was known, not yet safe to print
	Err  error
}

func (e *Error) Error() string {
	if e.Path == "" {
		return fmt.Sprintf("tar offset %d: %v", e.Off, e.Err)
	}
	return fmt.Sprintf("tar offset %d, %q: %v", e.Off, e.Path, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

func formatf(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrFormat, fmt.Sprintf(format, args...))
}

func unsupportedf(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrUnsupported, fmt.Sprintf(format, args...))
}

func tooLarge(what string, n, limit int64, option string) error {
	return fmt.Errorf("%w: %s of %d, limit %d (%s)", ErrTooLarge, what, n, limit, option)
}
