package layout

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// checkRange refuses a range that is not within size.
func checkRange(off, n, size int64) error {
	if off < 0 || n < 0 || off > size || n > size-off {
		return fmt.Errorf("range of %d bytes at %d of %d: %w", n, off, size, ErrInvalid)
	}
	return nil
}

// readWithin cuts a read to the blob's size. It returns the part of p to fill and
// the error to give when that is filled.
func readWithin(p []byte, off, size int64) ([]byte, error) {
	switch {
	case off < 0:
		return nil, fmt.Errorf("offset %d: %w", off, ErrInvalid)
	case off > size:
		return nil, io.EOF
	case int64(len(p)) > size-off:
		return p[:size-off], io.EOF
	}
	return p, nil
}

// A bytesBlob is a blob in memory.
type bytesBlob struct {
	b []byte
	d digest.Digest
}

var _ Blob = (*bytesBlob)(nil)

// NewBytesBlob makes a blob of bytes in memory, which must not change. They are
// checked against the descriptor.
func NewBytesBlob(desc ocispec.Descriptor, b []byte) (Blob, error) {
	if err := VerifyBytes(desc, b); err != nil {
		return nil, err
	}
	return &bytesBlob{b: b, d: desc.Digest}, nil
}

func (b *bytesBlob) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	p, end := readWithin(p, off, b.Size())
	if p == nil && end != nil {
		return 0, end
	}
	return copy(p, b.b[off:]), end
}

func (b *bytesBlob) Range(ctx context.Context, off, n int64) (io.ReadCloser, error) {
	return newBlobStream(ctx, b, off, n)
}

func (b *bytesBlob) Size() int64           { return int64(len(b.b)) }
func (b *bytesBlob) Digest() digest.Digest { return b.d }
func (b *bytesBlob) Close() error          { return nil }

// A fileBlob is a blob in a run of a local file.
type fileBlob struct {
	f     *os.File
	base  int64
	size  int64
	d     digest.Digest
	own   bool
	total int64 // size of the file when it was opened
	mtime time.Time
}

var _ Blob = (*fileBlob)(nil)

// NewFileBlob makes a blob of the size bytes at base of a regular file. With own,
// closing the blob closes the file, also when NewFileBlob fails. A file that is written to while
// it is open makes reads fail with ErrChanged (LAY-20).
func NewFileBlob(f *os.File, base, size int64, d digest.Digest, own bool) (Blob, error) {
	fi, err := f.Stat()
	if err == nil && !fi.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file: %w", f.Name(), ErrInvalid)
	}
	if err == nil {
		err = checkRange(base, size, fi.Size())
	}
	if err != nil {
		if own {
			err = errors.Join(err, f.Close())
		}
		return nil, err
	}
	return &fileBlob{f: f, base: base, size: size, d: d, own: own, total: fi.Size(), mtime: fi.ModTime()}, nil
}

func (b *fileBlob) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	p, end := readWithin(p, off, b.size)
	if p == nil && end != nil {
		return 0, end
	}
	if len(p) == 0 {
		return 0, end
	}
	_, err := b.f.ReadAt(p, b.base+off)
	if err != nil && err != io.EOF {
		return 0, fmt.Errorf("blob %s: %w", b.d, err)
	}
	// The file is looked at after the read, so that bytes written before it are noticed.
	fi, serr := b.f.Stat()
	if serr != nil {
		return 0, fmt.Errorf("blob %s: %w", b.d, serr)
	}
	if err == io.EOF || fi.Size() != b.total || !fi.ModTime().Equal(b.mtime) {
		return 0, fmt.Errorf("blob %s: %s was written to: %w", b.d, b.f.Name(), ErrChanged)
	}
	return len(p), end
}

func (b *fileBlob) Range(ctx context.Context, off, n int64) (io.ReadCloser, error) {
	return newBlobStream(ctx, b, off, n)
}

func (b *fileBlob) Size() int64           { return b.size }
func (b *fileBlob) Digest() digest.Digest { return b.d }

func (b *fileBlob) Close() error {
	if b.own {
		return b.f.Close()
	}
	return nil
}

// A blobStream reads a range of a blob by ReadAt.
type blobStream struct {
	ctx      context.Context // governs the stream, as Blob.Range says
	b        Blob
	off, end int64
	closed   bool
}

func newBlobStream(ctx context.Context, b Blob, off, n int64) (io.ReadCloser, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := checkRange(off, n, b.Size()); err != nil {
		return nil, err
	}
	return &blobStream{ctx: ctx, b: b, off: off, end: off + n}, nil
}

func (s *blobStream) Read(p []byte) (int, error) {
	if s.closed {
		return 0, os.ErrClosed
	}
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	if s.off == s.end {
		return 0, io.EOF
	}
	if int64(len(p)) > s.end-s.off {
		p = p[:s.end-s.off]
	}
	n, err := s.b.ReadAt(s.ctx, p, s.off)
	s.off += int64(n)
	return n, err
}

func (s *blobStream) Close() error {
	s.closed = true
	return nil
}
