package zstdx

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/cespare/xxhash/v2"

	"github.com/shalefs/shalefs/index/codec"
)

// A scanner is one Scan or Resume.
type scanner struct {
	ctx  context.Context
	in   *input
	opt  codec.ScanOptions
	sink codec.Sink

	dec     *decoder
	tabs    [numTabs]desc // the newest table descriptions, bytes of their own
	hash    xxhash.Digest
	inFrame bool

	look   lookahead
	place  placer
	budget budget
	fin    finisher

	dataFrom int64 // what was decoded before this offset, the sink has seen
	paused   int64 // offset of the last Pause

	pauseEvery int64
}

var inputs = sync.Pool{New: func() any { return newInput() }}

func newScanner(ctx context.Context, r io.Reader, opt codec.ScanOptions, sink codec.Sink, c zstdCodec) *scanner {
	s := &scanner{ctx: ctx, in: inputs.Get().(*input), opt: opt, sink: sink, dec: newDecoder(), budget: newBudget()}
	s.in.reset(r, 0)
	s.dec.note = true
	s.dec.plain = s.dec.plain || c.plain
	s.fin.plain = s.dec.plain
	s.place = placer{minDist: opt.SpanBytes, maxDist: opt.MaxSpanBytes, overhang: opt.Overhang, every: c.everyBlock}
	s.pauseEvery = pauseEvery
	if c.pause > 0 {
		s.pauseEvery = c.pause
	}
	s.look.room(0, opt.SpanBytes, opt.MaxSpanBytes, opt.Overhang)
	return s
}

func (s *scanner) close() {
	s.in.r = nil
	inputs.Put(s.in)
}

// run scans to the end of the stream.
func (s *scanner) run() (codec.Result, error) {
	err := s.frames()
	if e := (sinkError{}); errors.As(err, &e) {
		return codec.Result{}, e.err
	}
	if err != nil {
		return codec.Result{}, s.in.wrap(s.ctx, err)
	}
	return codec.Result{In: s.in.pos, Out: s.dec.hist.pos}, nil
}

func (s *scanner) frames() error {
	for {
		if !s.inFrame {
			f, start, err := nextFrame(s.in, s.opt.MaxWindow)
			if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
				return s.end()
			}
			if err != nil {
				return err
			}
			s.begin(f, start)
		}
		for s.inFrame {
			if err := s.ctx.Err(); err != nil {
				return err
			}
			if err := s.block(); err != nil {
				return err
			}
		}
	}
}

// begin starts a frame whose magic number is at offset start.
func (s *scanner) begin(f frame, start int64) {
	s.dec.begin(f)
	s.tabs = [numTabs]desc{}
	s.hash.Reset()
	s.inFrame = true
	s.reserve(f)
	out := s.dec.hist.pos
	g := &group{in: start, out: out, start: true}
	if l := &s.look; len(l.groups) > 0 && l.end == l.groups[len(l.groups)-1].out {
		// Nothing since that boundary: this one is better.
		l.replace(g)
	} else if len(l.groups) == 0 || out-l.groups[len(l.groups)-1].out >= l.groupMin/2 {
		l.addGroup(g)
	}
}

// reserve makes the look-ahead and the history fit the frame.
func (s *scanner) reserve(f frame) {
	window := f.window
	if f.size >= 0 {
		window = min(window, f.size)
	}
	s.look.room(window, s.opt.SpanBytes, s.opt.MaxSpanBytes, s.opt.Overhang)
	need := int(window + s.look.length + 4*maxBlock)
	s.dec.hist.most = max(s.dec.hist.most, need)
}

