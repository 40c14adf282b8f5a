package fs

import (
	"context"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/shalefs/shalefs/index"
	"github.com/shalefs/shalefs/index/needs"
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
	maxTogether  = 1 << 12   // that are asked for together,
	maxLooks     = 1 << 18   // after so many names were looked up, or might have been
	maxChases    = 8         // at a time
	maxForeseeTo = 16 << 20  // bytes of one part of a file,
	maxAhead     = 128 << 20 // and of all that are asked for together,
	minPart      = 16 << 10  // where a part counts as so many at least
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

// A teller is a layer that says what its files need: *index.Layer.
type teller interface {
	// Needs tells what the file of an entry needs; known is false if the layer cannot say.
	Needs(entry int) (what *needs.Needs, known bool)
}

// told says what the layer tells of a file.
func (f *foresight) told(ino Ino) (what *needs.Needs, known bool) {
	r := f.c.tree.rec(ino)
	if l, ok := f.c.tree.layers[r.layer].(teller); ok {
		return l.Needs(int(r.entry))
	}
	return nil, false
}

// begun is told that the beginning of a file is to be read. What the layers tell of it is
// asked for before it is, so that they come together. done is false if the file itself is to be looked at when it is here.
func (f *foresight) begun(ino Ino, layer int) (done bool) {
	if f == nil || !f.far(layer) || f.walking(ino) || f.knows(ino) {
		return true
	}
	what, known := f.told(ino)
	if what != nil && f.counts(ino) {
		f.begin(ino)
	}
	return known
}

// read is told that p was read from the beginning of a file of which the layers tell nothing.
func (f *foresight) read(ino Ino, p []byte) {
	if needs.May(f.c.tree.name(ino), p) && f.counts(ino) {
		f.begin(ino)
	}
}

// begin asks for a file and for all that it leads to.
func (f *foresight) begin(ino Ino) { f.chase(f.follow([]Ino{ino})) }

func (f *foresight) far(layer int) bool {
	r, ok := f.c.readers[layer].(aheadReader)
	return ok && r.Far()
}

// counts says whether who reads a file reads what it needs: not if it is the text of a module that is
// compiled, too.
func (f *foresight) counts(ino Ino) bool {
	return !needs.IsSource(f.c.tree.name(ino)) || f.modules.isSource(ino)
}

// walking notes that the beginning of a file is to be read, and says whether that looks like somebody who reads a
// whole tree: what files say tells nothing about what he reads next.
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

// knows says whether a file was looked at.
func (f *foresight) knows(ino Ino) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, ok := f.seen[ino]
	return ok
}

// take says whether a file is to be looked at, which happens once.
func (f *foresight) take(ino Ino) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := f.seen[ino]; ok || len(f.seen) >= maxForeseen {
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

// chase goes from files of which the layers tell nothing to those that they need, which it finds by reading
// them, from these to those that they need, and so on. It does not wait for the end of that.
func (f *foresight) chase(inos []Ino) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(inos) == 0 || f.ctx.Err() != nil {
		return
	}
	f.wg.Go(func() {
		select {
		case f.slots <- struct{}{}:
			defer func() { <-f.slots }()
		case <-f.ctx.Done():
			return
		}
		for len(inos) > 0 {
			var named []Ino
			for i, ino := range inos {
				if i > 0 && f.isLibrary(ino) { // it says what it needs while the others still come
					f.chase([]Ino{ino})
					continue
				}
				named = append(named, f.look(ino)...)
			}
			inos = f.follow(named)
		}
	})
}

// follow goes as far as the layers tell what files need, and asks for all of these files together.
// It returns those of which the layers tell nothing.
func (f *foresight) follow(inos []Ino) (unknown []Ino) {
	var parts []part
	looks := maxLooks
	for n := 0; len(inos) > 0 && n < maxTogether && looks > 0 && f.ctx.Err() == nil; n++ {
		ino := inos[0]
		inos = inos[1:]
		if !f.take(ino) {
			continue
		}
		what, known := f.told(ino)
		parts = append(parts, f.wanted(ino, what)...)
		if !known {
			parts = append(parts, f.neighbours(ino)...)
			unknown = append(unknown, ino)
		} else if looks -= cost(what); looks > 0 {
			inos = append(inos, f.needed(ino, what)...)
		}
	}
	f.ahead(parts)
	return unknown
}

