package fs

import (
	"fmt"
	"sort"

	"github.com/shalefs/shalefs/index/tarx"
)

// An Ino is an inode number: the inode's place in the tree's array plus one, at most
// 32 bits wide. Zero is none.
type Ino uint64

// Root is the root's inode number.
const Root Ino = 1

// A record is one name, and its inode if it is the inode's first name. 48 bytes, and
// the name in the heap: about 60 bytes for an inode.
type record struct {
	size      int64  // see node; directory: first child's place << 32 | number of children; further name: the Ino
	mtime     int64  // seconds
	parent    uint32 // Ino of the directory
	name      uint32 // place of the name in the heap
	entry     uint32 // noEntry for implied directories
	mtimeNano uint32
	nlink     uint32
	uid, gid  uint32
	layer     uint16
	mode      uint16 // permission bits, kind, moreBit
}

const (
	permMask  = 0o7777
	kindShift = 12
	kindMask  = 7
	moreBit   = 1 << 15 // xattrs or a sparse map are in the entry
)

func (r *record) kind() tarx.Kind { return tarx.Kind(r.mode >> kindShift & kindMask) }

// A Tree is the merged tree of an image. It does not change; all methods may be
// called from several goroutines. Methods that take an Ino want one that the tree
// gave out, for which Valid is true; those that need a directory treat anything
// else as an empty one.
type Tree struct {
	recs        []record
	names       string
	layers      []Layer
	hidden      []hiddenRecord
	warnings    []Finding
	differences []Finding

	inodes int
	bytes  int64 // logical sizes of the regular files
	xattrs int   // inodes with xattrs
}

// count adds a record to the totals.
func (t *Tree) count(r *record) {
	if r.kind() == tarx.Hardlink {
		return
	}
	t.inodes++
	if r.kind() == tarx.Regular {
		t.bytes += r.size
	}
}

// NumInodes is the number of inodes; the names of hard links are not counted.
func (t *Tree) NumInodes() int { return t.inodes }

// MaxIno is the greatest inode number. Not every number up to it is an inode.
func (t *Tree) MaxIno() Ino { return Ino(len(t.recs)) }

// Bytes is the sum of the sizes of the regular files, hard-linked ones once.
func (t *Tree) Bytes() int64 { return t.bytes }

// NumLayers is the number of layers.
func (t *Tree) NumLayers() int { return len(t.layers) }

// Root returns the root's inode number, which is always 1.
func (t *Tree) Root() Ino { return Root }

// Valid tells whether the number is an inode of the tree.
func (t *Tree) Valid(ino Ino) bool {
	return ino >= 1 && ino <= Ino(len(t.recs)) && t.recs[ino-1].kind() != tarx.Hardlink
}

// Warnings lists what was skipped, by layer and kind (ERR-10).
func (t *Tree) Warnings() []Finding { return t.warnings }

// Release gives back memory that the layers hold and can get again: pages of mapped layer
// indexes. The tree stays as it is.
func (t *Tree) Release() {
	for _, l := range t.layers {
		release(l)
	}
}

// Differences lists what programs that stack layers with overlayfs show in another way, by layer and kind.
func (t *Tree) Differences() []Finding { return t.differences }

func (t *Tree) rec(ino Ino) *record { return &t.recs[ino-1] }

// nameAt returns the name of the record at a place.
func (t *Tree) nameAt(place int) string {
	off := int(t.recs[place].name)
	return t.names[off+1 : off+1+int(t.names[off])]
}

// inoAt returns the inode that the record at a place stands for.
func (t *Tree) inoAt(place int) Ino {
	if r := &t.recs[place]; r.kind() == tarx.Hardlink {
		return Ino(r.size)
	}
	return Ino(place + 1)
}

// span returns the places of a directory's children.
func (t *Tree) span(dir Ino) (first, n int) {
	r := t.rec(dir)
	if r.kind() != tarx.Directory {
		return 0, 0
	}
	return int(r.size >> 32), int(uint32(r.size))
}

// Lookup finds a name in a directory. "." and ".." are not names.
func (t *Tree) Lookup(dir Ino, name string) (Ino, bool) {
	place, ok := t.place(dir, name)
	if !ok {
		return 0, false
	}
	return t.inoAt(place), true
}

func (t *Tree) place(dir Ino, name string) (int, bool) {
	first, n := t.span(dir)
	i := t.search(dir, name)
	if i == n || t.nameAt(first+i) != name {
		return 0, false
	}
	return first + i, true
}

// search returns the number of the first name in a directory that is not less than name.
func (t *Tree) search(dir Ino, name string) int {
	first, n := t.span(dir)
	return sort.Search(n, func(i int) bool { return t.nameAt(first+i) >= name })
}

// Len is the number of names in a directory.
func (t *Tree) Len(dir Ino) int {
	_, n := t.span(dir)
	return n
}

// ReadDir calls yield for the names of a directory in order, from number from on (0
// is the first), until it returns false. A name has the same number for ever.
func (t *Tree) ReadDir(dir Ino, from int, yield func(i int, name string, ino Ino) bool) {
	first, n := t.span(dir)
	for i := max(from, 0); i < n; i++ {
		if !yield(i, t.nameAt(first+i), t.inoAt(first+i)) {
			return
		}
	}
}

// Parent returns the directory of an inode's first name; the root's is the root.
func (t *Tree) Parent(ino Ino) Ino { return Ino(t.rec(ino).parent) }

// Path returns the path of an inode's first name, without a slash at the start; "/" is
// the root.
func (t *Tree) Path(ino Ino) string {
	var parts []string
	for ; ino != Root; ino = t.Parent(ino) {
		parts = append(parts, t.nameAt(int(ino-1)))
	}
	return joinReverse(parts)
}

// entry reads an entry of a layer.
func (t *Tree) entry(layer, entry int, e *tarx.Entry) error {
	*e = tarx.Entry{}
	if err := t.layers[layer].Entry(entry, e); err != nil {
		return fmt.Errorf("layer %d: entry %d: %w", layer, entry, err)
	}
	return nil
}
