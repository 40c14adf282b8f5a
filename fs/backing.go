package fs

import (
	"context"
	"errors"
	"io"
	"sync"

	"github.com/shalefs/shalefs/index"
	"github.com/shalefs/shalefs/index/tarx"
	"github.com/shalefs/shalefs/lazy/cache"
)

// A BackingFile is a local file with exactly the bytes of an inode. As long as it is
// open nothing in it changes. *os.File is one.
type BackingFile interface {
	Fd() uintptr
	io.Closer
}

// largeFiler is a layer that knows which of its files are cache objects of their own: *index.Layer.
type largeFiler interface {
	LargeFile(stored, off int64) (cache.Key, bool)
}

// Backing returns the file of a large file that is complete in the cache, not sparse,
// and sealed: hashed once more since it came from the disk. One that is complete and not
// sealed is sealed in the background, for the next time. It is what package fusefs calls a Backer.
func (c *LayerContent) Backing(ino Ino) (BackingFile, bool) {
	if c.cache == nil || c.tree.Kind(ino) != tarx.Regular || c.tree.rec(ino).size < index.LargeBytes {
		return nil, false
	}
	ext, err := c.tree.Open(ino)
	if err != nil || ext.Sparse != nil || ext.Size != ext.Stored || ext.Size == 0 {
		return nil, false
	}
	l, ok := c.tree.layers[ext.Layer].(largeFiler)
	if !ok {
		return nil, false
	}
	key, ok := l.LargeFile(ext.Stored, ext.Off)
	if !ok {
		return nil, false
	}
	o, err := c.cache.Object(key, ext.Stored)
	if err != nil {
		return nil, false
	}
	if !o.Complete() || !o.Sealed() {
		if o.Complete() {
			c.seals.seal(o)
		} else {
			_ = o.Close() // nothing was written
		}
		return nil, false
	}
	// A layer that was refuted refuses this read.
	if _, err := c.readers[ext.Layer].ReadAt(context.Background(), make([]byte, 1), ext.Off); err != nil {
		_ = o.Close() // nothing was written
		return nil, false
	}
	f, err := o.File()
	if err != nil {
		_ = o.Close() // nothing was written
		return nil, false
	}
	return &backingFile{f, o}, true
}

// A backingFile keeps the cache object open as long as the file.
type backingFile struct {
	*cache.File
	o *cache.Object
}

// Close gives both back.
func (f *backingFile) Close() error { return errors.Join(f.File.Close(), f.o.Close()) }

// seals seals objects in the background, one at a time.
type seals struct {
	ctx    context.Context // ends with close
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu     sync.Mutex
	busy   bool // guarded by mu
	closed bool // guarded by mu
}

func (s *seals) init() { s.ctx, s.cancel = context.WithCancel(context.Background()) }

// seal takes over the object. While another is being sealed it does nothing: the next
// open of the file will ask again.
func (s *seals) seal(o *cache.Object) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.busy || s.closed {
		_ = o.Close() // nothing was written
		return
	}
	s.busy = true
	s.wg.Go(func() {
		_ = o.Seal(s.ctx) // an object that is not sealed is read in the other way
		_ = o.Close()
		s.mu.Lock()
		s.busy = false
		s.mu.Unlock()
	})
}

func (s *seals) close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.cancel()
	s.wg.Wait()
}
