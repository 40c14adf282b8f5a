package rawx

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/shalefs/shalefs/index/codec"
)

const (
	defaultSpanBytes = 1 << 20
	pieceBytes       = 256 << 10
	pauseBytes       = 32 << 20
)

// New returns the codec. It has no state.
func New() codec.Codec { return rawCodec{} }

type rawCodec struct{}

func (rawCodec) Name() string { return "tar" }

func (rawCodec) Scan(ctx context.Context, r io.Reader, opt codec.ScanOptions, sink codec.Sink) (codec.Result, error) {
	return scan(ctx, r, 0, opt, sink)
}

func (rawCodec) Resume(ctx context.Context, r io.Reader, s codec.Snapshot, opt codec.ScanOptions, sink codec.Sink) (codec.Result, error) {
	if s.In != s.Out || s.In < 0 || len(s.State) != 0 {
		return codec.Result{}, &codec.Error{Codec: "tar", In: s.In, Err: errors.New("broken snapshot")}
	}
	return scan(ctx, r, s.Out, opt, sink)
}

// scan passes the bytes from off on. A piece ends at the border of a span, so that a
// checkpoint comes before the data that follows it.
func scan(ctx context.Context, r io.Reader, off int64, opt codec.ScanOptions, sink codec.Sink) (codec.Result, error) {
	span := opt.SpanBytes
	if span <= 0 {
		span = defaultSpanBytes
	}
	buf := make([]byte, pieceBytes)
	pauseAt := off + pauseBytes
	for {
		if err := ctx.Err(); err != nil {
			return codec.Result{}, err
		}
		n, readErr := fill(r, buf[:min(pieceBytes, span-off%span)])
		if off%span == 0 && (n > 0 || off == 0) {
			if err := sink.Checkpoint(codec.Checkpoint{Out: off, In: off}); err != nil {
				return codec.Result{}, err
			}
		}
		if n > 0 {
			off += int64(n)
			if opt.MaxOut > 0 && off > opt.MaxOut {
				return codec.Result{}, fmt.Errorf("tar stream of more than %d bytes: %w", opt.MaxOut, codec.ErrTooLarge)
			}
			if err := sink.Data(buf[:n], off); err != nil {
				return codec.Result{}, err
			}
		}
		if errors.Is(readErr, io.EOF) {
			return codec.Result{In: off, Out: off}, nil
		}
		if readErr != nil {
			return codec.Result{}, readErr
		}
		if off >= pauseAt {
			at := off
			pauseAt = off + pauseBytes
			if err := sink.Pause(func() (codec.Snapshot, error) { return codec.Snapshot{In: at, Out: at}, nil }); err != nil {
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

func (rawCodec) Decode(ctx context.Context, cp codec.Checkpoint, r io.Reader, n int64, emit func(p []byte) error) error {
	buf := make([]byte, min(max(n, 0), pieceBytes))
	for at := cp.In; n > 0; {
		if err := ctx.Err(); err != nil {
			return err
		}
		k, readErr := fill(r, buf[:min(n, int64(len(buf)))])
		if k > 0 {
			if err := emit(buf[:k]); err != nil {
				return err
			}
		}
		at, n = at+int64(k), n-int64(k)
		switch {
		case n == 0:
		case errors.Is(readErr, io.EOF):
			return &codec.Error{Codec: "tar", In: at, Err: io.ErrUnexpectedEOF}
		case readErr != nil:
			return readErr
		}
	}
	return nil
}
