package index

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"github.com/shalefs/shalefs/index/tarx"
	"github.com/shalefs/shalefs/layout"
	"github.com/shalefs/shalefs/lazy"
	"github.com/shalefs/shalefs/lazy/cache"
)

// countedBlob counts what is asked of a blob.
type countedBlob struct {
	*memBlob
	requests atomic.Int64
}

func (b *countedBlob) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	b.requests.Add(1)
	return b.memBlob.ReadAt(ctx, p, off)
}

func (b *countedBlob) Range(ctx context.Context, off, n int64) (io.ReadCloser, error) {
	b.requests.Add(1)
	return b.memBlob.Range(ctx, off, n)
}

func openCache(t *testing.T) *cache.Cache {
	t.Helper()
	c, err := cache.Open(t.TempDir(), cache.Options{MaxBytes: 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func openLoader(t *testing.T, l *Layer, blob layout.Blob, c *cache.Cache) *lazy.Loader {
	t.Helper()
	g := lazy.NewGroup(lazy.Options{})
	ld := g.Loader(blob, l, c, lazy.LoaderOptions{})
	t.Cleanup(func() {
		if err := errors.Join(ld.Close(), g.Close()); err != nil {
			t.Error(err)
		}
	})
	return ld
}

func checkLoader(t *testing.T, ld TarReader, stream []byte) {
	t.Helper()
	rnd := rand.New(rand.NewPCG(3, 9))
	for range fewer(40) {
		off := rnd.Int64N(int64(len(stream)))
		p := make([]byte, min(rnd.Int64N(300_000)+1, int64(len(stream))-off))
		if _, err := ld.ReadAt(t.Context(), p, off); err != nil {
			t.Fatalf("read of %d at %d: %v", len(p), off, err)
		}
		if !bytes.Equal(p, stream[off:off+int64(len(p))]) {
			t.Fatalf("read of %d at %d: wrong bytes", len(p), off)
		}
	}
}

// TestLoader: the loader reads through an index what the tar holds; after a pass that
// kept the layer it does so without a request, and the same layer in another compression
// shares what is kept.
func TestLoader(t *testing.T) {
	stream := sampleTar(t, 100, 1<<20, 2<<20+9)
	packed := gzipped(t, stream)
	blob := &countedBlob{memBlob: newBlob(packed)}
	l := build(t, blob, Want{}, BuildOptions{})
	t.Run("cold", func(t *testing.T) {
		checkLoader(t, openLoader(t, l, blob, openCache(t)), stream)
	})
	c := openCache(t)
	build(t, blob, Want{}, BuildOptions{Keep: CacheKeeper(c, l.DiffID())})
	for name, b := range map[string][]byte{"gzip": packed, "zstd": zstded(t)(stream), "tar": stream} {
		t.Run("kept as gzip, read as "+name, func(t *testing.T) {
			other := &countedBlob{memBlob: newBlob(b)}
			x := build(t, other, Want{}, BuildOptions{})
			other.requests.Store(0)
			checkLoader(t, openLoader(t, x, other, c), stream)
			if n := other.requests.Load(); n != 0 {
				t.Errorf("%d requests", n)
			}
		})
	}
	t.Run("large files are complete", func(t *testing.T) {
		var e tarx.Entry
		n := 0
		for i := range l.NumEntries() {
			if err := l.Entry(i, &e); err != nil {
				t.Fatal(err)
			}
			key, ok := l.LargeFile(e.Stored, e.Off)
			if !ok {
				continue
			}
			n++
			o, err := c.Object(key, e.Stored)
			if err != nil {
				t.Fatal(err)
			}
			if !o.Complete() || !o.Sealed() {
				t.Errorf("%s: complete %v, sealed %v", e.Path, o.Complete(), o.Sealed())
			}
			if err := o.Close(); err != nil {
				t.Error(err)
			}
		}
		if n != 2 {
			t.Errorf("%d large files", n)
		}
	})
}

// TestLoaderPieces: the loader reads through another program's index too, whose
// chunks have no digest and are not kept.
func TestLoaderPieces(t *testing.T) {
	b, x := pieced(t, sampleTar(t, 30, 1<<20+5), func(p []byte) []byte { return gzipped(t, p) })
	blob := newBlob(b)
	file, err := FromForeign(blob, "gzip", x)
	if err != nil {
		t.Fatal(err)
	}
	l, err := OpenBytes(file)
	if err != nil {
		t.Fatal(err)
	}
	want := make([]byte, l.Size())
	if _, err := (&spanReader{src: l, blob: blob}).ReadAt(t.Context(), want, 0); err != nil {
		t.Fatal(err)
	}
	checkLoader(t, openLoader(t, l, blob, openCache(t)), want)
}
