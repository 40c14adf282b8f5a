package fs

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/shalefs/shalefs/fs/dynlink"
	"github.com/shalefs/shalefs/fs/pyimport"
	"github.com/shalefs/shalefs/index"
	"github.com/shalefs/shalefs/index/tarx"
	"github.com/shalefs/shalefs/lazy"
)

// An aheadReader can fetch before it is asked: *lazy.Loader.
type aheadReader interface {
	index.TarReader
	// Far says whether to ask is expensive.
	Far() bool
	// Ahead fetches ranges of the tar stream, and does not wait for them.
	Ahead(ranges ...lazy.Range)
}

// The bounds of what is foreseen.
const (
	maxForeseen  = 1 << 15   // files of one mount
	maxChases    = 8         // at a time
	maxForeseeTo = 16 << 20  // bytes of one part of a file,
	maxAhead     = 64 << 20  // and of all that are asked for together
	foreseeWhole = 6 << 20   // bytes up to which all of a file is taken to be wanted when it is,
	foreseeStart = 256 << 10 // and how much of a larger one
	crowd        = 2         // files of a directory after which the others are wanted too,
	maxCrowd     = 8 << 20   // if they have no more bytes than that, where a file counts as minFile at least
	minFile      = 2 << 10

	walkStep  = 64 // who reads a tree comes this much further with each file, or less, in the tree's order
	walkScore = 4  // and who did that so much more often than anything else is taken to do it
	maxScore  = 16
)

// A foresight reads ahead what a file that was read says will be read next: a program or library,
// its tables and the libraries that it needs (package dynlink), a Python module those that it
// imports (package pyimport), and so on from file to file. What reads them takes one step
// after the other; here all files that are known at a time are asked for together.
type foresight struct {
	c      *LayerContent
	ctx    context.Context // ends with the content
	cancel context.CancelFunc
	wg     sync.WaitGroup
	slots  chan struct{}

	mu   sync.Mutex // guards what follows
	seen map[Ino]struct{}
	from map[Ino]int // files that were named, by directory
	last Ino         // the file read last
	walk int         // how much the reads look like those of somebody who reads a whole tree

	libraries libraryPath
	modules   modulePath
}

// Foresee begins to read ahead what files say will be read next, until Close. Call it
// before the first read.
func (c *LayerContent) Foresee() {
	f := &foresight{c: c, slots: make(chan struct{}, maxChases), seen: map[Ino]struct{}{}, from: map[Ino]int{}}
	f.libraries.tree, f.modules.tree = c.tree, c.tree
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
	if f == nil {
		return
	}
	if r, ok := f.c.readers[layer].(aheadReader); !ok || !r.Far() || f.walking(ino) || !f.tells(ino, p) {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.take(ino) {
		return
	}
	f.wg.Go(func() {
		select {
		case f.slots <- struct{}{}:
			defer func() { <-f.slots }()
			f.chase(ino)
		case <-f.ctx.Done():
		}
	})
}

// walking notes that the beginning of a file was read, and says whether that looks like somebody who reads a whole
// tree: what files say tells nothing about what he reads next.
func (f *foresight) walking(ino Ino) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if ino > f.last && ino-f.last <= walkStep {
		f.walk = min(f.walk+1, maxScore)
	} else if ino != f.last {
		f.walk = max(f.walk-2, 0)
	}
	f.last = ino
	return f.walk >= walkScore
}

// tells says whether a file that begins with p may say what is read next.
func (f *foresight) tells(ino Ino, p []byte) bool {
	return dynlink.IsObject(p) || pyimport.IsCompiled(p) || f.modules.isSource(ino)
}

// take says whether a file is to be looked at, which happens once. The caller holds f.mu.
func (f *foresight) take(ino Ino) bool {
	if _, ok := f.seen[ino]; ok || len(f.seen) >= maxForeseen || f.ctx.Err() != nil {
		return false
	}
	f.seen[ino] = struct{}{}
	return true
}

// A part is some of a file.
type part struct {
	ino Ino
	r   lazy.Range // in the file
}

// chase goes from a file to those that it names, from these to those that they name, and so on.
func (f *foresight) chase(ino Ino) {
	inos := []Ino{ino}
	for len(inos) > 0 {
		var parts []part
		for _, ino := range inos {
			parts = append(parts, f.start(ino))
			parts = append(parts, f.neighbours(ino)...)
		}
		f.ahead(parts)
		var named []Ino
		for i, ino := range inos {
			if i > 0 && f.isLibrary(ino) { // it says what it needs while the others still come
				f.wg.Go(func() { f.chase(ino) })
				continue
			}
			files, parts := f.look(ino)
			f.ahead(parts)
			named = append(named, files...)
		}
		f.mu.Lock()
		inos = slices.DeleteFunc(named, func(ino Ino) bool { return !f.take(ino) })
		f.mu.Unlock()
	}
}

