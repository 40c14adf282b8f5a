package index

import (
	"errors"
	"fmt"

	"github.com/shalefs/shalefs/lazy"
)

var (
	// ErrVersion: the index file was written by another version of the format.
	// It is built again, not repaired.
	ErrVersion = errors.New("unknown version")
	// ErrMismatch: an index does not belong to the layer that it is opened for.
	ErrMismatch = errors.New("index of another layer")
	// ErrLayer: the layer cannot be indexed: its blob or its tar does not have the
	// digest it should have, its compression is broken, or its tar is.
	ErrLayer = errors.New("broken layer")
	// ErrExpands: a layer decodes to more bytes than allowed (ERR-7).
	ErrExpands = errors.New("layer expands too much")
	// ErrDiffer: an index is not what building it again gives.
	ErrDiffer = errors.New("index differs from its layer")
)

// A FileError is an index file that breaks the format. It wraps lazy.ErrCorrupt.
type FileError struct {
	Section string // the part of the file
	Off     int64  // offset in that part, in bytes
	Msg     string
}

func (e *FileError) Error() string {
	return fmt.Sprintf("layer index, %s, offset %d: %s", e.Section, e.Off, e.Msg)
}

func (e *FileError) Unwrap() error { return lazy.ErrCorrupt }

func corrupt(section string, off int64, format string, args ...any) error {
	return &FileError{Section: section, Off: off, Msg: fmt.Sprintf(format, args...)}
}

// A SumError is content that does not have the digest that the index says. It wraps
// lazy.ErrCorrupt.
type SumError struct {
	Off       int64 // offset in the tar stream
	Len       int
	Want, Got [32]byte // blake3
}

func (e *SumError) Error() string {
	return fmt.Sprintf("tar offset %d, %d bytes: blake3 is %x, not %x", e.Off, e.Len, e.Got, e.Want)
}

func (e *SumError) Unwrap() error { return lazy.ErrCorrupt }
