package layouttest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/shalefs/shalefs/layout"
)

// Bytes makes n bytes that do not repeat and are the same each time.
func Bytes(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{1})
	_, _ = r.Read(b)
	return b
}

// TestBlob checks that a blob keeps the promises of layout.Blob. open opens a blob whose
// content is want; it is called several times, and the suite closes what it opened.
func TestBlob(t *testing.T, want []byte, open func(t *testing.T) layout.Blob) {
	t.Helper()
	opened := func(t *testing.T) layout.Blob {
		t.Helper()
		b := open(t)
		t.Cleanup(func() {
			if err := b.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		})
		return b
	}
	t.Run("Size", func(t *testing.T) {
		b := opened(t)
		if b.Size() != int64(len(want)) {
			t.Errorf("Size: got %d, want %d", b.Size(), len(want))
		}
		if err := layout.CheckDigest(b.Digest()); err != nil {
			t.Errorf("Digest: %v", err)
		}
	})
	t.Run("ReadAt", func(t *testing.T) { testReadAt(t, want, opened(t)) })
	t.Run("Range", func(t *testing.T) { testRange(t, want, opened(t)) })
	t.Run("Parallel", func(t *testing.T) { testParallel(t, want, opened(t)) })
	t.Run("Canceled", func(t *testing.T) { testCanceled(t, want, opened(t)) })
}

// edges are the numbers around those that matter for n bytes.
func edges(n int64) []int64 {
	all := []int64{0, 1, 2, 511, 512, 513, n/2 - 1, n / 2, n/2 + 1, n - 1, n}
	var in []int64
	for _, e := range all {
		if e >= 0 && e <= n {
			in = append(in, e)
		}
	}
	return in
}

func testReadAt(t *testing.T, want []byte, b layout.Blob) {
	ctx := context.Background()
	n := int64(len(want))
	for _, off := range edges(n) {
		for _, l := range append(edges(n), n+1) {
			p := make([]byte, l)
			got, err := b.ReadAt(ctx, p, off)
			checkRead(t, want, p, off, got, err)
		}
	}
	if got, err := b.ReadAt(ctx, make([]byte, 1), n+1); got != 0 || err == nil {
		t.Errorf("ReadAt past the end: got %d bytes, error %v", got, err)
	}
	if got, err := b.ReadAt(ctx, make([]byte, 1), -1); got != 0 || err == nil {
		t.Errorf("ReadAt(-1): got %d bytes, error %v", got, err)
	}
}

// checkRead compares the result of one ReadAt with what it must be.
func checkRead(t *testing.T, want, p []byte, off int64, got int, err error) {
	t.Helper()
	full := min(int64(len(p)), int64(len(want))-off)
	switch {
	case int64(got) != full:
		t.Errorf("ReadAt(%d bytes, %d): got %d bytes, error %v; want %d bytes", len(p), off, got, err, full)
	case int64(got) == int64(len(p)) && err != nil:
		t.Errorf("ReadAt(%d bytes, %d): error %v", len(p), off, err)
	case got < len(p) && !errors.Is(err, io.EOF):
		t.Errorf("ReadAt(%d bytes, %d): error %v, want EOF", len(p), off, err)
	case !bytes.Equal(p[:got], want[off:off+full]):
		t.Errorf("ReadAt(%d bytes, %d): wrong bytes", len(p), off)
	}
}

func testRange(t *testing.T, want []byte, b layout.Blob) {
	ctx := context.Background()
	n := int64(len(want))
	for _, off := range edges(n) {
		for _, l := range edges(n) {
			if off+l > n {
				continue
			}
			r, err := b.Range(ctx, off, l)
			if err != nil {
				t.Errorf("Range(%d, %d): %v", off, l, err)
				continue
			}
			got, err := io.ReadAll(r)
			if err != nil || !bytes.Equal(got, want[off:off+l]) {
				t.Errorf("Range(%d, %d): got %d bytes, error %v, or wrong bytes", off, l, len(got), err)
			}
			if err := r.Close(); err != nil {
				t.Errorf("Range(%d, %d): Close: %v", off, l, err)
			}
		}
	}
	for _, bad := range [][2]int64{{0, n + 1}, {n, 1}, {n + 1, 0}, {-1, 1}, {0, -1}, {1, 1<<63 - 1}} {
		if r, err := b.Range(ctx, bad[0], bad[1]); err == nil {
			_ = r.Close()
			t.Errorf("Range(%d, %d): no error", bad[0], bad[1])
		}
	}
	if n == 0 {
		return
	}
	r, err := b.Range(ctx, 0, n) // closed before its end
	if err != nil {
		t.Fatalf("Range: %v", err)
	}
	if _, err := io.ReadFull(r, make([]byte, 1)); err != nil {
		t.Errorf("Read: %v", err)
	}
	if err := r.Close(); err != nil {
		t.Errorf("Close before the end: %v", err)
	}
}

func testParallel(t *testing.T, want []byte, b layout.Blob) {
	var g errgroup.Group
	n := int64(len(want))
	for i := range int64(8) {
		g.Go(func() error {
			for j := range int64(8) {
				off := (i*7919 + j*104729) % (n + 1)
				l := min(n-off, 1000+i)
				p := make([]byte, l)
				if got, err := b.ReadAt(context.Background(), p, off); err != nil || int64(got) != l {
					t.Errorf("ReadAt(%d bytes, %d): %d, %v", l, off, got, err)
				} else if !bytes.Equal(p, want[off:off+l]) {
					t.Errorf("ReadAt(%d bytes, %d): wrong bytes", l, off)
				}
				r, err := b.Range(context.Background(), off, l)
				if err != nil {
					t.Errorf("Range(%d, %d): %v", off, l, err)
					continue
				}
				got, err := io.ReadAll(r)
				if cerr := r.Close(); err != nil || cerr != nil || !bytes.Equal(got, want[off:off+l]) {
					t.Errorf("Range(%d, %d): %v, %v, or wrong bytes", off, l, err, cerr)
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
}

func testCanceled(t *testing.T, want []byte, b layout.Blob) {
	ctx, cancel := context.WithCancel(context.Background())
	var r io.ReadCloser
	if len(want) > 0 {
		var err error
		if r, err = b.Range(ctx, 0, int64(len(want))); err != nil {
			t.Fatalf("Range: %v", err)
		}
		defer func() { _ = r.Close() }()
	}
	cancel()
	if n, err := b.ReadAt(ctx, make([]byte, 1), 0); !errors.Is(err, context.Canceled) && len(want) > 0 {
		t.Errorf("ReadAt after cancel: got %d, %v", n, err)
	}
	if len(want) == 0 {
		return
	}
	if r2, err := b.Range(ctx, 0, 1); err == nil {
		_, err = io.ReadAll(r2)
		_ = r2.Close()
		if !errors.Is(err, context.Canceled) {
			t.Errorf("Range after cancel: %v", err)
		}
	} else if !errors.Is(err, context.Canceled) {
		t.Errorf("Range after cancel: %v", err)
	}
	// What was received before the cancel may still come; the end of the blob must not,
	// unless all of it had been received.
	if got, err := io.ReadAll(r); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("Read after cancel: %v", err)
	} else if !bytes.HasPrefix(want, got) {
		t.Error("Read after cancel: wrong bytes")
	}
	if n, err := b.ReadAt(context.Background(), make([]byte, 1), 0); n != 1 || err != nil {
		t.Errorf("ReadAt with another context: got %d, %v", n, err)
	}
}
