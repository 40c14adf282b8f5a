package matrix

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"sync/atomic"

	digest "github.com/opencontainers/go-digest"

	"github.com/shalefs/shalefs/index"
	"github.com/shalefs/shalefs/layout"
)

// A blob is a layer in memory that counts the bytes that leave it. Its streams come
// in pieces of a given length.
type blob struct {
	b       []byte
	d       digest.Digest
	piece   int // longest Read of a stream; 0 is no limit
	fetched atomic.Int64
}

var _ layout.Blob = (*blob)(nil)

func newBlob(b []byte) *blob { return &blob{b: b, d: digest.FromBytes(b)} }

func (m *blob) Size() int64           { return int64(len(m.b)) }
func (m *blob) Digest() digest.Digest { return m.d }
func (m *blob) Close() error          { return nil }

func (m *blob) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	n, err := bytes.NewReader(m.b).ReadAt(p, off)
	m.fetched.Add(int64(n))
	return n, err
}

func (m *blob) Range(ctx context.Context, off, n int64) (io.ReadCloser, error) {
	if off < 0 || n < 0 || off+n > m.Size() {
		return nil, fmt.Errorf("range %d+%d of %d", off, n, m.Size())
	}
	return &stream{ctx: ctx, b: m.b[off : off+n], blob: m}, nil
}

type stream struct {
	ctx  context.Context // of the whole stream
	b    []byte
	blob *blob
}

func (s *stream) Close() error { return nil }

func (s *stream) Read(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	if len(s.b) == 0 {
		return 0, io.EOF
	}
	if s.blob.piece > 0 && len(p) > s.blob.piece {
		p = p[:s.blob.piece]
	}
	n := copy(p, s.b)
	s.b = s.b[n:]
	s.blob.fetched.Add(int64(n))
	return n, nil
}

// A source is a layer index that counts what is decoded.
type source struct {
	*index.Layer
	decoded atomic.Int64
}

func (s *source) Decode(ctx context.Context, span, last int, r io.Reader, emit func(p []byte) error) error {
	return s.Layer.Decode(ctx, span, last, r, func(p []byte) error {
		s.decoded.Add(int64(len(p)))
		return emit(p)
	})
}
