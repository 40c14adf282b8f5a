// Package codec is the contract between the layer index and the decoders of
// compressed streams (gzipx, zstdx, rawx).
//
// A codec does three things. Scan decodes a stream from its start and reports,
// besides the bytes, checkpoints: places from which decoding can start again.
// Resume goes on with a scan that was interrupted. Decode produces the bytes
// after one checkpoint.
//
// # Spans and overhang
//
// A checkpoint begins a span, which lasts to the next checkpoint. Readers want
// chunks, and a chunk may lie over the border of two spans. So that one span is
// enough for any chunk, a checkpoint must serve ScanOptions.Overhang bytes more
// than its span: its window holds all that the decoder refers to while it
// produces [Out, next Out + Overhang).
//
// Codecs are pure: bytes in, bytes out, no input or output of their own but the
// reader they are given, no logging, memory bounded by the stream's window and a
// constant. Input is hostile.
package codec

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// A Checkpoint is a place in a stream where decoding can start.
type Checkpoint struct {
	// Out is the offset in the decoded stream of the first byte produced.
	Out int64
	// In is the offset in the compressed stream of the first byte needed.
	In int64
	// State is what the decoder needs besides the window, in the codec's own
	// deterministic encoding. Small: some hundred bytes.
	State []byte
	// Window is the referenced part of the preceding output, packed, in the
	// codec's own deterministic encoding; empty when nothing is referenced.
	Window []byte
}

// ScanOptions are the settings of a scan. They decide the checkpoints, so they
// are part of what makes an index deterministic.
type ScanOptions struct {
	// SpanBytes is the wanted distance of checkpoints in decoded bytes;
	// 0 is the codec's default.
	SpanBytes int64
	// MaxSpanBytes is the greatest distance of checkpoints in decoded bytes where
	// the codec places them by cost; 0 is the codec's default.
	MaxSpanBytes int64
	// Overhang is how far past its span a checkpoint serves, in decoded bytes.
	Overhang int64
	// MaxWindow is the largest window that is accepted, in bytes;
	// 0 is 128 MiB (ERR-6).
	MaxWindow int64
	// MaxOut is the most decoded bytes that are produced; 0 is no limit. A stream
	// that goes on is ErrTooLarge (ERR-7).
	MaxOut int64
}

// A Sink receives what a scan finds. An error from a method ends the scan, which
// returns it as it is.
type Sink interface {
	// Data takes the next decoded bytes. in is the number of compressed bytes
	// (from the start of the stream) that a decoder needs to produce all bytes
	// up to the end of p, whatever checkpoint it starts from. p is valid only
	// during the call. len(p) is at most 256 KiB.
	Data(p []byte, in int64) error

	// Checkpoint takes the next checkpoint; Out and In increase. The first one
	// has Out 0 and comes before the first Data or at any time before the end.
	// A checkpoint may come much later than the Data after it, since its window is known
	// only when its span and overhang are over. The slices become the sink's.
	Checkpoint(cp Checkpoint) error

	// Pause is called now and then (at least every 32 MiB of output where the
	// format allows) at a place where the scan can be resumed. A sink that wants
	// to save the place calls snapshot, which costs time and memory in
	// proportion to the window.
	Pause(snapshot func() (Snapshot, error)) error
}

// A Snapshot is an interrupted scan.
type Snapshot struct {
	In    int64  // offset in the compressed stream from which Resume reads
	Out   int64  // offset in the decoded stream of the next Data
	State []byte // the codec's own encoding; not deterministic, not shared, local and still untrusted
}

// A Result says how a scan ended.
type Result struct {
	// In is the number of compressed bytes that belong to the stream.
	In int64
	// Out is the number of decoded bytes.
	Out int64
	// Trailing is the number of bytes after the stream's end that are not part
	// of it (zero padding, garbage, skippable frames), which the codec tolerates.
	Trailing int64
}

// A Codec is a compressed format. Its methods may run in parallel.
type Codec interface {
	// Name is the format's short name as the index and the user see it: "gzip".
	Name() string

	// Scan decodes the stream r from its start to its end.
	// Errors: *Error for a stream that breaks the format, or ends early
	// (wrapping io.ErrUnexpectedEOF); ErrTooLarge; the sink's; the reader's; ctx.Err().
	Scan(ctx context.Context, r io.Reader, opt ScanOptions, sink Sink) (Result, error)

	// Resume goes on from a snapshot; r gives the compressed stream from s.In on.
	// What the sink sees, appended to what it saw before the snapshot was taken, is
	// what one Scan would have shown it. Checkpoints before the place, but not yet reported,
	// are reported. Result and offsets count from the stream's start.
	Resume(ctx context.Context, r io.Reader, s Snapshot, opt ScanOptions, sink Sink) (Result, error)

	// Decode produces n decoded bytes from a checkpoint on, in order, through
	// emit, whose argument is valid only during the call. r gives the compressed
	// stream from cp.In on. Decode reads no more of r than it needs, give or
	// take a buffer; it may ask r for more bytes than r has, and must not fail for a
	// lack of bytes that it does not need. n may reach Overhang past the span.
	// A cp that was tampered with gives an error or wrong bytes, never a panic or
	// unbounded memory: callers check digests.
	// Errors: as Scan.
	Decode(ctx context.Context, cp Checkpoint, r io.Reader, n int64, emit func(p []byte) error) error
}

// ErrTooLarge says that a stream decodes to more than ScanOptions.MaxOut, or asks for a
// window over MaxWindow.
var ErrTooLarge = errors.New("stream too large")

// An Error is a stream that breaks its format.
type Error struct {
	Codec string // the codec's name
	In    int64  // offset in the compressed stream, about where it was seen
	Err   error  // what is wrong
}

func (e *Error) Error() string {
	return fmt.Sprintf("%s stream, offset %d: %v", e.Codec, e.In, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }
