package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"os"
	"strings"
	"syscall"

	"github.com/shalefs/shalefs/cmd/internal/daemon"
	"github.com/shalefs/shalefs/layout"
	"github.com/shalefs/shalefs/lazy"
)

// The exit codes. "shalefs help exit-codes" lists them.
const (
	exitOK           = 0
	exitFailure      = 1 // anything that has no code of its own
	exitUsage        = 2 // wrong flags or arguments
	exitNotFound     = 3 // the reference, or a path in the image, does not exist
	exitUnauthorized = 4 // the registry refused the credentials
	exitUnavailable  = 5 // the registry could not be reached, or a deadline passed
	exitCorrupt      = 6 // bytes do not have the digest that names them, or break their format
	exitUnsupported  = 7 // a part of the image is of a kind that is refused
	exitMount        = 8 // the mount itself: no /dev/fuse, a busy or missing mount point
	exitDifferent    = 9 // "check" or "index verify" found something to report
	exitInterrupted  = 130
)

// A failure is an error with an exit code and, perhaps, a hint.
type failure struct {
	err  error
	code int
	hint string
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

func usageError(format string, a ...any) error {
	return &failure{err: fmt.Errorf(format, a...), code: exitUsage}
}

func mountError(hint string, err error) error {
	return &failure{err: err, code: exitMount, hint: hint}
}

// fail prints an error as "error:" and "hint:" lines, or tells the parent process
// of a mount in the background, and returns the exit code.
func fail(w io.Writer, err error) int {
	code, hint := classify(err)
	text := printable(err.Error())
	if daemon.Failed(text, hint, code) {
		return code
	}
	for line := range strings.SplitSeq(strings.TrimRight(text, "\n"), "\n") {
		fmt.Fprintf(w, "shalefs: error: %s\n", line)
	}
	if hint != "" {
		fmt.Fprintf(w, "shalefs: hint: %s\n", hint)
	}
	return code
}

// classify finds the exit code and the hint of an error.
func classify(err error) (code int, hint string) {
	var f *failure
	var child *daemon.ChildError
	switch {
	case errors.As(err, &f):
		return f.code, f.hint
	case errors.As(err, &child):
		return child.Code, child.Hint
	case errors.Is(err, layout.ErrUnauthorized):
		return exitUnauthorized, "log in with \"skopeo login\" or \"docker login\", or name a file with --authfile"
	case errors.Is(err, layout.ErrAmbiguous):
		return exitNotFound, "name one of them, or its digest"
	case errors.Is(err, layout.ErrNotFound), errors.Is(err, iofs.ErrNotExist):
		return exitNotFound, ""
	case errors.Is(err, layout.ErrDigest), errors.Is(err, layout.ErrChanged), errors.Is(err, lazy.ErrCorrupt):
		return exitCorrupt, "the bytes are not what their digest promises: nothing of them was used"
	case errors.Is(err, layout.ErrUnsupported), errors.Is(err, layout.ErrTooLarge):
		return exitUnsupported, ""
	case errors.Is(err, context.Canceled):
		return exitInterrupted, ""
	case errors.Is(err, layout.ErrUnavailable), errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return exitUnavailable, ""
	case errors.Is(err, syscall.EPIPE):
		return exitOK, ""
	case errors.Is(err, layout.ErrInvalid):
		return exitCorrupt, ""
	}
	return exitFailure, ""
}
