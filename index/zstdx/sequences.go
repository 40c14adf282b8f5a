package zstdx

import (
	"encoding/binary"
	"math/bits"
)

// A seq is one command of a block: copy lit literals, then match bytes from off
// bytes back.
type seq struct {
	lit, match, off uint32
}

// refLenBits is the width of the length in an element of decoder.refs.
const refLenBits = 18

// The modes of a table in the sequences section (RFC 8878, 3.1.1.3.2.1).
const (
	modePredefined = iota
	modeRLE
	modeCompressed
	modeRepeat
)

// sequences decodes the sequences section p into d.seqs[:n]. lits is the number
// of literals. total is the size of the block. All sums and offsets are checked.
func (d *decoder) sequences(p piece, lits int) (total, n int, err error) {
	b := p.buf[p.lo:p.hi]
	if len(b) == 0 {
		return 0, 0, errSequences
	}
	head := 1
	switch n = int(b[0]); {
	case n == 255:
		head = 3
	case n >= 128:
		head = 2
	}
	if len(b) < head {
		return 0, 0, errSequences
	}
	switch head {
	case 2:
		n = (n-128)<<8 + int(b[1])
	case 3:
		n = int(little(b[1:3])) + 0x7F00
	}
	if n == 0 {
		if len(b) != head {
			return 0, 0, errSequences
		}
		return lits, 0, nil
	}
	// A match has three bytes or more.
	if 3*n > maxBlock || len(b) < head+1 {
		return 0, 0, errSequences
	}
	modes := b[head]
	head++
	if modes&3 != 0 {
		return 0, 0, errReserved
	}
	for i := range numFSE {
		k, err := d.mode(i, modes>>(6-2*i)&3, b[head:])
		if err != nil {
			return 0, 0, err
		}
		head += k
	}
	if len(d.seqs) < n {
		d.seqs = make([]seq, n+n/2)
	}
	if d.note && cap(d.refs) < n+1 {
		d.refs = make([]uint64, n+1+n/2)
	}
	p.lo += head
	total, err = d.unpack(p, d.seqs[:n], lits)
	return total, n, err
}

// mode prepares table i for the block and returns how many bytes of b its
// description takes.
func (d *decoder) mode(i int, mode byte, b []byte) (int, error) {
	switch mode {
	case modeRepeat:
		d.use[i] = useRepeat
		if d.tab[i] == nil {
			return 0, errNoTable
		}
		return 0, nil
	case modePredefined:
		d.use[i], d.def[i] = useDefine, desc{kind: descPredefined}
		d.tab[i] = &predefined[i]
		return 0, nil
	case modeRLE:
		if len(b) == 0 {
			return 0, errSequences
		}
		d.use[i], d.def[i] = useDefine, desc{kind: descRLE, sym: b[0]}
		return 1, d.define(i, d.def[i])
	}
	var norm [64]int16
	n, log, used, err := readCounts(b, fseLimits[i], &norm)
	if err != nil {
		return 0, err
	}
	d.use[i], d.def[i] = useDefine, desc{kind: descBytes, raw: b[:used]}
	d.tab[i] = &d.own[i]
	return used, d.own[i].build(norm[:n], log, &fseValues[i])
}

// unpack decodes the bit stream of sequences.
//
// left counts the unread bits from the start of p with headroom. Bits are read from the end
// of the piece to its front. At the start of each round at least headroom bytes are
// unread or the stream is over, and a round takes at most 89 bits, so loads stay
// inside the buffer.
func (d *decoder) unpack(p piece, out []seq, lits int) (total int, err error) {
	b := p.buf[p.lo-headroom : p.hi]
	if p.hi <= p.lo || b[len(b)-1] == 0 {
		return 0, errSequences
	}
	left := len(b)*8 - 9 + bits.Len8(b[len(b)-1])
	const floor = headroom * 8

	ll, of, ml := d.tab[tabLL], d.tab[tabOF], d.tab[tabML]
	x := load(b, left)
	a, c, e := int(ll.log), int(of.log), int(ml.log)
	sl := x >> 1 >> (63 - a)
	x <<= a
	so := x >> 1 >> (63 - c)
	x <<= c
	sm := x >> 1 >> (63 - e)
	left -= a + c + e

	rep0, rep1, rep2 := d.reps[0], d.reps[1], d.reps[2]
	window := uint64(d.frame.window)
	since := uint64(d.since)
	start := uint64(d.hist.pos)
	var t uint64  // bytes of the block so far
	var lt uint64 // of these, literals
	var bad uint64
	refs := d.refs[:0]
	note := d.note
	nref := 0
	if note {
		refs = d.refs[:cap(d.refs)]
	}
	last := len(out) - 1

	for i := range out {
		if left < floor {
			return 0, errSequences
		}
		el := ll.entry[sl&(tableMax-1)]
		eo := of.entry[so&(tableMax-1)]
		em := ml.entry[sm&(tableMax-1)]
		// Rotating brings the next bits to the bottom and the ones after them to the top.
		nl, no, nm := int(el>>24&31), int(eo>>24&31), int(em>>24&31)
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
			bl, bo, bm := int(el>>16&31), int(eo>>16&31), int(em>>16&31)
			x = bits.RotateLeft64(x, bl)
			sl = el&0xFFFF + x&masks[bl]
			x = bits.RotateLeft64(x, bm)
			sm = em&0xFFFF + x&masks[bm]
			x = bits.RotateLeft64(x, bo)
			so = eo&0xFFFF + x&masks[bo]
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
		if note {
			refs[nref] = (start+t-o)<<refLenBits | uint64(match)
			if o > t {
				nref++
			}
		}
		t += uint64(match)
	}
	if left != floor || lt > uint64(lits) {
		return 0, errSequences
	}
	if bad>>63 != 0 {
		if err := d.offsets(out); err != nil {
			return 0, err
		}
	}
	t += uint64(lits) - lt
	if t > maxBlock {
		return 0, errBlockSize
	}
	if note {
		d.refs = refs[:nref]
	}
	d.reps = [3]uint32{rep0, rep1, rep2}
	return int(t), nil
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
