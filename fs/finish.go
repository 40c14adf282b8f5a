package fs

import (
	"cmp"
	"context"
	"encoding/binary"
	"slices"
	"strings"
	"unsafe"

	"github.com/shalefs/shalefs/index/tarx"
)

// A finisher turns the builder's nodes into the records of a tree, level by level:
// when the record at place i is looked at, its children go to the end of the array.
type finisher struct {
	b     *builder
	t     *Tree
	order []uint32 // node of each place
	place []Ino    // of each node that is an inode in the tree; 0 if not (yet)
	names []byte
	sort  []sortKey
}

// A sortKey is a child with the first bytes of its name, which decide most comparisons.
type sortKey struct {
	prefix uint64
	node   uint32
}

// finish makes the tree.
func (b *builder) finish(ctx context.Context) (*Tree, error) {
	b.noteStaleLinks()
	n := 0
	for i := range b.nodes[rootNode:] {
		if b.nodes[rootNode+uint32(i)].died == alive {
			n++
		}
	}
	f := &finisher{
		b:     b,
		t:     &Tree{layers: b.layers, recs: make([]record, 0, n)},
		order: make([]uint32, 0, n),
		place: make([]Ino, len(b.nodes)),
		names: make([]byte, 0, len(b.names)),
	}
	f.append(rootNode, 1)
	for i := 0; i < len(f.order); i++ {
		if i%4096 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if id := f.order[i]; b.nodes[id].kind == tarx.Directory {
			f.children(i, id)
		}
	}
	t := f.t
	t.names = unsafe.String(unsafe.SliceData(f.names), len(f.names))
	t.hidden = slices.Clone(b.hidden)
	t.warnings = sorted(b.findings.warnings)
	t.differences = sorted(b.findings.differences)
	for i := range t.recs {
		t.count(&t.recs[i])
	}
	return t, nil
}

// children appends the children of the directory at a place, sorted by name.
func (f *finisher) children(place int, dir uint32) {
	b := f.b
	f.sort = f.sort[:0]
	for c := b.nodes[dir].child; c != noNode; c = b.nodes[c].next {
		name := b.name(b.nodes[c].name)
		if strings.HasPrefix(name, aufsPrefix) {
			continue // MRG-14
		}
		f.sort = append(f.sort, sortKey{namePrefix(name), c})
	}
	slices.SortFunc(f.sort, func(x, y sortKey) int {
		if x.prefix != y.prefix {
			return cmp.Compare(x.prefix, y.prefix)
		}
		return strings.Compare(b.name(b.nodes[x.node].name), b.name(b.nodes[y.node].name))
	})
	first, links := len(f.order), uint32(2)
	for _, k := range f.sort {
		f.append(k.node, Ino(place+1))
		if b.nodes[k.node].kind == tarx.Directory {
			links++
		}
	}
	r := &f.t.recs[place]
	r.size = int64(first)<<32 | int64(len(f.sort))
	r.nlink = links
}

// namePrefix packs the first eight bytes of a name so that they compare as the name does.
func namePrefix(name string) uint64 {
	var p [8]byte
	copy(p[:], name)
	return binary.BigEndian.Uint64(p[:])
}

// append puts a name at the end of the array: as the inode, if it is its first name, else
// as a further name of it.
func (f *finisher) append(id uint32, parent Ino) {
	b, t := f.b, f.t
	here := Ino(len(t.recs) + 1)
	r := record{parent: uint32(parent), name: uint32(len(f.names))}
	name := b.name(b.nodes[id].name)
	f.names = append(append(f.names, byte(len(name))), name...)
	f.order = append(f.order, id)

	inode := b.inode(id)
	r.layer, r.entry = b.nodes[id].layer, b.nodes[id].entry
	if first := f.place[inode]; first != 0 {
		t.recs[first-1].nlink++
		r.size, r.mode = int64(first), uint16(tarx.Hardlink)<<kindShift
		t.recs = append(t.recs, r)
		return
	}
	f.place[inode] = here
	n := &b.nodes[inode]
	r.size, r.mtime, r.mtimeNano = n.size, n.mtime, n.mtimeNano
	r.uid, r.gid, r.nlink = n.uid, n.gid, 1
	r.layer, r.entry = n.layer, n.entry
	r.mode = n.mode&permMask | uint16(n.kind)<<kindShift
	if n.flags&(flagXattrs|flagSparse) != 0 {
		r.mode |= moreBit
	}
	if n.flags&flagXattrs != 0 {
		t.xattrs++
	}
	t.recs = append(t.recs, r)
}
