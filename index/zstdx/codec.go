package zstdx

import (
	"context"
	"errors"
	"io"

	"github.com/shalefs/shalefs/index/codec"
)

const (
	// defaultSpan is the wanted distance of checkpoints, in decoded bytes.
	defaultSpan = 2 << 20
	// defaultMaxSpan is the greatest distance of checkpoints, in decoded bytes.
	defaultMaxSpan = 16 << 20
	// limitSpan bounds what a caller may ask for: the look-ahead is memory.
	limitSpan = 32 << 20
	// limitOverhang bounds the overhang likewise.
	limitOverhang = 4 << 20
	// defaultMaxWindow is the largest window accepted by default (ERR-6).
	defaultMaxWindow = 128 << 20
	// limitWindow bounds what a caller may ask for.
	limitWindow = 2 << 30
	// maxBlock is the largest block in decoded bytes (RFC 8878, 3.1.1.2.4).
	maxBlock = 128 << 10
	// pauseEvery is the distance of the calls of Sink.Pause, in decoded bytes.
	pauseEvery = 16 << 20
)

// zstdCodec implements codec.Codec. It has no state that changes, so its methods may
// run in parallel.
type zstdCodec struct {
	// everyBlock makes every block boundary a checkpoint, whatever it costs: for tests.
	everyBlock bool
	// plain does without assembly: for tests.
	plain bool
	// pause is the distance of calls of Sink.Pause, 0 for pauseEvery: for tests.
	pause int64
}

var _ codec.Codec = zstdCodec{}

// New returns the zstd codec.
//
// Its Result counts skippable frames after the last data frame as part of the
// stream: In is the whole stream and Trailing is 0, because anything else after
// a frame is an error (FMT-9). A stream without any frame, or without any byte, is
// an empty stream.
func New() codec.Codec { return zstdCodec{} }

// Name returns "zstd".
func (zstdCodec) Name() string { return "zstd" }

// Scan implements codec.Codec.
func (c zstdCodec) Scan(ctx context.Context, r io.Reader, opt codec.ScanOptions, sink codec.Sink) (codec.Result, error) {
	s := newScanner(ctx, r, c.fill(opt), sink, c)
	defer s.close()
	return s.run()
}

// Resume implements codec.Codec.
func (c zstdCodec) Resume(ctx context.Context, r io.Reader, sn codec.Snapshot, opt codec.ScanOptions, sink codec.Sink) (codec.Result, error) {
	s := newScanner(ctx, r, c.fill(opt), sink, c)
	defer s.close()
	if err := s.restore(sn); err != nil {
		return codec.Result{}, &codec.Error{Codec: "zstd", In: sn.In, Err: err}
	}
	return s.run()
}

// fill puts the defaults and limits into the options.
func (zstdCodec) fill(opt codec.ScanOptions) codec.ScanOptions {
	if opt.SpanBytes <= 0 {
		opt.SpanBytes = defaultSpan
	}
	if opt.MaxSpanBytes <= 0 {
		opt.MaxSpanBytes = defaultMaxSpan
	}
	opt.MaxSpanBytes = min(max(opt.MaxSpanBytes, opt.SpanBytes), limitSpan)
	opt.SpanBytes = min(opt.SpanBytes, opt.MaxSpanBytes)
	opt.Overhang = min(max(opt.Overhang, 0), limitOverhang)
	if opt.MaxWindow <= 0 {
		opt.MaxWindow = defaultMaxWindow
	}
	opt.MaxWindow = min(opt.MaxWindow, limitWindow)
	return opt
}

// Errors about the stream. They reach the caller inside a *codec.Error.
var (
	errMagic      = errors.New("neither a zstd frame nor a skippable frame")
	errReserved   = errors.New("reserved bit or value in use")
	errDictionary = errors.New("frame needs an external dictionary")
	errBlockSize  = errors.New("block larger than allowed")
	errFrameSize  = errors.New("frame content differs from the size in its header")
	errChecksum   = errors.New("content checksum mismatch")
	errLiterals   = errors.New("bad literals section")
	errTable      = errors.New("bad table description")
	errSequences  = errors.New("bad sequences section")
	errOffset     = errors.New("match reaches before the window")
	errZeroOffset = errors.New("match with offset zero")
	errNoTable    = errors.New("table repeated before it was defined")
	errCheckpoint = errors.New("bad checkpoint")
	errSnapshot   = errors.New("bad snapshot")
	errProof      = errors.New("checkpoint does not give back the stream")
)