// cost is how many names may have to be looked up to find what a file needs.
func cost(what *needs.Needs) int {
	switch {
	case what == nil:
		return 0
	case what.Object != nil:
		return len(what.Object.Needed) * (len(what.Object.RunPath) + maxDirs)
	}
	n := 0
	for _, i := range what.Imports {
		n += (1 + len(i.From)) * maxRoots
	}
	return n
}

func (f *foresight) isLibrary(ino Ino) bool { return strings.Contains(f.c.tree.name(ino), ".so") }

// wanted are the parts of a file that are wanted when it is, as far as it is known what it needs.
func (f *foresight) wanted(ino Ino, what *needs.Needs) []part {
	size := f.c.tree.Size(ino)
	object := what != nil && what.Object != nil
	if size <= foreseeWhole || object && what.Object.Interp != "" && size <= maxForeseeTo {
		return []part{{ino, lazy.Range{Off: 0, End: size}}}
	}
	parts := []part{{ino, lazy.Range{Off: 0, End: foreseeStart}}}
	if object {
		for _, r := range what.Object.Reads {
			parts = append(parts, part{ino, lazy.Range{Off: r.Off, End: r.End}})
		}
	}
	return parts
}

// neighbours are the other files of a directory of which several were named.
func (f *foresight) neighbours(ino Ino) []part {
	dir := f.c.tree.Parent(ino)
	if f.c.tree.name(dir) != needs.CacheDir {
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
			parts = append(parts, f.wanted(child, nil)...)
			sum += max(parts[len(parts)-1].r.End, minFile)
		}
		return sum <= maxCrowd
	})
	if sum > maxCrowd {
		return nil
	}
	return parts
}

// look reads a file, asks for the parts of it that will be read next, and returns the files that will. What
// goes wrong is for those to see who read it themselves.
func (f *foresight) look(ino Ino) []Ino {
	size := f.size(ino)
	if size <= 0 {
		return nil
	}
	what, err := needs.Read(f.c.tree.name(ino), contentAt{f, ino}, size)
	if err != nil || !f.counts(ino) {
		return nil
	}
	f.ahead(f.wanted(ino, what))
	return f.needed(ino, what)
}

// needed returns the files that a file needs.
func (f *foresight) needed(ino Ino, what *needs.Needs) []Ino {
	switch {
	case what == nil:
		return nil
	case what.Object == nil:
		return f.modules.imports(ino, what.Imports)
	}
	files := f.libraries.needs(ino, what.Object)
	if what.Object.Interp != "" {
		if start := f.modules.starts(ino); len(start) > 0 {
			files = slices.Concat(files, start, f.libraries.locale())
		}
	}
	return files
}

// ahead asks for parts of files. A file for which there is no room may be looked at again.
func (f *foresight) ahead(parts []part) {
	ranges := make([][]lazy.Range, len(f.c.readers))
	room := int64(maxAhead)
	for _, p := range parts {
		ext, err := f.c.tree.Open(p.ino)
		if err != nil || ext.Sparse != nil {
			continue
		}
		end := min(p.r.End, ext.Size)
		n := end - p.r.Off
		if n <= 0 || n > maxForeseeTo {
			continue
		}
		if max(n, minPart) > room {
			f.mu.Lock()
			delete(f.seen, p.ino)
			f.mu.Unlock()
			continue
		}
		room -= max(n, minPart)
		ranges[ext.Layer] = append(ranges[ext.Layer], lazy.Range{Off: ext.Off + p.r.Off, End: ext.Off + end})
	}
	for layer, rs := range ranges {
		if r, ok := f.c.readers[layer].(aheadReader); ok && len(rs) > 0 {
			r.Ahead(rs...)
		}
	}
}

// contentAt reads a file, but not as somebody whose reads say what comes next.
type contentAt struct {
	f   *foresight
	ino Ino
}

// size is the size of a file that is not sparse; -1 for others.
func (f *foresight) size(ino Ino) int64 {
	ext, err := f.c.tree.Open(ino)
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
