package cache

import "errors"

var (
	// ErrMissing: the chunk, object or document is not in the cache.
	ErrMissing = errors.New("not in the cache")
	// ErrFull: the cache is at its limit and takes nothing until something was evicted.
	ErrFull = errors.New("cache is full")
	// ErrClosed: the cache or the object was closed.
	ErrClosed = errors.New("cache is closed")
	// ErrDamaged: an object is complete and does not have the digest that names it.
	ErrDamaged = errors.New("cached object is damaged")
)
