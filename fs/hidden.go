package fs

import (
	"fmt"

	"github.com/shalefs/shalefs/index/tarx"
)

// A Reason says why an entry is not in the tree.
type Reason uint8

// The reasons.
const (
	ReasonWhiteout Reason = iota + 1 // a whiteout removed it, or a directory above it
	ReasonOpaque                     // an opaque whiteout did
	ReasonReplaced                   // another entry took its place, or the place of a directory above it
)

// String returns a word for the reason.
func (r Reason) String() string {
	switch r {
	case ReasonWhiteout:
		return "whiteout"
	case ReasonOpaque:
		return "opaque"
	case ReasonReplaced:
		return "replaced"
	}
	return fmt.Sprintf("reason %d", uint8(r))
}

// A Hidden is an entry of a layer that is not in the tree. Its content may still be,
// under another name, if it is hard-linked.
type Hidden struct {
	Layer int // the layer that brought it
	Entry int // its entry there
	By    int // the layer that removed it; the same layer for a duplicate name
	Why   Reason
}

// hiddenRecord is a Hidden in 12 bytes.
type hiddenRecord struct {
	entry     uint32
	layer, by uint16
	why       Reason
}

// hide puts the entry that a node shows into the side table.
func (b *builder) hide(id uint32, why Reason) {
	n := &b.nodes[id]
	if n.entry != noEntry {
		b.hidden = append(b.hidden, hiddenRecord{n.entry, n.layer, b.layer, why})
	}
}

// Hidden calls yield for each entry that was removed, in the order of the removals,
// until it returns false. It is an iter.Seq.
func (t *Tree) Hidden(yield func(Hidden) bool) {
	for _, h := range t.hidden {
		if !yield(Hidden{int(h.layer), int(h.entry), int(h.by), h.why}) {
			return
		}
	}
}

// NumHidden is the number of entries that Hidden yields.
func (t *Tree) NumHidden() int { return len(t.hidden) }

// HiddenEntry fills e with the entry that h means; its path is the one in the layer.
func (t *Tree) HiddenEntry(h Hidden, e *tarx.Entry) error {
	return t.entry(h.Layer, h.Entry, e)
}
