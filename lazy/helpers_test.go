package lazy_test

import (
	"bytes"
	"context"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/shalefs/shalefs/lazy"
	"github.com/shalefs/shalefs/lazy/cache"
	"github.com/shalefs/shalefs/lazy/lazytest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const mib = 1 << 20

// A rig is a loader over a made-up layer.
type rig struct {
	*lazy.Loader
	t     testing.TB
	layer *lazytest.Layer
	blob  *lazytest.Blob
	group *lazy.Group
	cache *cache.Cache
}

type rigOptions struct {
	layer lazytest.LayerOptions
	group lazy.Options
	hook  func(n int, r lazytest.Request) lazytest.Fault
	cache *cache.Cache
	trip  time.Duration
}

func newRig(t testing.TB, opt rigOptions) *rig {
	t.Helper()
	r := &rig{t: t, layer: lazytest.NewLayer(opt.layer), cache: opt.cache}
	r.blob = &lazytest.Blob{Layer: r.layer, Hook: opt.hook}
	r.group = lazy.NewGroup(opt.group)
	r.Loader = r.group.Loader(r.blob, r.layer, opt.cache, lazy.LoaderOptions{Name: "test", Trip: opt.trip})
	t.Cleanup(func() {
		if err := r.group.Close(); err != nil {
			t.Error(err)
		}
		if n := r.blob.Open(); n != 0 {
			t.Errorf("%d streams of the blob are still open", n)
		}
	})
	return r
}

func openCache(t testing.TB, dir string, opt cache.Options) *cache.Cache {
	t.Helper()
	if opt.MaxBytes == 0 {
		opt.MaxBytes = 1 << 30
	}
	c, err := cache.Open(dir, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// want reads [off, off+n) and compares.
func (r *rig) want(off, n int64) {
	r.t.Helper()
	if err := r.try(off, n); err != nil {
		r.t.Fatalf("read %d at %d: %v", n, off, err)
	}
}

// try reads, and fails the test only if the bytes are wrong.
func (r *rig) try(off, n int64) error {
	r.t.Helper()
	p, q := make([]byte, n), make([]byte, n)
	k, err := r.ReadAt(context.Background(), p, off)
	if err != nil {
		if k != 0 {
			r.t.Fatalf("read %d at %d: %d bytes beside %v", n, off, k, err)
		}
		return err
	}
	r.layer.Fill(q, off)
	if int64(k) != n || !bytes.Equal(p, q) {
		r.t.Fatalf("read %d at %d: %d wrong bytes", n, off, k)
	}
	return nil
}

// stream reads a file from front to back in pieces.
func (r *rig) stream(key uint64, off, end, piece int64) {
	r.t.Helper()
	p, q := make([]byte, piece), make([]byte, piece)
	for at := off; at < end; at += piece {
		n := min(piece, end-at)
		k, err := r.ReadStream(context.Background(), key, p[:n], at, end)
		r.layer.Fill(q[:n], at)
		if err != nil || int64(k) != n || !bytes.Equal(p[:n], q[:n]) {
			r.t.Fatalf("stream %d: read %d at %d: %d, %v", key, n, at, k, err)
		}
	}
}

// eventually waits for a condition.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for start := time.Now(); !ok(); time.Sleep(time.Millisecond) {
		if time.Since(start) > time.Minute {
			t.Fatalf("still not: %s", what)
		}
	}
}
