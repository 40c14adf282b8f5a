package lazy_test

import (
	"sync"
	"testing"

	"github.com/shalefs/shalefs/lazy"
	"github.com/shalefs/shalefs/lazy/cache"
	"github.com/shalefs/shalefs/lazy/lazytest"
)

// A file that is read from front to back comes in few requests, and hardly more than
// itself is fetched.
func TestSequential(t *testing.T) {
	const size = 64 * mib
	r := newRig(t, rigOptions{
		layer: lazytest.LayerOptions{Size: size, Slack: 1000, Keep: true},
		cache: openCache(t, t.TempDir(), cache.Options{}),
	})
	r.stream(1, 0, size, 128<<10)
	n, b := len(r.blob.Requests()), r.blob.Bytes()
	t.Logf("%d requests, %d bytes of %d", n, b, r.layer.BlobSize())
	if n > 40 {
		t.Errorf("%d requests", n)
	}
	if limit := r.layer.BlobSize() + r.layer.BlobSize()/20; b > limit {
		t.Errorf("%d bytes fetched, want at most %d", b, limit)
	}
}

// The same without a cache, in little memory.
func TestSequentialWithoutCache(t *testing.T) {
	const size = 32 * mib
	r := newRig(t, rigOptions{
		layer: lazytest.LayerOptions{Size: size, Span: 256 << 10},
		group: lazy.Options{MemoryBytes: 8 * mib},
	})
	r.stream(1, 0, size, 128<<10)
	n, b := len(r.blob.Requests()), r.blob.Bytes()
	t.Logf("%d requests, %d bytes of %d", n, b, r.layer.BlobSize())
	if limit := r.layer.BlobSize() + r.layer.BlobSize()/4; b > limit {
		t.Errorf("%d bytes fetched, want at most %d", b, limit)
	}
	if n > 100 {
		t.Errorf("%d requests", n)
	}
}

// Several readers at different places of one file, and others elsewhere.
func TestManyStreams(t *testing.T) {
	const size = 64 * mib
	r := newRig(t, rigOptions{
		layer: lazytest.LayerOptions{Size: size, Keep: true},
		cache: openCache(t, t.TempDir(), cache.Options{}),
	})
	var wg sync.WaitGroup
	for i := range int64(4) {
		wg.Go(func() { r.stream(uint64(i/2), i*size/4, (i+1)*size/4, 64<<10) })
	}
	wg.Wait()
	n, b := len(r.blob.Requests()), r.blob.Bytes()
	t.Logf("%d requests, %d bytes of %d", n, b, r.layer.BlobSize())
	if n > 100 {
		t.Errorf("%d requests", n)
	}
	if limit := r.layer.BlobSize() + r.layer.BlobSize()/4; b > limit {
		t.Errorf("%d bytes fetched, want at most %d", b, limit)
	}
}

// A walk that reads small files in the order of the tar.
func TestWalk(t *testing.T) {
	const size = 32 * mib
	r := newRig(t, rigOptions{
		layer: lazytest.LayerOptions{Size: size, Keep: true},
		cache: openCache(t, t.TempDir(), cache.Options{}),
	})
	key := uint64(0)
	for off := int64(512); off < size; {
		n := min(1+(off*7)%(40<<10), size-off)
		r.stream(key, off, off+n, 128<<10)
		off += (n+511)&^511 + 512
		key++
	}
	n, b := len(r.blob.Requests()), r.blob.Bytes()
	t.Logf("%d files, %d requests, %d bytes of %d", key, n, b, r.layer.BlobSize())
	if n > 40 {
		t.Errorf("%d requests for %d files", n, key)
	}
	if limit := r.layer.BlobSize() + r.layer.BlobSize()/10; b > limit {
		t.Errorf("%d bytes fetched, want at most %d", b, limit)
	}
}

// A random reader does not set off read-ahead.
func TestRandomIsNotSequential(t *testing.T) {
	const size = 1024 * mib
	r := newRig(t, rigOptions{
		layer: lazytest.LayerOptions{Size: size, Keep: true},
		cache: openCache(t, t.TempDir(), cache.Options{}),
	})
	for i := range int64(40) {
		off := (i * 617 % 63) * 16 * mib
		r.stream(1, off, off+128<<10, 128<<10)
	}
	if s := r.Stats(); s.ReadAhead != 0 {
		t.Errorf("%d flights of read-ahead", s.ReadAhead)
	}
	if n := len(r.blob.Requests()); n > 40 {
		t.Errorf("%d requests", n)
	}
}
