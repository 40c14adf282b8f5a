package gzipx

import (
	"bytes"
	"context"
	"hash/crc32"
	"io"

	"github.com/shalefs/shalefs/index/codec"
)

const (
	// DefaultSpanBytes is the distance of checkpoints, in decoded bytes, of
	// ScanOptions.SpanBytes 0.
	DefaultSpanBytes = 1216 << 10
	// MinSpanBytes is the least distance, in decoded bytes; smaller wishes are raised to it.
	MinSpanBytes = 64 << 10

	// maxSpanBytes keeps sums of offsets far from overflow.
	maxSpanBytes = 1 << 40

	// dataBytes is the distance of the places where the scan gives data, in
	// decoded bytes. It decides how exact the argument in of Data is.
	dataBytes = 32 << 10

	// pauseBytes is after how many decoded bytes without a checkpoint the scan
	// pauses.
	pauseBytes = 16 << 20
)

// A scanner decodes a stream and makes checkpoints.
type scanner struct {
	*inflater
	opt  codec.ScanOptions
	sink codec.Sink

	given int    // what of out was given to the sink ends here
	crc   uint32 // of the member's data so far
	size  uint32 // its length, modulo 2^32

	begun  bool              // there is a checkpoint at 0
	lastCP int64             // Out of the last checkpoint that was reported
	open   *codec.Checkpoint // its window is open
	// free is a checkpoint at the start of a member. It costs nothing, so it may
	// come early. It waits for the first data, so that no span is empty.
	free *codec.Checkpoint

	paused int64 // Out of the last pause
	due    bool  // a checkpoint was reported since

	marks  marks
	packer *packer
	proof  *inflater
}

func newScanner(ctx context.Context, r io.Reader, in, out int64, opt codec.ScanOptions, sink codec.Sink) *scanner {
	if opt.SpanBytes == 0 {
		opt.SpanBytes = DefaultSpanBytes
	}
	opt.SpanBytes = min(max(opt.SpanBytes, MinSpanBytes), maxSpanBytes)
	s := &scanner{
		inflater: inflaters.Get().(*inflater),
		proof:    inflaters.Get().(*inflater),
		opt:      opt,
		sink:     sink,
		packer:   packers.Get().(*packer),
	}
	s.input.reset(ctx, r, in)
	s.resetOutput(out)
	s.given = s.op
	return s
}

func (s *scanner) release() {
	packers.Put(s.packer)
	s.inflater.release()
	s.proof.release()
}

// scan goes on to the end of the stream.
func (s *scanner) scan() (codec.Result, error) {
	for {
		switch s.kind {
		case atMember:
			end, err := s.beginMember()
			if err != nil {
				return codec.Result{}, err
			}
			if end {
				return s.finish()
			}
		case atTrailer:
			if err := s.endMember(); err != nil {
				return codec.Result{}, err
			}
		default:
			if err := s.step(); err != nil {
				return codec.Result{}, err
			}
		}
	}
}

// beginMember reads a member's header, if there is one.
func (s *scanner) beginMember() (end bool, err error) {
	if end, err := s.atEnd(); end || err != nil {
		if end && !s.begun {
			if s.inflater.end == 0 {
				return false, s.broken(io.ErrUnexpectedEOF)
			}
			return false, s.brokenf("no gzip member here")
		}
		return end, err
	}
	if err := s.pause(); err != nil {
		return false, err
	}
	if !s.begun || s.free == nil && s.outPos()-s.lastCP >= s.opt.SpanBytes/4*3 {
		s.free = &codec.Checkpoint{Out: s.outPos(), In: s.bytePos(), State: s.appendState(nil)}
		if !s.begun {
			s.begun = true
			if err := s.reportFree(); err != nil {
				return false, err
			}
		}
	}
	if err := s.header(); err != nil {
		return false, err
	}
	s.kind = atBlock
	s.last = false
	s.hist = s.op
	s.crc, s.size = 0, 0
	return false, nil
}

// reportFree reports the checkpoint at the start of a member, which needs no proof.
func (s *scanner) reportFree() error {
	if s.free == nil {
		return nil
	}
	cp := *s.free
	s.free = nil
	return s.report(cp)
}

