package lazytest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	digest "github.com/opencontainers/go-digest"

	"github.com/shalefs/shalefs/layout"
)

// ErrFault is what an injected failure looks like.
var ErrFault = errors.New("injected fault")

// A Fault is what happens to one request, or part of what it brings.
type Fault struct {
	Err     error // the request fails
	After   int64 // Err, or the stream's early end, comes after this many bytes
	Cut     bool  // the stream ends early, without an error
	Corrupt bool  // the byte At of the blob is wrong
	At      int64
	Stall   chan struct{} // after After bytes the stream waits until this is closed
}

// A Request is one that a Blob saw.
type Request struct {
	Off, Len int64
	Fresh    bool // layout.WithFreshConnection
}

// A Blob is the blob of a Layer. Set its fields before it is used.
type Blob struct {
	Layer *Layer
	// Hook decides what happens to the n'th request, counted from 1; nil is nothing.
	Hook func(n int, r Request) Fault
	// Latency is waited for before each request is answered.
	Latency time.Duration
	// BytesPerSecond bounds all streams of the blob together; 0 does not.
	BytesPerSecond int64

	mu       sync.Mutex
	requests []Request
	bytes    int64
	open     int
	free     time.Time // when the line is free again
}

var _ layout.Blob = (*Blob)(nil)

// Requests are those made so far.
func (b *Blob) Requests() []Request {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]Request(nil), b.requests...)
}

// Bytes is how many bytes were read from streams so far.
func (b *Blob) Bytes() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.bytes
}

// Open is how many streams are open.
func (b *Blob) Open() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.open
}

// Reset forgets what was counted.
func (b *Blob) Reset() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.requests, b.bytes = nil, 0
}

// Size is in layout.Blob.
func (b *Blob) Size() int64 { return b.Layer.BlobSize() }

// Digest is in layout.Blob; it is made up.
func (b *Blob) Digest() digest.Digest {
	return digest.FromString(fmt.Sprint(b.Layer.opt.Seed, b.Layer.opt.Size))
}

// Close is in layout.Blob.
func (b *Blob) Close() error { return nil }

// ReadAt is in layout.Blob.
func (b *Blob) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	r, err := b.Range(ctx, off, int64(len(p)))
	if err != nil {
		return 0, err
	}
	defer func() { _ = r.Close() }()
	return io.ReadFull(r, p)
}

// Range is in layout.Blob. A range that is not inside the blob is a mistake of the caller.
func (b *Blob) Range(ctx context.Context, off, n int64) (io.ReadCloser, error) {
	if off < 0 || n <= 0 || off+n > b.Size() {
		panic(fmt.Sprintf("lazytest: range %d+%d of %d", off, n, b.Size()))
	}
	r := Request{off, n, layout.IsFreshConnection(ctx)}
	b.mu.Lock()
	b.requests = append(b.requests, r)
	number := len(b.requests)
	b.mu.Unlock()
	var f Fault
	if b.Hook != nil {
		f = b.Hook(number, r)
	}
	if err := sleep(ctx, b.Latency); err != nil {
		return nil, err
	}
	if f.Err != nil && f.After == 0 {
		return nil, f.Err
	}
	b.mu.Lock()
	b.open++
	b.mu.Unlock()
	return &stream{ctx: ctx, b: b, f: f, off: off, end: off + n, start: off}, nil
}

type stream struct {
	ctx             context.Context // of the range, which governs the whole stream
	b               *Blob
	f               Fault
	start, off, end int64
	closed          bool
}

func (s *stream) Read(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	end := s.end
	if s.f.Err != nil || s.f.Cut || s.f.Stall != nil {
		end = min(end, s.start+s.f.After)
	}
	if s.off >= end && end < s.end {
		switch {
		case s.f.Err != nil:
			return 0, s.f.Err
		case s.f.Cut:
			return 0, io.EOF
		}
		select {
		case <-s.f.Stall:
			s.f.Stall = nil
			return s.Read(p)
		case <-s.ctx.Done():
			return 0, s.ctx.Err()
		}
	}
	if s.off >= end {
		return 0, io.EOF
	}
	p = p[:min(int64(len(p)), end-s.off, 32<<10)]
	if err := s.b.line(s.ctx, len(p)); err != nil {
		return 0, err
	}
	s.b.Layer.compressed(p, s.off)
	if s.f.Corrupt && s.f.At >= s.off && s.f.At < s.off+int64(len(p)) {
		p[s.f.At-s.off] ^= 0xff
	}
	s.off += int64(len(p))
	return len(p), nil
}

func (s *stream) Close() error {
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	if !s.closed {
		s.closed = true
		s.b.open--
	}
	return nil
}

// line waits until n bytes have passed the line, and counts them.
func (b *Blob) line(ctx context.Context, n int) error {
	b.mu.Lock()
	b.bytes += int64(n)
	if b.BytesPerSecond <= 0 {
		b.mu.Unlock()
		return nil
	}
	now := time.Now()
	if b.free.Before(now) {
		b.free = now
	}
	b.free = b.free.Add(time.Duration(n) * time.Second / time.Duration(b.BytesPerSecond))
	wait := b.free.Sub(now)
	b.mu.Unlock()
	return sleep(ctx, wait)
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