// block decodes the next block of the frame.
func (s *scanner) block() error {
	d, l := s.dec, &s.look
	at := s.in.pos
	hb, err := s.in.bytes(3)
	if err != nil {
		return noEOF(err)
	}
	h := parseBlockHeader(hb)
	if err := h.check(d.frame.blockMax()); err != nil {
		return err
	}
	p, err := s.in.take(h.stored())
	if err != nil {
		return noEOF(err)
	}
	if g := l.groups[len(l.groups)-1]; d.hist.pos-g.out >= l.groupMin || len(l.blocks)-g.first >= groupBlocks {
		l.addGroup(&group{
			in: at, out: d.hist.pos, since: d.since, frame: d.frame, reps: d.reps, tabs: s.tabs, hash: s.hash,
		})
	}
	b := l.newBlock(h, p)
	n, err := d.block(h, p, maxBlock)
	if err != nil {
		return err
	}
	b.refs = append(b.refs[:0], d.refs...)
	b.head, b.n, b.out, b.use, b.last = h, n, d.hist.pos, d.use, h.last
	for i, u := range d.use {
		if u == useDefine {
			s.tabs[i] = d.def[i]
			s.tabs[i].raw = bytes.Clone(d.def[i].raw)
		}
	}
	if err := s.output(n, h.last); err != nil {
		return err
	}
	l.addBlock(b, s.in.pos)
	if h.last {
		if err := s.finishFrame(); err != nil {
			return err
		}
	}
	for l.full(s.opt.Overhang) {
		if ok, err := s.checkpoint(false); err != nil {
			return err
		} else if !ok {
			break
		}
	}
	return s.pause()
}

// output checks the n bytes of a new block, hashes them and passes them on.
func (s *scanner) output(n int, last bool) error {
	d := s.dec
	if size := d.frame.size; size >= 0 && (d.since+int64(n) > size || last && d.since+int64(n) != size) {
		return errFrameSize
	}
	if s.opt.MaxOut > 0 && d.hist.pos+int64(n) > s.opt.MaxOut {
		return fmt.Errorf("more than %d bytes: %w", s.opt.MaxOut, codec.ErrTooLarge)
	}
	d.done(n)
	p := d.hist.buf[d.hist.cur-n : d.hist.cur]
	if d.frame.checksum {
		_, _ = s.hash.Write(p) // never fails
	}
	if skip := s.dataFrom - (d.hist.pos - int64(n)); skip > 0 {
		p = p[min(skip, int64(n)):]
	}
	if len(p) == 0 {
		return nil
	}
	if err := s.sink.Data(p, s.in.pos); err != nil {
		return sinkError{err}
	}
	return nil
}

// finishFrame checks the end of a frame.
func (s *scanner) finishFrame() error {
	s.inFrame = false
	if !s.dec.frame.checksum {
		return nil
	}
	b, err := s.in.bytes(4)
	if err != nil {
		return noEOF(err)
	}
	if binary.LittleEndian.Uint32(b) != uint32(s.hash.Sum64()) {
		return errChecksum
	}
	return nil
}

// checkpoint chooses the next checkpoint, and with it completes the one before and reports it.
// It returns false when there is nothing to choose from.
func (s *scanner) checkpoint(final bool) (bool, error) {
	l := &s.look
	if !final && len(l.groups) < 2 {
		return false, nil
	}
	l.closeGroup()
	j := s.place.next(l, &s.budget, final)
	end, endIn := l.end, l.endIn
	if j < len(l.groups) {
		end, endIn = l.groups[j].out+s.opt.Overhang, l.groups[j].in
	}
	comp := endIn - l.groups[0].in
	cp, cross, err := s.fin.finish(l, &s.dec.hist, end)
	if err != nil {
		return false, err
	}
	if !l.groups[0].start {
		s.budget.paid(int64(len(cp.Window)+len(cp.State)), comp, cross)
	} else {
		s.budget.comp += comp
	}
	l.drop(j)
	if err := s.sink.Checkpoint(cp); err != nil {
		return false, sinkError{err}
	}
	return true, nil
}

// end reports what is left when the stream is over.
func (s *scanner) end() error {
	l := &s.look
	if len(l.groups) == 0 {
		// No frame at all: an empty stream has its checkpoint too.
		l.addGroup(&group{start: true})
	}
	for len(l.groups) > 0 {
		if n := len(l.groups); n > 1 && l.groups[n-1].out == l.end {
			l.groups = l.groups[:n-1] // an empty frame at the end
			continue
		}
		if l.end > 0 && l.groups[0].out == l.end {
			break
		}
		if _, err := s.checkpoint(true); err != nil {
			return err
		}
	}
	return nil
}

// pause gives the sink its chance to save the place.
func (s *scanner) pause() error {
	out := s.dec.hist.pos
	if out-s.paused < s.pauseEvery || out < s.dataFrom {
		return nil
	}
	s.paused = out
	if err := s.sink.Pause(s.snapshot); err != nil {
		return sinkError{err}
	}
	return nil
}
