package gzipx

import (
	"context"
	"io"

	"github.com/shalefs/shalefs/index/codec"
)

// New returns the codec of gzip streams. It has no state of its own.
func New() codec.Codec { return gzipCodec{} }

type gzipCodec struct{}

var _ codec.Codec = gzipCodec{}

// Name is "gzip".
func (gzipCodec) Name() string { return name }

// Scan decodes all members, checking their CRC-32 and length. Bytes after the
// last member that do not begin with the magic bytes of another are
// tolerated and counted (FMT-6); an empty stream is an error. A span is by default
// DefaultSpanBytes long; SpanBytes below MinSpanBytes are raised to it. Overhang is
// served whatever it is, MaxSpanBytes and MaxWindow mean nothing here: a window is 32 KiB.
func (gzipCodec) Scan(ctx context.Context, r io.Reader, opt codec.ScanOptions, sink codec.Sink) (codec.Result, error) {
	s := newScanner(ctx, r, 0, 0, opt, sink)
	defer s.release()
	return s.scan()
}

// Resume goes on with a scan.
func (gzipCodec) Resume(ctx context.Context, r io.Reader, snap codec.Snapshot, opt codec.ScanOptions, sink codec.Sink) (codec.Result, error) {
	s := newScanner(ctx, r, snap.In, snap.Out, opt, sink)
	defer s.release()
	if err := s.load(snap); err != nil {
		return codec.Result{}, err
	}
	return s.scan()
}

// Decode decodes n bytes from a checkpoint on. It crosses members, and checks
// neither their CRC-32 nor their length. Pieces are at most 64 KiB.
func (gzipCodec) Decode(ctx context.Context, cp codec.Checkpoint, r io.Reader, n int64, emit func([]byte) error) error {
	if n <= 0 {
		return nil
	}
	d := inflaters.Get().(*inflater)
	defer d.release()
	if err := d.start(ctx, cp, r); err != nil {
		return err
	}
	return d.decode(n, emit)
}
