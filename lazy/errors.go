package lazy

import "errors"

var (
	// ErrCorrupt: bytes do not have the digest that the layer index names.
	ErrCorrupt = errors.New("content does not match its digest")
	// ErrClosed: the loader or its group was closed.
	ErrClosed = errors.New("loader is closed")
)
