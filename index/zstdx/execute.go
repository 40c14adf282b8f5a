package zstdx

import "unsafe"

// execute runs the sequences of a block: it writes total bytes at hist.cur.
//
// It copies without bounds checks, some 16 bytes at a time, and relies on: the history has
// blockSpace bytes from cur on; total <= maxBlock; the literals of all sequences are
// in lit, which has slack after it; literals and matches sum up to total; every offset
// is at least 1 and reaches only bytes of the history (or, with far, is looked up).
// sequences has checked all of it. So a copy may read and write up to slack bytes more than
// it has to, and no further.
func (d *decoder) execute(seqs []seq, lit piece, total, want int) error {
	if len(seqs) == 0 {
		copy(d.hist.buf[d.hist.cur:d.hist.cur+total], lit.buf[lit.lo:])
		return nil
	}
	h := &d.hist
	j := executeJob{
		seqs:  &seqs[0],
		n:     len(seqs),
		front: &h.buf[0],
		at:    h.cur,
		lit:   unsafe.Add(unsafe.Pointer(unsafe.SliceData(lit.buf)), lit.lo),
	}
	stop := h.cur + want
	for {
		if d.plain {
			j.loop()
		} else {
			executeLoop(&j)
		}
		if j.next == len(seqs) {
			break
		}
		if j.at >= stop {
			return nil
		}
		s := &seqs[j.next]
		if err := d.reach(j.at, int(s.off), int(s.match)); err != nil {
			return err
		}
		j.at += int(s.match)
		j.next++
	}
	done := uintptr(j.lit) - uintptr(unsafe.Pointer(unsafe.SliceData(lit.buf)))
	copy(h.buf[j.at:h.cur+total], lit.buf[done:])
	return nil
}

// An executeJob is a list of sequences and where they write.
type executeJob struct {
	seqs  *seq
	n     int            // their number
	next  int            // the first that is not done
	front *byte          // of the history
	at    int            // place in the history of the next byte
	lit   unsafe.Pointer // the next literal
}

// loop is executeLoop in Go.
func (j *executeJob) loop() {
	base := unsafe.Pointer(j.front)
	lp, at := j.lit, j.at
	seqs := unsafe.Slice(j.seqs, j.n)
	i := j.next
	for ; i < len(seqs); i++ {
		s := &seqs[i]
		n := int(s.lit)
		op := unsafe.Add(base, at)
		copy16(op, lp)
		if n > 16 {
			copyLong(unsafe.Add(op, 16), unsafe.Add(lp, 16), n-16)
		}
		lp = unsafe.Add(lp, n)
		at += n
		op = unsafe.Add(op, n)

		n = int(s.match)
		off := int(s.off)
		if off > at {
			break
		}
		mp := unsafe.Add(op, -off)
		if off >= 16 {
			copy16(op, mp)
			if n > 16 {
				if n > 128 && off >= n {
					copy(unsafe.Slice((*byte)(op), n), unsafe.Slice((*byte)(mp), n))
				} else {
					copyLong(unsafe.Add(op, 16), unsafe.Add(mp, 16), n-16)
				}
			}
		} else {
			repeat(op, off, n)
		}
		at += n
	}
	j.next, j.lit, j.at = i, lp, at
}

func copy16(dst, src unsafe.Pointer) {
	*(*[16]byte)(dst) = *(*[16]byte)(src)
}

// copyLong copies n > 0 bytes in steps of 16; src is at least 16 before dst or elsewhere.
func copyLong(dst, src unsafe.Pointer, n int) {
	for ; n > 0; n -= 16 {
		copy16(dst, src)
		dst = unsafe.Add(dst, 16)
		src = unsafe.Add(src, 16)
	}
}

// repeat writes n bytes at op that repeat the off < 16 bytes before it.
func repeat(op unsafe.Pointer, off, n int) {
	// The first 16 bytes byte by byte; from there on a multiple of the period
	// of at least 16 is a distance as good as the period.
	src := unsafe.Add(op, -off)
	k := min(n, 32)
	for i := range k {
		*(*byte)(unsafe.Add(op, i)) = *(*byte)(unsafe.Add(src, i))
	}
	if n > 32 {
		wide := off * ((15 + off) / off)
		copyLong(unsafe.Add(op, 32), unsafe.Add(op, 32-wide), n-32)
	}
}

// reach copies a match whose source begins before the front of the buffer: in the lap
// before, or in the window of the checkpoint.
func (d *decoder) reach(at, off, n int) error {
	h := &d.hist
	src := h.pos + int64(at-h.cur) - int64(off)
	if d.far != nil && src < d.origin {
		k := int(min(int64(n), d.origin-src))
		if !d.far.copy(h.buf[at:at+k], d.origin-src) {
			return errOffset
		}
		at, n = at+k, n-k
	}
	if back := off - at; n > 0 && back > 0 && h.prev > 0 {
		k := min(n, back)
		copy(h.buf[at:at+k], h.buf[h.prev-back:h.prev-back+k])
		at, n = at+k, n-k
	}
	for ; n > 0; n-- {
		h.buf[at] = h.buf[at-off]
		at++
	}
	return nil
}
