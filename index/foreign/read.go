package foreign

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/shalefs/shalefs/index/tarx"
)

// ReadRange reads the bytes [off, off+n) of a blob of the size, in one request.
// Errors: ErrInvalid if they are not all in it, ErrTooLarge over MaxPacked; the blob's.
func ReadRange(ctx context.Context, r tarx.ReaderAtCtx, size, off, n int64) ([]byte, error) {
	if n > MaxPacked {
		return nil, fmt.Errorf("%w: %d bytes, limit %d", ErrTooLarge, n, int64(MaxPacked))
	}
	if off < 0 || n < 0 || off > size-n {
		return nil, Invalidf("bytes %d+%d of a layer of %d", off, n, size)
	}
	b := make([]byte, n)
	if n == 0 {
		return b, nil
	}
	got, err := r.ReadAt(ctx, b, off)
	if int64(got) == n && (err == nil || errors.Is(err, io.EOF)) {
		return b, nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return nil, err
}