func (f *foresight) isLibrary(ino Ino) bool { return strings.Contains(f.c.tree.name(ino), ".so") }

// start is what is wanted of a file before it was looked at.
func (f *foresight) start(ino Ino) part {
	n := f.c.tree.Attr(ino).Size
	if n > foreseeWhole {
		n = foreseeStart
	}
	return part{ino, lazy.Range{Off: 0, End: n}}
}

// neighbours are the other files of a directory of which several were named.
func (f *foresight) neighbours(ino Ino) []part {
	dir := f.c.tree.Parent(ino)
	if f.c.tree.name(dir) != cacheDir {
		return nil
	}
	f.mu.Lock()
	f.from[dir]++
	n := f.from[dir]
	f.mu.Unlock()
	if n != crowd {
		return nil
	}
	var parts []part
	var sum int64
	f.c.tree.ReadDir(dir, 0, func(_ int, _ string, child Ino) bool {
		if f.c.tree.Kind(child) == tarx.Regular {
			p := f.start(child)
			parts = append(parts, p)
			sum += max(p.r.End, minFile)
		}
		return sum <= maxCrowd
	})
	if sum > maxCrowd {
		return nil
	}
	return parts
}

// look reads a file and says which ones will be read next, and which parts of itself. What
// goes wrong is for those to see who read it themselves.
func (f *foresight) look(ino Ino) (files []Ino, parts []part) {
	file := contentAt{f, ino}
	var head [64]byte
	n, err := file.ReadAt(head[:], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, nil
	}
	if dynlink.IsObject(head[:n]) {
		return f.object(file)
	}
	return f.module(file), nil
}

// ahead asks for parts of files.
func (f *foresight) ahead(parts []part) {
	ranges := make([][]lazy.Range, len(f.c.readers))
	room := int64(maxAhead)
	for _, p := range parts {
		ext, err := f.c.tree.Open(p.ino)
		if err != nil || ext.Sparse != nil {
			continue
		}
		end := min(p.r.End, ext.Size)
		if n := end - p.r.Off; n > 0 && n <= min(maxForeseeTo, room) {
			room -= n
			ranges[ext.Layer] = append(ranges[ext.Layer], lazy.Range{Off: ext.Off + p.r.Off, End: ext.Off + end})
		}
	}
	for layer, rs := range ranges {
		if r, ok := f.c.readers[layer].(aheadReader); ok && len(rs) > 0 {
			r.Ahead(rs...)
		}
	}
}

// object looks at a program or library.
func (f *foresight) object(file contentAt) (files []Ino, parts []part) {
	o, err := dynlink.Read(file, file.size())
	if err != nil {
		return nil, nil
	}
	for _, r := range o.Reads {
		parts = append(parts, part{file.ino, lazy.Range{Off: r.Off, End: r.End}})
	}
	return f.libraries.needs(file.ino, o), parts
}

// module looks at a Python module.
func (f *foresight) module(file contentAt) []Ino {
	size := file.size()
	if size <= 0 || size > pyimport.MaxSize {
		return nil
	}
	b := make([]byte, size)
	if _, err := file.ReadAt(b, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil
	}
	var imports []pyimport.Import
	if pyimport.IsCompiled(b) {
		imports, _ = pyimport.Compiled(b)
	} else if f.modules.isSource(file.ino) {
		imports = pyimport.Source(b)
	}
	return f.modules.imports(file.ino, imports)
}

// contentAt reads a file, but not as somebody whose reads say what comes next.
type contentAt struct {
	f   *foresight
	ino Ino
}

// size is the size of a file that is not sparse; -1 for others.
func (a contentAt) size() int64 {
	ext, err := a.f.c.tree.Open(a.ino)
	if err != nil || ext.Sparse != nil {
		return -1
	}
	return ext.Size
}

func (a contentAt) ReadAt(p []byte, off int64) (int, error) {
	ext, err := a.f.c.tree.Open(a.ino)
	if err != nil {
		return 0, err
	}
	if off >= ext.Size || ext.Sparse != nil {
		return 0, io.EOF
	}
	short := int64(len(p)) > ext.Size-off
	if short {
		p = p[:ext.Size-off]
	}
	n, err := a.f.c.readers[ext.Layer].ReadAt(a.f.ctx, p, ext.Off+off)
	if err == nil && short {
		err = io.EOF
	}
	return n, err
}
