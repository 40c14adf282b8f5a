package zstdx

import (
	"math/bits"

	"github.com/cespare/xxhash/v2"
)

// groupBytes is the least size of a group by default, in decoded bytes.
const groupBytes = 128 << 10

// maxRefs bounds the references that are kept, 8 bytes each.
const maxRefs = 4 << 20

// maxBlocks bounds the blocks that are kept, and groupBlocks those of a group: blocks
// may be as small as one byte.
const (
	maxBlocks   = 512 << 10
	groupBlocks = 4 << 10
)

// A lookBlock is one decoded block that a checkpoint may still need.
type lookBlock struct {
	out  int64 // offset of its first byte
	n    int   // decoded bytes
	head blockHeader
	raw  []byte // its content in the stream, with headroom and slack; of raw blocks, nothing
	use  [numTabs]uint8
	refs []uint64 // as decoder.refs
	last bool     // the frame ends with it
}

// A group is a run of blocks. Its start is a boundary where a checkpoint may be put.
type group struct {
	in, out int64
	start   bool  // at the start of a frame; then the fields up to hash mean nothing
	since   int64 // decoded bytes of the frame before it
	frame   frame
	reps    [3]uint32
	tabs    [numTabs]desc
	hash    xxhash.Digest
	first   int // number of its first block in lookahead.blocks
	// cross[k] is how many bytes matches of this group copy from before the start of
	// the group number k, k not above its own.
	cross []int64
}

// A lookahead holds what was decoded since the newest checkpoint whose window is not
// known yet, which is at the start of groups[0].
type lookahead struct {
	groups []*group
	blocks []*lookBlock
	nrefs  int
	end    int64 // offset after the last block
	endIn  int64

	groupMin int64
	tail     int64 // decoded bytes that must follow a boundary before it is chosen
	length   int64 // decoded bytes of look-ahead
	window   int64 // largest window seen

	// cells counts the bytes that the group in progress copies from each stretch of
	// 1<<shift bytes; a ring.
	cells []int64
	shift int

	spare []*lookBlock
}

// room sets the length of the look-ahead for frames of a window. It never shrinks.
func (l *lookahead) room(window int64, span, most, overhang int64) {
	l.window = max(l.window, window)
	l.groupMin = min(max(span/16, 1), groupBytes)
	length := min(most, max(4<<20, 4*window, 2*span))
	l.tail = max(l.tail, length/4, overhang+maxBlock)
	l.length = max(l.length, length+l.tail)
	l.shift = max(bits.Len64(uint64(l.groupMin))-1, 10)
	n := (window+l.length+2*maxBlock)>>l.shift + 2
	if n = int64(1) << bits.Len64(uint64(n)); int64(len(l.cells)) < n {
		l.closeGroup() // empties the cells
		l.cells = make([]int64, n)
	}
}

// newBlock returns a block that holds a copy of the piece, unless that is the same as
// its output.
func (l *lookahead) newBlock(h blockHeader, p piece) *lookBlock {
	var b *lookBlock
	if n := len(l.spare); n > 0 {
		b = l.spare[n-1]
		l.spare = l.spare[:n-1]
	} else {
		b = &lookBlock{}
	}
	n := p.hi - p.lo
	if h.kind == blockRaw {
		b.raw = b.raw[:0]
		return b
	}
	if cap(b.raw) < headroom+n+slack {
		b.raw = make([]byte, headroom+n+slack)
	}
	b.raw = b.raw[:headroom+n+slack]
	copy(b.raw[headroom:], p.buf[p.lo:p.hi])
	return b
}

// piece is the content of the block.
func (b *lookBlock) piece() piece {
	return piece{b.raw, headroom, len(b.raw) - slack}
}

// addBlock appends a block to the group in progress.
func (l *lookahead) addBlock(b *lookBlock, endIn int64) {
	if b.n == 0 {
		// It has neither literals nor matches, so it defines nothing either.
		if n := len(l.blocks); n > 0 {
			l.blocks[n-1].last = l.blocks[n-1].last || b.last
		}
		l.endIn = endIn
		l.spare = append(l.spare, b)
		return
	}
	l.blocks = append(l.blocks, b)
	l.nrefs += len(b.refs)
	l.end = b.out + int64(b.n)
	l.endIn = endIn
	mask := uint64(len(l.cells) - 1)
	for _, r := range b.refs {
		l.cells[(r>>(refLenBits+uint(l.shift)))&mask] += int64(r & (1<<refLenBits - 1))
	}
}

// replace puts g in the place of the last group, which is empty.
func (l *lookahead) replace(g *group) {
	g.first = len(l.blocks)
	l.groups[len(l.groups)-1] = g
}

// addGroup starts a group at the end of the last block.
func (l *lookahead) addGroup(g *group) {
	l.closeGroup()
	g.first = len(l.blocks)
	l.groups = append(l.groups, g)
}

// closeGroup adds the cells to the crossing bytes of the last group.
func (l *lookahead) closeGroup() {
	if len(l.groups) == 0 {
		return
	}
	g := l.groups[len(l.groups)-1]
	if g.cross == nil {
		g.cross = make([]int64, len(l.groups))
	}
	mask := int64(len(l.cells) - 1)
	lo := max(0, l.end>>l.shift-mask)
	sum := int64(0)
	for k, b := range l.groups {
		// A cell belongs to the side of the boundary on which its middle is.
		hi := (b.out + 1<<l.shift>>1) >> l.shift
		for ; lo < hi; lo++ {
			sum += l.cells[lo&mask]
			l.cells[lo&mask] = 0
		}
		g.cross[k] += sum
	}
	for hi := l.end>>l.shift + 1; lo < hi; lo++ {
		l.cells[lo&mask] = 0
	}
}

// full tells whether it is time to choose the next checkpoint.
func (l *lookahead) full(overhang int64) bool {
	if l.end-l.groups[0].out >= l.length {
		return true
	}
	return (l.nrefs > maxRefs || len(l.blocks) > maxBlocks) &&
		len(l.groups) > 1 && l.end-l.groups[1].out >= overhang+maxBlock
}

// drop forgets the first n groups with their blocks.
func (l *lookahead) drop(n int) {
	first := len(l.blocks)
	if n < len(l.groups) {
		first = l.groups[n].first
	}
	for _, b := range l.blocks[:first] {
		l.nrefs -= len(b.refs)
		l.spare = append(l.spare, b)
	}
	l.blocks = append(l.blocks[:0], l.blocks[first:]...)
	l.groups = append(l.groups[:0], l.groups[n:]...)
	for _, g := range l.groups {
		g.first -= first
		if g.cross != nil {
			g.cross = g.cross[n:]
		}
	}
}
