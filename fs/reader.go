package fs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/shalefs/shalefs/index"
	"github.com/shalefs/shalefs/index/tarx"
	"github.com/shalefs/shalefs/lazy/cache"
)

// A streamReader is an index.TarReader that wants to know which reads belong together,
// to read ahead: *lazy.Loader. key stands for the file, end is where its bytes end in the tar.
type streamReader interface {
	ReadStream(ctx context.Context, key uint64, p []byte, off, end int64) (int, error)
}

// A LayerContent reads the files of a tree from its layers' tar streams. It may be
// used from several goroutines.
type LayerContent struct {
	tree    *Tree
	readers []index.TarReader
	cache   *cache.Cache

	mu     sync.Mutex
	sparse map[Ino]sparseExtent // a few, for sparse maps can be long

	seals     seals
	foresight *foresight // nil unless Foresee was called
}

var _ Content = (*LayerContent)(nil)

// NewContent returns the content of a tree whose layers' tar streams are read by
// readers, in the order of Merge's layers. A reader with a ReadStream method, as
// *lazy.Loader has it, is told of streams. c is the cache that the readers keep large
// files in, for Backing; nil for none. Close it before the readers and the cache.
func NewContent(t *Tree, readers []index.TarReader, c *cache.Cache) *LayerContent {
	l := &LayerContent{tree: t, readers: readers, cache: c}
	l.seals.init()
	return l
}

// Close ends what goes on in the background.
func (c *LayerContent) Close() error {
	c.foresight.close()
	c.seals.close()
	return nil
}

type sparseExtent struct {
	ext Extent
	r   *index.FileReader
}

// maxSparse is how many sparse maps are kept.
const maxSparse = 32

// ReadAt is part of Content.
func (c *LayerContent) ReadAt(ctx context.Context, ino Ino, p []byte, off int64) (int, error) {
	ext, r, err := c.open(ino)
	if err != nil {
		return 0, err
	}
	foreseen := off > 0 || c.foresight.begun(ino, ext.Layer)
	n, err := r.ReadAt(ctx, p, off)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, fmt.Errorf("layer %d: %q at %d: %w", ext.Layer, c.tree.Path(ino), off, err)
	}
	if !foreseen {
		c.foresight.read(ino, p[:n])
	}
	return n, err
}

// open returns a reader of the file.
func (c *LayerContent) open(ino Ino) (Extent, *index.FileReader, error) {
	c.mu.Lock()
	s, ok := c.sparse[ino]
	c.mu.Unlock()
	if ok {
		return s.ext, s.r, nil
	}
	ext, err := c.tree.Open(ino)
	if err != nil {
		return ext, nil, err
	}
	tr := c.readers[ext.Layer]
	if sr, ok := tr.(streamReader); ok {
		tr = fileStream{sr, uint64(ino), ext.Off + ext.Stored}
	}
	r := index.File(tr, ext.fileEntry())
	if ext.Sparse != nil {
		c.mu.Lock()
		if len(c.sparse) >= maxSparse || c.sparse == nil {
			c.sparse = map[Ino]sparseExtent{}
		}
		c.sparse[ino] = sparseExtent{ext, r}
		c.mu.Unlock()
	}
	return ext, r, nil
}

// fileEntry is as much of the entry as index.File wants.
func (e *Extent) fileEntry() *tarx.Entry {
	return &tarx.Entry{Off: e.Off, Stored: e.Stored, Size: e.Size, Sparse: e.Sparse}
}

// NextData returns the least offset >= off that holds data, as SEEK_DATA does; ok is
// false when only a hole follows, or nothing.
func (e *Extent) NextData(off int64) (at int64, ok bool) {
	return index.File(nil, e.fileEntry()).NextData(off)
}

// NextHole returns the least offset >= off where a hole starts, as SEEK_HOLE does; the
// end of the file counts as one. ok is false past the end.
func (e *Extent) NextHole(off int64) (at int64, ok bool) {
	return index.File(nil, e.fileEntry()).NextHole(off)
}

// fileStream is the part of a layer's stream that one file lies in.
type fileStream struct {
	r   streamReader
	key uint64
	end int64
}

func (s fileStream) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	return s.r.ReadStream(ctx, s.key, p, off, s.end)
}
