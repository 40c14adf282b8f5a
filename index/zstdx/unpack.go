package zstdx

import (
	"encoding/binary"
	"math/bits"
)

// An unpackJob is the bit stream of one block for the loop that decodes it, and what
// comes of it.
//
// Bits are read from the end of the stream to its front. At the start of each round at
// least headroom bytes are unread or the stream is over, and a round takes at most 89
// bits, so loads of whole words stay inside the buffer.
type unpackJob struct {
	tabs *[numFSE]fseTable
	in   *byte // headroom bytes before the stream
	left int   // unread bits from in on; the stream is over at headroom*8
	out  *seq
	n    int // places of out, at least 1
	// refs has n places, or is nil: no notes. Every round writes one
	// and keeps it if the match begins before its block.
	refs   *uint64
	nrefs  int
	reps   [3]uint32
	window uint64 // of the frame
	since  uint64 // bytes of the frame before the block
	total  uint64 // bytes of the block up to the last match
	lits   uint64 // of these, literals
	start  uint64 // offset of the block in the stream
	bad    uint64 // the top bit is set if an offset is 0 or reaches too far
	short  bool   // the bits do not suffice
}

// floor is the least unpackJob.left.
const floor = headroom * 8

// unpack decodes the bit stream of sequences p into out. lits is the number of
// literals, total the size of the block. All sums and offsets are checked.
func (d *decoder) unpack(p piece, out []seq, lits int) (total int, err error) {
	b := p.buf[p.lo-headroom : p.hi]
	if p.hi <= p.lo || b[len(b)-1] == 0 {
		return 0, errSequences
	}
	j := unpackJob{
		tabs: &d.tab, in: &b[0], left: len(b)*8 - 9 + bits.Len8(b[len(b)-1]), out: &out[0], n: len(out),
		reps: d.reps, window: uint64(d.frame.window), since: uint64(d.since), start: uint64(d.hist.pos),
	}
	var refs []uint64
	if d.note {
		refs = d.refs[:len(out)]
		j.refs = &refs[0]
	}
	if d.plain {
		j.loop(b, out, refs)
	} else {
		unpackLoop(&j)
	}
	if j.short || j.left != floor || j.lits > uint64(lits) {
		return 0, errSequences
	}
	if j.bad>>63 != 0 {
		if err := d.offsets(out); err != nil {
			return 0, err
		}
	}
	t := j.total + uint64(lits) - j.lits
	if t > maxBlock {
		return 0, errBlockSize
	}
	if d.note {
		d.refs = refs[:j.nrefs]
	}
	d.reps = j.reps
	return int(t), nil
}

// loop is unpackLoop in Go; b, out and refs are the memory that j points to.
func (j *unpackJob) loop(b []byte, out []seq, refs []uint64) {
	ll, of, ml := &j.tabs[tabLL], &j.tabs[tabOF], &j.tabs[tabML]
	left := j.left
	x := load(b, left)
	sl := x >> 1 >> (63 - ll.log)
	x <<= ll.log
	so := x >> 1 >> (63 - of.log)
	x <<= of.log
	sm := x >> 1 >> (63 - ml.log)
	left -= int(ll.log) + int(of.log) + int(ml.log)

	rep0, rep1, rep2 := j.reps[0], j.reps[1], j.reps[2]
	window, since, start := j.window, j.since, j.start
	var t, lt, bad uint64
	nref := 0
	last := len(out) - 1

	for i := range out {
		if left < floor {
			j.short = true
			return
		}
		el := ll.entry[sl&(tableMax-1)]
		eo := of.entry[so&(tableMax-1)]
		em := ml.entry[sm&(tableMax-1)]
		// Rotating brings the next bits to the bottom and the ones after them to the top.
		nl, no, nm := int(el&31), int(eo&31), int(em&31)
		x := bits.RotateLeft64(load(b, left), no)
		off := uint32(eo>>32) + uint32(x&masks[no])
		many := no+nl+nm > 30 // 57 bits do not hold these and those of the states
		if many {
			x = load(b, left-no)
		}
		x = bits.RotateLeft64(x, nm)
		match := uint32(em>>32) + uint32(x&masks[nm])
		x = bits.RotateLeft64(x, nl)
		lit := uint32(el>>32) + uint32(x&masks[nl])
		left -= no + nl + nm

		if i != last {
			if many {
				x = load(b, left)
			}
			bl, bo, bm := int(el>>8&31), int(eo>>8&31), int(em>>8&31)
			x = bits.RotateLeft64(x, bl)
			sl = el>>16&0xFFFF + x&masks[bl]
			x = bits.RotateLeft64(x, bm)
			sm = em>>16&0xFFFF + x&masks[bm]
			x = bits.RotateLeft64(x, bo)
			so = eo>>16&0xFFFF + x&masks[bo]
			left -= bl + bo + bm
		}

		if off > 3 {
			off -= 3
			rep0, rep1, rep2 = off, rep0, rep1
		} else {
			if lit == 0 {
				off++
			}
			switch off {
			case 1:
				off = rep0
			case 2:
				off = rep1
				rep0, rep1 = off, rep0
			case 3:
				off = rep2
				rep0, rep1, rep2 = off, rep0, rep1
			default:
				off = rep0 - 1
				rep0, rep1, rep2 = off, rep0, rep1
			}
		}
		out[i] = seq{lit, match, off}

		t += uint64(lit)
		lt += uint64(lit)
		o := uint64(off)
		// off-1 also catches an offset of 0; the top bit collects what is too far.
		bad |= min(window, since+t) - o
		bad |= o - 1
		if refs != nil {
			refs[nref] = (start+t-o)<<refLenBits | uint64(match)
			if o > t {
				nref++
			}
		}
		t += uint64(match)
	}
	j.left, j.nrefs, j.reps = left, nref, [3]uint32{rep0, rep1, rep2}
	j.total, j.lits, j.bad = t, lt, bad
}

// offsets says what is wrong with the offsets, if anything is. A decoder that started at
// a checkpoint may reach before it: that is looked up when it is executed.
func (d *decoder) offsets(out []seq) error {
	for i := range out {
		if out[i].off == 0 {
			return errZeroOffset
		}
		if int64(out[i].off) > d.frame.window {
			return errOffset
		}
	}
	if d.far == nil {
		return errOffset
	}
	return nil
}

// masks[n] keeps the lowest n bits.
var masks = func() (m [32]uint64) {
	for i := range m {
		m[i] = 1<<i - 1
	}
	return m
}()

// load returns the unread bits below bit number left, in the top of a word. At least 57
// of them are valid.
func load(b []byte, left int) uint64 {
	at := (left+7)>>3 - 8
	return binary.LittleEndian.Uint64(b[at:at+8]) << (-left & 7)
}
