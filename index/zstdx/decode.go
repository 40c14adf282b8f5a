package zstdx

import (
	"context"
	"errors"
	"io"
	"sync"

	"github.com/shalefs/shalefs/index/codec"
)

// A spanDecoder decodes from one checkpoint on. Its parts are kept for the next.
type spanDecoder struct {
	dec *decoder
	in  *input
}

var spanDecoders = sync.Pool{New: func() any {
	return &spanDecoder{dec: newDecoder(), in: newInput()}
}}

const (
	// keepSpace is the largest history that a decoder in the pool keeps: a window at the default
	// level. Histories have a multiple of spaceStep, in bytes.
	keepSpace = 9 << 20
	spaceStep = 1 << 20
)

// Decode implements codec.Codec. Its memory is the unpacked window of the checkpoint,
// n decoded bytes or the frame's window, whichever is less, and a constant.
func (c zstdCodec) Decode(ctx context.Context, cp codec.Checkpoint, r io.Reader, n int64, emit func(p []byte) error) error {
	s := spanDecoders.Get().(*spanDecoder)
	defer s.release()
	s.dec.plain = c.plain || !haveAsm
	s.in.reset(r, cp.In)
	err := s.run(ctx, cp, n, emit)
	if e := (sinkError{}); errors.As(err, &e) {
		return e.err
	}
	return s.in.wrap(ctx, err)
}

// sinkError marks an error that goes to the caller as it is.
type sinkError struct{ err error }

func (e sinkError) Error() string { return e.err.Error() }

func (s *spanDecoder) release() {
	s.in.r = nil
	s.dec.far = nil
	if cap(s.dec.hist.buf) > keepSpace {
		s.dec.hist.buf = nil
	}
	spanDecoders.Put(s)
}

// wrap makes the error of the stream out of err; errors of the reader and of the ctx
// stay as they are.
func (in *input) wrap(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return err
	}
	if in.err != nil && !errors.Is(in.err, io.EOF) && errors.Is(err, in.err) {
		return err
	}
	return &codec.Error{Codec: "zstd", In: in.pos, Err: err}
}

func (s *spanDecoder) run(ctx context.Context, cp codec.Checkpoint, n int64, emit func(p []byte) error) error {
	st, rest, err := parseState(cp.State)
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		return errCheckpoint
	}
	d := s.dec
	if !st.start {
		if err := st.load(d); err != nil {
			return err
		}
		if d.far, err = unpackWindow(cp.Window, st.frame.window); err != nil {
			return err
		}
		d.origin = cp.Out
		s.space(cp.Out, n)
		if n, err = s.frame(ctx, n, emit); err != nil {
			return err
		}
	}
	for out := cp.Out; n > 0; out = d.hist.pos {
		f, _, err := nextFrame(s.in, limitWindow)
		if err != nil {
			return noEOF(err)
		}
		d.begin(f)
		s.space(out, n)
		if n, err = s.frame(ctx, n, emit); err != nil {
			return err
		}
	}
	return nil
}

// space gives the decoder an empty history that suffices for n bytes of the frame.
func (s *spanDecoder) space(out, n int64) {
	h := &s.dec.hist
	h.reset(out, int(min(s.dec.frame.window, n)))
	need := min(h.most+2*blockSpace, int(min(n, 1<<40))+2*blockSpace)
	if cap(h.buf) < need {
		h.buf = make([]byte, (need+spaceStep-1)/spaceStep*spaceStep)
	}
	h.buf = h.buf[:need]
}

// frame decodes blocks to the end of the frame or of the n bytes, and returns how
// many bytes are still wanted.
func (s *spanDecoder) frame(ctx context.Context, n int64, emit func(p []byte) error) (int64, error) {
	d := s.dec
	for last := false; n > 0 && !last; {
		if err := ctx.Err(); err != nil {
			return n, err
		}
		b, err := s.in.bytes(3)
		if err != nil {
			return n, noEOF(err)
		}
		h := parseBlockHeader(b)
		if err := h.check(d.frame.blockMax()); err != nil {
			return n, err
		}
		p, err := s.in.take(h.stored())
		if err != nil {
			return n, noEOF(err)
		}
		k, err := d.block(h, p, int(min(n, maxBlock)))
		if err != nil {
			return n, err
		}
		d.done(k)
		if k > 0 {
			m := int(min(int64(k), n))
			if err := emit(d.hist.buf[d.hist.cur-k : d.hist.cur-k+m]); err != nil {
				return n, sinkError{err}
			}
			n -= int64(m)
		}
		last = h.last
	}
	if n > 0 && d.frame.checksum {
		if err := s.in.skip(4); err != nil {
			return n, noEOF(err)
		}
	}
	return n, nil
}