func (s *scanner) report(cp codec.Checkpoint) error {
	s.lastCP = cp.Out
	s.due = true
	return s.sink.Checkpoint(cp)
}

// endMember checks a member's trailer.
func (s *scanner) endMember() error {
	crc, size, err := s.trailer()
	if err != nil {
		return err
	}
	if crc != s.crc {
		return s.brokenf("CRC-32 of the data is %08x, want %08x", s.crc, crc)
	}
	if size != s.size {
		return s.brokenf("length of the data is %d, want %d (modulo 2^32)", s.size, size)
	}
	s.kind = atMember
	return nil
}

// finish counts what comes after the stream.
func (s *scanner) finish() (codec.Result, error) {
	res := codec.Result{In: s.bytePos(), Out: s.outPos()}
	var err error
	res.Trailing, err = s.trailing()
	return res, err
}

// step decodes up to the next place where something is to be done.
func (s *scanner) step() error {
	if err := s.ctx.Err(); err != nil {
		return err
	}
	out := s.outPos()
	stop := (out/dataBytes + 1) * dataBytes
	if s.open != nil {
		stop = min(stop, s.open.Out+winBytes)
	} else {
		stop = min(stop, max(s.lastCP+s.opt.SpanBytes, out+1))
	}
	if err := s.inflater.run(int(stop - s.outBase)); err != nil {
		return err
	}
	if err := s.give(); err != nil {
		return err
	}
	out = s.outPos()
	if s.open != nil {
		if out >= s.open.Out+winBytes || s.kind == atTrailer {
			if err := s.closeCheckpoint(); err != nil {
				return err
			}
		}
	} else if s.kind != atTrailer && out >= s.lastCP+s.opt.SpanBytes {
		s.slide()
		s.given = s.op
		s.openCheckpoint()
	}
	if err := s.pause(); err != nil {
		return err
	}
	if s.op > outBytes-dataBytes-maxMatch {
		s.slide()
		s.given = s.op
	}
	return nil
}

// give gives the new data to the sink.
func (s *scanner) give() error {
	p := s.out[s.given:s.op]
	if len(p) == 0 {
		return nil
	}
	if s.opt.MaxOut > 0 && s.outPos() > s.opt.MaxOut {
		return codec.ErrTooLarge
	}
	s.given = s.op
	if err := s.reportFree(); err != nil {
		return err
	}
	s.crc = crc32.Update(s.crc, crc32.IEEETable, p)
	s.size += uint32(len(p))
	return s.sink.Data(p, s.bytePos())
}

// openCheckpoint makes a checkpoint here and opens its window.
func (s *scanner) openCheckpoint() {
	bit := s.bitPos()
	s.open = &codec.Checkpoint{Out: s.outPos(), In: bit >> 3, State: s.appendState(nil)}
	s.keep = int(bit>>3 - s.base)
	s.marks.at, s.marks.hist = s.op, s.hist
	clear(s.marks.bytes[:])
	s.mark = &s.marks
	s.hist = s.op
}

// closeCheckpoint packs the window of the open checkpoint, proves it and reports
// it. It drops a checkpoint that has no data, or whose proof needs too many
// compressed bytes.
func (s *scanner) closeCheckpoint() error {
	cp := *s.open
	at := s.marks.at
	s.open, s.mark = nil, nil
	s.hist = s.marks.hist
	keep := s.keep
	s.keep = -1
	used := s.bytePos() - cp.In
	if cp.Out == s.outPos() || keep < 0 || used > keepBytes {
		return nil
	}
	cp.Window = s.packer.pack(s.marks.bytes[:])
	comp := s.buf[keep : keep+int(used)]
	if !s.proven(cp, comp, s.out[at:s.op]) {
		return nil
	}
	return s.report(cp)
}

// proven decodes from a checkpoint, given only the compressed bytes comp, and compares.
func (s *scanner) proven(cp codec.Checkpoint, comp, want []byte) bool {
	if err := s.proof.start(s.ctx, cp, bytes.NewReader(comp)); err != nil {
		return false
	}
	err := s.proof.decode(int64(len(want)), func(p []byte) error {
		if len(p) > len(want) || !bytes.Equal(p, want[:len(p)]) {
			return errState
		}
		want = want[len(p):]
		return nil
	})
	return err == nil && len(want) == 0
}
