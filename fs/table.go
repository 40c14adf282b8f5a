package fs

import "hash/maphash"

// A table finds nodes by parent and name: open addressing over node numbers, the
// keys being in the nodes. The seed is random, so no image can aim at one chain.
//
// It may hold two nodes for one key: the one that is in the tree now, and one from
// below that the current layer removed and that is still to be seen as below
// (MRG-20). Others are garbage, whose slots are taken again.
type table struct {
	seed  maphash.Seed
	slots []uint32
	used  int
}

func newTable(sizeHint int) table {
	n := 1024
	for n < sizeHint*2 {
		n *= 2
	}
	return table{seed: maphash.MakeSeed(), slots: make([]uint32, n)}
}

func (t *table) hash(parent uint32, name string) uint64 {
	h := maphash.String(t.seed, name) + uint64(parent)*0x9e3779b97f4a7c15
	return h ^ h>>29
}

// find returns the node of the name that is in the tree now, or, if below, that was
// in it before the current layer.
func (b *builder) find(parent uint32, name string, below bool) uint32 {
	mask := uint64(len(b.table.slots) - 1)
	for i := b.table.hash(parent, name) & mask; ; i = (i + 1) & mask {
		id := b.table.slots[i]
		if id == noNode {
			return noNode
		}
		n := &b.nodes[id]
		if n.parent != parent || b.name(n.name) != name {
			continue
		}
		if below && n.born < b.layer && n.died >= b.layer || !below && n.died == alive {
			return id
		}
	}
}

// insert puts a new node into the table.
func (b *builder) insert(id uint32) {
	t := &b.table
	if t.used >= len(t.slots)/2 {
		b.grow()
	}
	n := &b.nodes[id]
	name := b.name(n.name)
	mask := uint64(len(t.slots) - 1)
	for i := t.hash(n.parent, name) & mask; ; i = (i + 1) & mask {
		old := t.slots[i]
		if old == noNode {
			t.slots[i] = id
			t.used++
			return
		}
		o := &b.nodes[old]
		if b.garbage(o) && o.parent == n.parent && b.name(o.name) == name {
			t.slots[i] = id
			return
		}
	}
}

// garbage tells whether nobody will look for the name any more.
func (b *builder) garbage(n *node) bool {
	return n.died != alive && (n.died < b.layer || n.born == n.died)
}

func (b *builder) grow() {
	t := &b.table
	old := t.slots
	t.slots = make([]uint32, len(old)*2)
	t.used = 0
	mask := uint64(len(t.slots) - 1)
	for _, id := range old {
		if id == noNode || b.garbage(&b.nodes[id]) {
			continue
		}
		n := &b.nodes[id]
		i := t.hash(n.parent, b.name(n.name)) & mask
		for t.slots[i] != noNode {
			i = (i + 1) & mask
		}
		t.slots[i] = id
		t.used++
	}
}
