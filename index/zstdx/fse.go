package zstdx

import "math/bits"

// The tables of sequences, in the order of their modes in the block.
const (
	tabLL = iota // literal lengths
	tabOF        // offsets
	tabML        // match lengths
	numFSE
)

// tabHuff is the number of the Huffman tree beside them, where all four tables are meant.
const (
	tabHuff = numFSE
	numTabs = numFSE + 1
)

// tableMax is the number of states of the largest table (9 bits).
const tableMax = 512

// An fseTable decodes one part of sequences. An entry holds, from the top:
// 32 bits baseline of the value, 16 bits baseline of the next state, 8 bits number of
// bits of the next state, 8 bits number of extra bits of the value. Whatever the bits,
// the next state is below 1<<log: the loops in assembly rely on it.
type fseTable struct {
	entry [tableMax]uint64
	log   uint8 // accuracy: 0 for a table of one symbol, up to 9
}

// use makes t the same as u.
func (t *fseTable) use(u *fseTable) {
	copy(t.entry[:1<<u.log], u.entry[:])
	t.log = u.log
}

// A fseLimit says what a kind of table may look like.
type fseLimit struct {
	maxSym int
	maxLog uint8
}

var fseLimits = [numFSE]fseLimit{tabLL: {35, 9}, tabOF: {31, 8}, tabML: {52, 9}}

// readCounts parses the description of a distribution (RFC 8878, 4.1.1) at the
// start of b. norm[s] is the count of symbol s, -1 for "less than one". It returns the
// number of symbols, the accuracy and the length of the description in bytes.
func readCounts(b []byte, lim fseLimit, norm *[64]int16) (n int, log uint8, used int, err error) {
	pos := 4
	peek := func(k int) int {
		var v uint32
		at := pos >> 3
		for i := range 4 {
			if at+i < len(b) {
				v |= uint32(b[at+i]) << (8 * i)
			}
		}
		return int(v>>(pos&7)) & (1<<k - 1)
	}
	if len(b) == 0 {
		return 0, 0, 0, errTable
	}
	log = b[0]&15 + 5
	if log > lim.maxLog {
		return 0, 0, 0, errTable
	}
	left := 1 << log
	for left > 0 {
		if n > lim.maxSym || pos > 8*len(b) {
			return 0, 0, 0, errTable
		}
		// A value is one of 0 ... left+1; the first "short" ones take a bit less.
		top := left + 1
		width := bits.Len(uint(top))
		short := 1<<width - 1 - top
		v := peek(width)
		half := 1 << (width - 1)
		if v&(half-1) < short {
			v &= half - 1
			pos += width - 1
		} else {
			if v >= half {
				v -= short
			}
			pos += width
		}
		norm[n] = int16(v - 1)
		n++
		switch {
		case v == 0:
			left--
		case v > 1:
			left -= v - 1
		default: // count 0: two bits say how many more of them follow
			for {
				r := peek(2)
				pos += 2
				if n+r > lim.maxSym+1 {
					return 0, 0, 0, errTable
				}
				for range r {
					norm[n] = 0
					n++
				}
				if r < 3 {
					break
				}
				if pos > 8*len(b) {
					return 0, 0, 0, errTable
				}
			}
		}
	}
	used = (pos + 7) >> 3
	if left != 0 || used > len(b) {
		return 0, 0, 0, errTable
	}
	return n, log, used, nil
}

// build fills the table from a distribution (RFC 8878, 4.1.1). values gives, per
// symbol, the upper half of the entries.
func (t *fseTable) build(norm []int16, log uint8, values *[64]uint64) error {
	size := 1 << log
	var next [64]uint16
	var syms [tableMax]uint8
	high := size - 1
	for s, c := range norm {
		if c == -1 {
			syms[high] = uint8(s)
			high--
			next[s] = 1
		} else {
			next[s] = uint16(c)
		}
	}
	step, mask, pos := size>>1+size>>3+3, size-1, 0
	for s, c := range norm {
		for range c {
			syms[pos&(tableMax-1)] = uint8(s)
			pos = (pos + step) & mask
			for pos > high {
				pos = (pos + step) & mask
			}
		}
	}
	if pos != 0 {
		return errTable
	}
	for i := range t.entry[:size] {
		s := syms[i] & 63
		x := next[s]
		next[s]++
		nb := log - uint8(bits.Len16(x)-1)
		t.entry[i] = values[s] | uint64(x<<nb-uint16(size))<<16 | uint64(nb)<<8
	}
	t.log = log
	return nil
}

// single makes the table of one symbol.
func (t *fseTable) single(v uint64) {
	t.entry[0] = v
	t.log = 0
}
