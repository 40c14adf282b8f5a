package zstdx

// history holds the newest output of a decoder, contiguous within a lap.
//
// It fills buf from the front. When a block no longer fits, it starts a new lap at
// the front again; the end of the lap before stays readable until it is overwritten.
// So every block is contiguous, and only the rare match that reaches into the lap
// before needs more than one subtraction.
type history struct {
	buf  []byte // lap space and slack
	most int    // bytes that must stay readable; buf grows until it can hold them
	cur  int    // index in buf of the next byte
	pos  int64  // stream offset of the next byte
	prev int    // length of the lap before, 0 if there is none
}

// blockSpace is the room of one block with its wide copies.
const blockSpace = maxBlock + slack

// reset empties the history. pos is the stream offset of the next byte, most how
// many bytes must stay readable from now on.
func (h *history) reset(pos int64, most int) {
	h.cur, h.prev, h.pos = 0, 0, pos
	h.most = most
}

// room makes place for one block after cur.
func (h *history) room() {
	if h.cur+blockSpace <= len(h.buf) {
		return
	}
	full := h.most + 2*blockSpace
	if len(h.buf) >= full {
		h.prev, h.cur = h.cur, 0
		return
	}
	h.grow(min(full, max(8*len(h.buf), 1<<20)))
}

// grow moves what is readable to the front of a larger buffer.
func (h *history) grow(n int) {
	keep := h.avail()
	buf := make([]byte, max(n, keep+blockSpace))
	a, b := h.tail(keep)
	copy(buf[copy(buf, a):], b)
	h.buf, h.cur, h.prev = buf, keep, 0
}

// avail is how many bytes can be read back.
func (h *history) avail() int {
	if h.prev == 0 {
		return h.cur
	}
	return h.cur + max(0, h.prev-(h.cur+blockSpace))
}

// tail returns the last n bytes in two parts; n <= avail.
func (h *history) tail(n int) (a, b []byte) {
	if n <= h.cur {
		return nil, h.buf[h.cur-n : h.cur]
	}
	n -= h.cur
	return h.buf[h.prev-n : h.prev], h.buf[:h.cur]
}

// at returns the bytes [off, off+n) of the stream in two parts, the first of which may be empty.
func (h *history) at(off int64, n int) (a, b []byte) {
	back := int(h.pos - off)
	a, b = h.tail(back)
	if n <= len(a) {
		return a[:n], nil
	}
	return a, b[:n-len(a)]
}

// advance makes n bytes at cur part of the history.
func (h *history) advance(n int) {
	h.cur += n
	h.pos += int64(n)
}

// add appends bytes that were output before; n is any length.
func (h *history) add(p []byte) {
	for len(p) > 0 {
		h.room()
		n := copy(h.buf[h.cur:h.cur+maxBlock], p)
		h.advance(n)
		p = p[n:]
	}
}
