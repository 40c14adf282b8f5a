package rawx

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/shalefs/shalefs/index/codec"
)

const (
	name = "tar"

	// DefaultSpanBytes is the distance of checkpoints of ScanOptions.SpanBytes 0.
	DefaultSpanBytes = 1 << 20

	// dataBytes is the longest piece given to a sink or emitted.
	dataBytes = 64 << 10

	// pauseBytes is the distance of pauses, a multiple of dataBytes.
	pauseBytes = 16 << 20
)

// New returns the codec of uncompressed streams. It has no state of its own.
func New() codec.Codec { return rawCodec{} }

type rawCodec struct{}

var _ codec.Codec = rawCodec{}

// Name is "tar".
func (rawCodec) Name() string { return name }

// Scan passes the stream on. An empty stream is one without data, with the checkpoint
// at 0.
func (rawCodec) Scan(ctx context.Context, r io.Reader, opt codec.ScanOptions, sink codec.Sink) (codec.Result, error) {
	s := scanner{ctx: ctx, r: r, opt: opt, sink: sink}
	return s.scan()
}

// Resume goes on with a scan.
func (rawCodec) Resume(ctx context.Context, r io.Reader, snap codec.Snapshot, opt codec.ScanOptions, sink codec.Sink) (codec.Result, error) {
	next, n := binary.Uvarint(snap.State)
	if n <= 0 || n != len(snap.State) || snap.In < 0 || snap.In != snap.Out ||
		next < uint64(snap.In) || next > 1<<62 {
		return codec.Result{}, &codec.Error{Codec: name, In: snap.In, Err: errors.New("invalid snapshot")}
	}
	s := scanner{ctx: ctx, r: r, opt: opt, sink: sink, at: snap.In, next: int64(next)}
	return s.scan()
}

// Decode copies n bytes.
func (rawCodec) Decode(ctx context.Context, cp codec.Checkpoint, r io.Reader, n int64, emit func([]byte) error) error {
	if len(cp.State) != 0 || len(cp.Window) != 0 || cp.In != cp.Out || cp.In < 0 {
		return &codec.Error{Codec: name, In: cp.In, Err: errors.New("invalid checkpoint")}
	}
	if n <= 0 {
		return nil
	}
	buf := make([]byte, min(n, dataBytes))
	for at := cp.In; n > 0; {
		if err := ctx.Err(); err != nil {
			return err
		}
		m, err := io.ReadFull(r, buf[:min(n, int64(len(buf)))])
		if m > 0 {
			if err := emit(buf[:m]); err != nil {
				return err
			}
		}
		at += int64(m)
		n -= int64(m)
		if err != nil {
			return short(at, err)
		}
	}
	return nil
}

// short makes the error of a read that gave too few bytes.
func short(at int64, err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return &codec.Error{Codec: name, In: at, Err: io.ErrUnexpectedEOF}
	}
	return err
}

// A scanner passes a stream on.
type scanner struct {
	ctx  context.Context
	r    io.Reader
	opt  codec.ScanOptions
	sink codec.Sink
	at   int64 // offset of the next byte
	next int64 // offset of the next checkpoint
}

func (s *scanner) scan() (codec.Result, error) {
	span := s.opt.SpanBytes
	if span <= 0 {
		span = DefaultSpanBytes
	}
	if s.at == 0 && s.next == 0 {
		if err := s.checkpoint(span); err != nil {
			return codec.Result{}, err
		}
	}
	buf := make([]byte, dataBytes)
	for {
		if err := s.ctx.Err(); err != nil {
			return codec.Result{}, err
		}
		// Pieces end at multiples of dataBytes, so that they do not depend on where
		// the scan began.
		n, err := fill(s.r, buf[:dataBytes-s.at%dataBytes])
		if n > 0 {
			if err := s.data(buf[:n], span); err != nil {
				return codec.Result{}, err
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return codec.Result{In: s.at, Out: s.at}, nil
		case err != nil:
			return codec.Result{}, err
		}
		if s.at%pauseBytes == 0 {
			if err := s.sink.Pause(s.snapshot); err != nil {
				return codec.Result{}, err
			}
		}
	}
}

// fill reads until b is full or r has an error, which it returns as it is: the
// reader's io.EOF is the stream's end, its io.ErrUnexpectedEOF a cut.
func fill(r io.Reader, b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		var k int
		k, err = r.Read(b[n:])
		n += k
	}
	return n, err
}

// data gives a piece and the checkpoints that lie in it.
func (s *scanner) data(p []byte, span int64) error {
	end := s.at + int64(len(p))
	if s.opt.MaxOut > 0 && end > s.opt.MaxOut {
		return fmt.Errorf("%w: over %d bytes", codec.ErrTooLarge, s.opt.MaxOut)
	}
	for s.next < end {
		if err := s.checkpoint(span); err != nil {
			return err
		}
	}
	s.at = end
	return s.sink.Data(p, end)
}

func (s *scanner) checkpoint(span int64) error {
	cp := codec.Checkpoint{Out: s.next, In: s.next}
	s.next += span
	return s.sink.Checkpoint(cp)
}

func (s *scanner) snapshot() (codec.Snapshot, error) {
	return codec.Snapshot{In: s.at, Out: s.at, State: binary.AppendUvarint(nil, uint64(s.next))}, nil
}
