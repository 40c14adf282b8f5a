package zstdx

import "math/bits"

// A marker collects referenced bytes before a checkpoint, one bit a byte. Between uses
// all bits are clear: whoever marks clears what was marked, since that is little.
type marker struct {
	bits []uint64
	some []uint64 // a bit per 64 words of bits: whether any of them may be set
	base int64    // stream offset of bit 0
	end  int64
}

// joinGap is the longest stretch between two runs that is kept to save a run.
const joinGap = 4

// reset prepares the marker, which is clear, for the stretch [base, end).
func (m *marker) reset(base, end int64) {
	m.base, m.end = base, end
	n := int((end-base)>>6) + 2
	if cap(m.bits) < n {
		m.bits = make([]uint64, n)
	}
	m.bits = m.bits[:n]
	if n = n>>12 + 1; cap(m.some) < n {
		m.some = make([]uint64, n)
	}
	m.some = m.some[:n]
}

// mark sets the bits of [from, to).
func (m *marker) mark(from, to int64) {
	a, b := uint64(from-m.base), uint64(to-1-m.base)
	lo, hi := ^uint64(0)<<(a&63), ^uint64(0)>>(63-b&63)
	i, j := a>>6, b>>6
	m.some[i>>12] |= 1 << (i >> 6 & 63)
	if i == j {
		m.bits[i] |= lo & hi
		return
	}
	m.bits[i] |= lo
	for i++; i < j; i++ {
		m.some[i>>12] |= 1 << (i >> 6 & 63)
		m.bits[i] = ^uint64(0)
	}
	m.some[j>>12] |= 1 << (j >> 6 & 63)
	m.bits[j] |= hi
}

// clear unmarks the runs and everything between the bytes of one word.
func (m *marker) clear(runs []run) {
	for _, r := range runs {
		from := m.end - r.dist - m.base
		clear(m.bits[from>>6 : (from+int64(r.len)+63)>>6])
	}
	clear(m.some)
}

// has tells whether all bits of [from, to) are set.
func (m *marker) has(from, to int64) bool {
	a, b := uint64(from-m.base), uint64(to-1-m.base)
	lo, hi := ^uint64(0)<<(a&63), ^uint64(0)>>(63-b&63)
	i, j := a>>6, b>>6
	if i == j {
		return m.bits[i]&(lo&hi) == lo&hi
	}
	ok := m.bits[i]&lo == lo
	for i++; i < j; i++ {
		ok = ok && m.bits[i] == ^uint64(0)
	}
	return ok && m.bits[j]&hi == hi
}

// runs lists the marked stretches, the farthest first, small gaps closed.
func (m *marker) runs(out []run) []run {
	size := m.end - m.base
	for at := m.find(0, size, 0); at < size; {
		to := m.find(at, size, ^uint64(0))
		if k := len(out); k > 0 && (m.end-m.base-at)+joinGap >= out[k-1].dist-int64(out[k-1].len) {
			out[k-1].len = int(out[k-1].dist - (size - to))
		} else {
			out = append(out, run{size - at, int(to - at)})
		}
		at = m.find(to, size, 0)
	}
	return out
}

// find returns the first bit from at on that is set (flip 0) or clear (flip all ones).
func (m *marker) find(at, size int64, flip uint64) int64 {
	i := at >> 6
	w := (m.bits[i] ^ flip) >> (at & 63) << (at & 63)
	for w == 0 {
		i++
		for flip == 0 && i&63 == 0 && i<<6 < size && m.some[i>>12]>>(i>>6&63)&1 == 0 {
			i += 64
		}
		if i<<6 >= size {
			return size
		}
		w = m.bits[i] ^ flip
	}
	return min(size, i<<6+int64(bits.TrailingZeros64(w)))
}
