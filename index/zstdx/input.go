package zstdx

import (
	"errors"
	"io"
)

const (
	// headroom is how many bytes before a piece may be read: the bit reader
	// of sequences loads whole words and checks once a sequence.
	headroom = 24
	// slack is how many bytes after a piece may be read or written by wide copies.
	slack = 64
	// inputBytes is the size of the buffer of compressed bytes.
	inputBytes = 256 << 10
)

// A piece is the bytes buf[lo:hi], with headroom before and slack after them.
type piece struct {
	buf    []byte
	lo, hi int
}

// input reads a compressed stream through a buffer and counts.
type input struct {
	r      io.Reader
	buf    []byte
	lo, hi int   // unread bytes
	pos    int64 // offset in the stream of buf[lo]
	err    error // what r said last
}

func newInput() *input { return &input{buf: make([]byte, headroom+inputBytes+slack)} }

func (in *input) reset(r io.Reader, pos int64) {
	in.r, in.lo, in.hi, in.pos, in.err = r, headroom, headroom, pos, nil
}

// want makes n bytes available, n <= inputBytes. Its error is io.EOF where
// the stream ends with no byte left, io.ErrUnexpectedEOF where it ends with fewer than
// n, or the reader's own.
func (in *input) want(n int) error {
	if in.hi-in.lo >= n {
		return nil
	}
	if headroom+inputBytes-in.lo < n || in.lo == in.hi {
		in.hi = headroom + copy(in.buf[headroom:], in.buf[in.lo:in.hi])
		in.lo = headroom
	}
	for empty := 0; in.hi-in.lo < n; {
		if in.err != nil {
			if errors.Is(in.err, io.EOF) && in.hi > in.lo {
				return io.ErrUnexpectedEOF
			}
			return in.err
		}
		k, err := in.r.Read(in.buf[in.hi : headroom+inputBytes])
		in.hi += k
		in.err = err
		if k == 0 && err == nil {
			if empty++; empty > 100 {
				in.err = io.ErrNoProgress
			}
		}
	}
	return nil
}

// take consumes n bytes. The piece is valid until the next call.
func (in *input) take(n int) (piece, error) {
	if err := in.want(n); err != nil {
		return piece{}, err
	}
	p := piece{in.buf, in.lo, in.lo + n}
	in.lo += n
	in.pos += int64(n)
	return p, nil
}

// bytes is take for callers that need no headroom.
func (in *input) bytes(n int) ([]byte, error) {
	p, err := in.take(n)
	if err != nil {
		return nil, err
	}
	return p.buf[p.lo:p.hi], nil
}

// skip consumes n bytes of any number.
func (in *input) skip(n int64) error {
	for n > 0 {
		k := int(min(n, inputBytes))
		if _, err := in.take(k); err != nil {
			return err
		}
		n -= int64(k)
	}
	return nil
}
