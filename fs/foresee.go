package fs

import (
	"context"
	"errors"
	"io"
	"path"
	"strings"
	"sync"

	"github.com/shalefs/shalefs/fs/dynlink"
	"github.com/shalefs/shalefs/index/tarx"
)

// An aheadReader can fetch before it is asked: *lazy.Loader.
type aheadReader interface {
	// Far says whether to ask is expensive.
	Far() bool
	// Ahead fetches the bytes [off, end) of the tar stream, and does not wait for them.
	Ahead(off, end int64)
}

// The bounds of what is foreseen.
const (
	maxForeseen  = 4096 // objects of one mount
	foreseeOnce  = 8    // objects at a time
	maxForeseeTo = 16 << 20
)

// libraryDirs are where a dynamic linker looks for libraries; also directories in them whose name
// is that of a system, like x86_64-linux-gnu.
var libraryDirs = []string{"lib", "usr/lib", "usr/local/lib", "lib64", "usr/lib64"}

// A foresight reads ahead what a dynamic linker is about to read: when the beginning of a program
// or library comes from afar, it asks for its tables, its writable segments and the libraries that it
// needs, all at the same time, where the linker takes one step after the other.
// See package dynlink.
type foresight struct {
	c      *LayerContent
	ctx    context.Context // ends with the content
	cancel context.CancelFunc
	wg     sync.WaitGroup
	slots  chan struct{}

	mu   sync.Mutex // guards what follows
	seen map[Ino]struct{}
	dirs []Ino // of libraries; nil until they are needed
}

// Foresee begins to read ahead what the dynamic linker of a program will want, until
// Close. Call it before the first read.
func (c *LayerContent) Foresee() {
	f := &foresight{c: c, slots: make(chan struct{}, foreseeOnce), seen: map[Ino]struct{}{}}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	c.foresight = f
}

func (f *foresight) close() {
	if f == nil {
		return
	}
	f.mu.Lock() // what was begun is waited for, and nothing begins after it
	f.cancel()
	f.mu.Unlock()
	f.wg.Wait()
}

// read is told that p was read from the beginning of a file.
func (f *foresight) read(ino Ino, layer int, p []byte) {
	if f == nil || !dynlink.IsObject(p) {
		return
	}
	r, ok := f.c.readers[layer].(aheadReader)
	if !ok || !r.Far() {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := f.seen[ino]; ok || len(f.seen) >= maxForeseen || f.ctx.Err() != nil {
		return
	}
	f.seen[ino] = struct{}{}
	f.wg.Go(func() {
		select {
		case f.slots <- struct{}{}:
			defer func() { <-f.slots }()
			f.object(ino, r)
		case <-f.ctx.Done():
		}
	})
}

// object reads ahead for one object. What goes wrong is for those to see who read it
// themselves.
func (f *foresight) object(ino Ino, r aheadReader) {
	ext, err := f.c.tree.Open(ino)
	if err != nil || ext.Sparse != nil {
		return
	}
	o, err := dynlink.Read(contentAt{f, ino}, ext.Size)
	if err != nil {
		return
	}
	dir := path.Dir(f.c.tree.Path(ino))
	if o.Interp != "" {
		f.library(f.file(o.Interp))
	}
	for _, name := range o.Needed {
		f.library(f.find(name, dir, o.RunPath))
	}
	for _, part := range o.Reads {
		if part.End-part.Off <= maxForeseeTo {
			r.Ahead(ext.Off+part.Off, ext.Off+part.End)
		}
	}
}

// library reads the beginning of a file, which makes it the next object.
func (f *foresight) library(ino Ino, ok bool) {
	if !ok {
		return
	}
	f.mu.Lock()
	_, seen := f.seen[ino]
	f.mu.Unlock()
	if seen {
		return
	}
	f.wg.Go(func() {
		var p [4096]byte
		_, _ = f.c.ReadAt(f.ctx, ino, p[:], 0)
	})
}

// find finds a library as a dynamic linker does, but for what is configured in the image.
func (f *foresight) find(name, dir string, runPath []string) (Ino, bool) {
	if strings.Contains(name, "/") {
		return f.file(name)
	}
	for _, d := range runPath {
		d = strings.ReplaceAll(strings.ReplaceAll(d, "${ORIGIN}", dir), "$ORIGIN", dir)
		if ino, ok := f.file(d + "/" + name); ok {
			return ino, true
		}
	}
	for _, d := range f.libraryDirs() {
		if ino, ok := f.file(f.c.tree.Path(d) + "/" + name); ok {
			return ino, true
		}
	}
	return 0, false
}

// file resolves the path of a regular file.
func (f *foresight) file(name string) (Ino, bool) {
	ino, err := f.c.tree.Resolve(name, false)
	return ino, err == nil && f.c.tree.Kind(ino) == tarx.Regular
}

func (f *foresight) libraryDirs() []Ino {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.dirs != nil {
		return f.dirs
	}
	f.dirs = []Ino{}
	seen := map[Ino]bool{}
	add := func(d Ino) {
		if !seen[d] && f.c.tree.Kind(d) == tarx.Directory {
			seen[d] = true
			f.dirs = append(f.dirs, d)
		}
	}
	for _, name := range libraryDirs {
		d, err := f.c.tree.Resolve(name, false)
		if err != nil || seen[d] {
			continue
		}
		f.c.tree.ReadDir(d, 0, func(_ int, name string, child Ino) bool {
			if strings.Contains(name, "-linux-") {
				add(child)
			}
			return true
		})
		add(d)
	}
	return f.dirs
}

// contentAt reads a file for dynlink.
type contentAt struct {
	f   *foresight
	ino Ino
}

func (a contentAt) ReadAt(p []byte, off int64) (int, error) {
	n, err := a.f.c.ReadAt(a.f.ctx, a.ino, p, off)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, err
	}
	return n, err
}
