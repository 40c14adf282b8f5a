package fs

import "github.com/shalefs/shalefs/index/tarx"

// A Layer is the list of one layer's entries in the order of its archive, whiteouts
// included. Its methods may be called from several goroutines. *index.Layer is one.
type Layer interface {
	// NumEntries is the number of entries.
	NumEntries() int
	// Entry fills e with entry i, 0 <= i < NumEntries. Strings and slices in e stay
	// valid and unchanged as long as the layer is open.
	Entry(i int, e *tarx.Entry) error
}

// A releaser is a layer with memory that can be given back and returns by itself when it is
// read again: *index.Layer.
type releaser interface{ Release() }

func release(l Layer) {
	if r, ok := l.(releaser); ok {
		r.Release()
	}
}

// DefaultMaxEntries is the greatest number of entries of an image (ERR-6).
const DefaultMaxEntries = 20_000_000

// Options for Merge. The zero value works.
type Options struct {
	// MaxEntries is the greatest number of entries of all layers together, and
	// also of files and directories that they make (a single long path makes
	// many). Default: DefaultMaxEntries.
	MaxEntries int
}

func (o Options) maxEntries() int {
	if o.MaxEntries <= 0 {
		return DefaultMaxEntries
	}
	return o.MaxEntries
}

// Limits that are not options.
const (
	maxSymlinks  = 40   // symlinks followed on the way to one path (MRG-26, ERR-9)
	maxName      = 255  // bytes of one part of a path (ENT-17)
	maxTarget    = 4095 // bytes of a symlink's target (ENT-34)
	maxLayers    = 1<<16 - 2
	maxNamesHeap = 1<<32 - 1 // bytes of all names, each with one byte of length
)
