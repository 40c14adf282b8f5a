package fs

import "hash/maphash"

// A table finds nodes by parent and name: open addressing, a slot being half a hash and
// a node number; the keys are in the nodes. The seed is random, so no image can aim at
// one chain.
//
// It may hold two nodes for one key: the one that is in the tree now, and one from
// below that the current layer removed and that is still to be seen as below
// (MRG-20). Others are garbage, whose slots are taken again.
type table struct {
	seed  maphash.Seed
	slots []slot
	used  int
}

// A slot is the upper half of the key's hash and the node; zero if free.
type slot uint64

func (s slot) node() uint32 { return uint32(s) }

func newTable(sizeHint int) table {
	n := 1024
	for n < sizeHint*2 {
		n *= 2
	}
	return table{seed: maphash.MakeSeed(), slots: make([]slot, n)}
}

func (t *table) hash(parent uint32, name string) uint64 {
	h := maphash.String(t.seed, name) ^ uint64(parent)*0x9e3779b97f4a7c15
	h *= 0xff51afd7ed558ccd
	return h ^ h>>32
}

// find returns the node of the name that is in the tree now, or, if below, that was
// in it before the current layer.
func (b *builder) find(parent uint32, name string, below bool) uint32 {
	h := b.table.hash(parent, name)
	mask := uint64(len(b.table.slots) - 1)
	for i := h & mask; ; i = (i + 1) & mask {
		s := b.table.slots[i]
		if s == 0 {
			return noNode
		}
		if (uint64(s)^h)>>32 != 0 {
			continue
		}
		n := &b.nodes[s.node()]
		if n.parent != parent || b.name(n.name) != name {
			continue
		}
		if below && n.born < b.layer && n.died >= b.layer || !below && n.died == alive {
			return s.node()
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
	h := t.hash(n.parent, name)
	entry := slot(h>>32<<32 | uint64(id))
	mask := uint64(len(t.slots) - 1)
	for i := h & mask; ; i = (i + 1) & mask {
		s := t.slots[i]
		if s == 0 {
			t.slots[i] = entry
			t.used++
			return
		}
		if (uint64(s)^h)>>32 != 0 {
			continue
		}
		if o := &b.nodes[s.node()]; b.garbage(o) && o.parent == n.parent && b.name(o.name) == name {
			t.slots[i] = entry
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
	t.slots = make([]slot, len(old)*2)
	t.used = 0
	mask := uint64(len(t.slots) - 1)
	for _, s := range old {
		if s == 0 || b.garbage(&b.nodes[s.node()]) {
			continue
		}
		n := &b.nodes[s.node()]
		i := t.hash(n.parent, b.name(n.name)) & mask
		for t.slots[i] != 0 {
			i = (i + 1) & mask
		}
		t.slots[i] = s
		t.used++
	}
}
