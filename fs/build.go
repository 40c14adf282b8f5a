package fs

import (
	"fmt"
	"unsafe"

	"github.com/shalefs/shalefs/index/tarx"
	"github.com/shalefs/shalefs/layout"
)

// A builder is a tree that layers are applied to.
type builder struct {
	layers []Layer
	max    int // greatest number of nodes

	layer uint16 // the layer that is being applied
	entry int    // its entry that is being applied

	nodes []node
	names []byte // each name is one byte of length and the bytes
	table table
	stack []uint32 // of kill

	// The directory that was walked to last, for the next entry. It is good as long as
	// no directory and no symlink was removed.
	dirPath string
	dir     uint32

	pending  []pendingLink
	chained  []uint32        // links whose target is a link that is pending
	replaced map[uint32]bool // symlinks from below that this layer replaces; nil if not yet asked
	touched  []uint32        // directories from below that this layer implies
	stale    []staleLink     // inodes that lost a name to a higher layer
	hidden   []hiddenRecord
	findings findings
}

func newBuilder(layers []Layer, entries, max int) *builder {
	hint := min(entries, 4<<20) + 1024
	b := &builder{
		layers: layers,
		max:    max,
		nodes:  make([]node, rootNode+1, hint),
		names:  make([]byte, 1, hint*12),
		table:  newTable(hint),
	}
	b.nodes[rootNode] = node{
		parent: rootNode, kind: tarx.Directory, mode: 0o755,
		entry: noEntry, died: alive, touched: noLayer,
	}
	return b
}

// name returns the name at off in the heap. The string is good as long as the builder:
// the heap only grows, and what was written stays.
func (b *builder) name(off uint32) string {
	n := int(b.names[off])
	if n == 0 {
		return ""
	}
	return unsafe.String(&b.names[off+1], n)
}

// add puts a new name into a directory. The name must not be in it.
func (b *builder) add(parent uint32, name string, kind tarx.Kind) (uint32, error) {
	if len(name) > maxName {
		return noNode, fmt.Errorf("name of %d bytes, at most %d are allowed: %w", len(name), maxName, layout.ErrInvalid)
	}
	if len(b.nodes)-int(rootNode+1) >= b.max {
		return noNode, fmt.Errorf("more than %d files and directories (option MaxEntries): %w", b.max, layout.ErrTooLarge)
	}
	if len(b.names)+1+len(name) > maxNamesHeap {
		return noNode, fmt.Errorf("more than %d bytes of names: %w", maxNamesHeap, layout.ErrTooLarge)
	}
	id := uint32(len(b.nodes))
	off := uint32(len(b.names))
	b.names = append(append(b.names, byte(len(name))), name...)
	p := &b.nodes[parent]
	if p.child != noNode {
		b.nodes[p.child].prev = id
	}
	next := p.child
	p.child = id
	b.nodes = append(b.nodes, node{
		parent: parent, name: off, next: next, kind: kind,
		entry: noEntry, layer: b.layer, born: b.layer, died: alive, touched: noLayer, links: 1,
	})
	b.insert(id)
	return id, nil
}

// imply makes a directory that no entry has named so far (ENT-21).
func (b *builder) imply(parent uint32, name string) (uint32, error) {
	id, err := b.add(parent, name, tarx.Directory)
	if err != nil {
		return noNode, err
	}
	b.nodes[id].mode = 0o755
	b.noteDirAgain(id)
	return id, nil
}

// inode returns the inode that a name stands for; noNode for a link that is pending.
func (b *builder) inode(id uint32) uint32 {
	for id != noNode && b.nodes[id].kind == tarx.Hardlink {
		id = b.nodes[id].child
	}
	return id
}

// kind returns the kind of the inode that a name stands for.
func (b *builder) kind(id uint32) tarx.Kind {
	if i := b.inode(id); i != noNode {
		return b.nodes[i].kind
	}
	return tarx.Regular // a pending link is no directory and no symlink yet
}

// remove takes a name, and all that is under it, out of the tree.
func (b *builder) remove(id uint32, why Reason) {
	n := &b.nodes[id]
	if n.died != alive {
		return
	}
	if n.prev != noNode {
		b.nodes[n.prev].next = n.next
	} else {
		b.nodes[n.parent].child = n.next
	}
	if n.next != noNode {
		b.nodes[n.next].prev = n.prev
	}
	n.prev, n.next = noNode, noNode
	if k := b.kind(id); k == tarx.Directory || k == tarx.Symlink {
		b.dirPath, b.dir = "", noNode
	}
	b.kill(id, why)
}

// kill marks a subtree that was taken out as dead. It stays linked, so that it can be seen as below.
func (b *builder) kill(id uint32, why Reason) {
	b.stack = append(b.stack[:0], id)
	for len(b.stack) > 0 {
		id := b.stack[len(b.stack)-1]
		b.stack = b.stack[:len(b.stack)-1]
		n := &b.nodes[id]
		n.died, n.why = b.layer, why
		b.hide(id, why)
		if n.kind == tarx.Directory {
			for c := n.child; c != noNode; c = b.nodes[c].next {
				b.stack = append(b.stack, c)
			}
			continue
		}
		if i := b.inode(id); i != noNode {
			b.nodes[i].links--
			b.noteStale(id, i)
		}
	}
}

// link returns the target of a symlink.
func (b *builder) link(inode uint32) (string, error) {
	n := &b.nodes[inode]
	var e tarx.Entry
	if err := b.layers[n.layer].Entry(int(n.entry), &e); err != nil {
		return "", fmt.Errorf("layer %d: entry %d: %w", n.layer, n.entry, err)
	}
	return e.Link, nil
}
