package lazy_test

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/shalefs/shalefs/lazy"
	"github.com/shalefs/shalefs/lazy/cache"
	"github.com/shalefs/shalefs/lazy/lazytest"
)

// Layers of all shapes, read at random with and without a cache, twice.
func TestRandomReads(t *testing.T) {
	for _, lo := range []lazytest.LayerOptions{
		{Size: 1},
		{Size: lazy.ChunkBytes},
		{Size: lazy.ChunkBytes + 1},
		{Size: 3*mib + 77, Span: 100 << 10},
		{Size: 3*mib + 77, Span: 10 << 10, Slack: 5000}, // several spans in a chunk's length
		{Size: 5 * mib, Span: mib, Slack: 40 << 10, Files: []lazytest.File{{Off: mib + 512, Len: mib + 1001}, {Off: 3*mib - 512, Len: mib}}},
		{Size: 5 * mib, Span: 50 * mib},
	} {
		for _, keep := range []bool{false, true} {
			lo.Keep = keep
			var c *cache.Cache
			if keep {
				c = openCache(t, t.TempDir(), cache.Options{})
			}
			for round := range 2 {
				r := newRig(t, rigOptions{layer: lo, cache: c, group: lazy.Options{MemoryBytes: mib}})
				rnd := rand.New(rand.NewPCG(1, uint64(round)))
				for range 12 {
					off := rnd.Int64N(lo.Size)
					r.want(off, rnd.Int64N(min(lo.Size-off, 300<<10)+1))
				}
				r.want(0, lo.Size)
				_ = r.group.Close() // the last chunks are written to the cache after they are served
				if keep && round == 1 && len(r.blob.Requests()) != 0 {
					t.Errorf("layer %+v: %d requests although all is in the cache", lo, len(r.blob.Requests()))
				}
			}
		}
	}
}

func TestReadBounds(t *testing.T) {
	r := newRig(t, rigOptions{layer: lazytest.LayerOptions{Size: 1000}})
	ctx := context.Background()
	p := make([]byte, 100)
	for _, c := range []struct {
		off  int64
		n    int
		want error
	}{{0, 100, nil}, {900, 100, nil}, {901, 99, io.EOF}, {1000, 0, io.EOF}, {1 << 62, 0, io.EOF}} {
		if n, err := r.ReadAt(ctx, p, c.off); n != c.n || !errors.Is(err, c.want) {
			t.Errorf("at %d: %d, %v; want %d, %v", c.off, n, err, c.n, c.want)
		}
	}
	if _, err := r.ReadAt(ctx, p, -1); err == nil {
		t.Error("negative offset")
	}
	if n, err := r.ReadAt(ctx, nil, 5); n != 0 || err != nil {
		t.Errorf("nothing: %d, %v", n, err)
	}
}

// A cold random read is one request, from its span's start to the end of what its last
// chunk needs, and a warm one is none.
func TestRandomReadCost(t *testing.T) {
	const size = 512 * mib
	r := newRig(t, rigOptions{
		layer: lazytest.LayerOptions{Size: size, Slack: 1000, Keep: true},
		cache: openCache(t, t.TempDir(), cache.Options{}),
	})
	for i := range int64(30) {
		off := i*16*mib + (i*7919)%(15*mib) // each in a region of its own
		r.blob.Reset()
		r.want(off, 4096)
		first, last := r.layer.ChunkAt(off), r.layer.ChunkAt(off+4095)
		in := r.layer.Span(r.layer.SpanOf(first)).In
		want := r.layer.InEnd(last) - in
		q := r.blob.Requests()
		if len(q) != 1 || q[0].Off != in || q[0].Len != want || r.blob.Bytes() != want {
			t.Fatalf("read at %d: requests %v, %d bytes; want one of %d at %d", off, q, r.blob.Bytes(), want, in)
		}
		r.want(off, 4096)
		if n := len(r.blob.Requests()); n != 1 {
			t.Fatalf("warm read at %d: %d requests", off, n-1)
		}
	}
}

// A reader who comes back to the same place gets whole spans: no third request for a span.
func TestLocality(t *testing.T) {
	r := newRig(t, rigOptions{
		layer: lazytest.LayerOptions{Size: 16 * mib, Keep: true},
		cache: openCache(t, t.TempDir(), cache.Options{}),
	})
	for i := range int64(16) {
		r.want(3*mib+i*lazy.ChunkBytes, 100)
	}
	if n := len(r.blob.Requests()); n > 2 {
		t.Errorf("%d requests for the chunks of one span", n)
	}
}

// From afar the rest of a span comes along, so that nobody comes again for it.
func TestRestOfSpan(t *testing.T) {
	for _, trip := range []time.Duration{0, time.Second} {
		r := newRig(t, rigOptions{
			layer: lazytest.LayerOptions{Size: 16 * mib, Keep: true},
			cache: openCache(t, t.TempDir(), cache.Options{}),
			trip:  trip,
		})
		r.want(3*mib, 100)
		eventually(t, "the flight is over", func() bool { return r.blob.Open() == 0 })
		s := r.layer.Span(r.layer.SpanOf(r.layer.ChunkAt(3 * mib)))
		from := r.layer.Chunk(s.First).Off
		last := r.layer.Chunk(s.Last - 1)
		r.want(from, last.Off+int64(last.Len)-from)
		if n := len(r.blob.Requests()); trip > 0 && n != 1 || trip == 0 && n < 2 {
			t.Errorf("trip %v: %d requests for one span", trip, n)
		}
	}
}

// Ahead fetches without waiting, and what it fetched is not asked for again.
func TestAhead(t *testing.T) {
	r := newRig(t, rigOptions{
		layer: lazytest.LayerOptions{Size: 16 * mib, Keep: true},
		cache: openCache(t, t.TempDir(), cache.Options{}),
	})
	for _, at := range [][2]int64{{5 * mib, 7 * mib}, {-1, 1}, {16*mib - 1, 20 * mib}, {3, 3}} {
		r.Ahead(lazy.Range{Off: at[0], End: at[1]})
	}
	eventually(t, "three flights are over", func() bool { return len(r.blob.Requests()) == 3 && r.blob.Open() == 0 })
	r.blob.Reset()
	r.want(5*mib, 2*mib)
	r.want(0, 1)
	r.want(16*mib-1, 1)
	if n := len(r.blob.Requests()); n != 0 {
		t.Errorf("%d requests for what was fetched ahead", n)
	}
}

// Ranges that lie close together come together, with what is between them; of a range that lies alone
// nothing comes that is not needed.
func TestAheadTogether(t *testing.T) {
	r := newRig(t, rigOptions{
		layer: lazytest.LayerOptions{Size: 16 * mib, Span: mib, Keep: true},
		cache: openCache(t, t.TempDir(), cache.Options{}), trip: time.Second,
	})
	r.Ahead(lazy.Range{Off: 6*mib + 5, End: 6*mib + 6}, lazy.Range{Off: 5 * mib, End: 5*mib + 1}, lazy.Range{Off: 5*mib + 9, End: 5*mib + 99},
		lazy.Range{Off: 5*mib + 600<<10, End: 5*mib + 601<<10}, lazy.Range{Off: 15 * mib, End: 15*mib + 1})
	r.want(5*mib, mib+1)
	r.want(15*mib, 100)
	asked := r.blob.Requests()
	if len(asked) != 2 {
		t.Fatalf("%d requests: %v", len(asked), asked)
	}
	if in := r.layer.Span(15).In; max(asked[0].Off, asked[1].Off) != in {
		t.Errorf("no request at %d: %v", in, asked)
	}
	for _, a := range asked {
		if a.Off > 6*mib && a.Len > 64<<10 {
			t.Errorf("%d bytes for one chunk", a.Len)
		}
	}
}

// Who reads what was asked for ahead starts no read-ahead.
func TestAheadIsEnough(t *testing.T) {
	r := newRig(t, rigOptions{
		layer: lazytest.LayerOptions{Size: 16 * mib, Keep: true},
		cache: openCache(t, t.TempDir(), cache.Options{}), trip: time.Second,
	})
	r.Ahead(lazy.Range{Off: 0, End: 4 * mib})
	p := make([]byte, 128<<10)
	for off := int64(0); off < 4*mib; off += int64(len(p)) {
		if _, err := r.ReadStream(context.Background(), 1, p, off, 16*mib); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the flight is over", func() bool { return r.blob.Open() == 0 })
	if n := len(r.blob.Requests()); n != 1 {
		t.Errorf("%d requests: %v", n, r.blob.Requests())
	}
}

// Who reads on behind what was foreseen is still the same reader.
func TestAheadAmong(t *testing.T) {
	r := newRig(t, rigOptions{
		layer: lazytest.LayerOptions{Size: 64 * mib, Span: mib, Keep: true},
		cache: openCache(t, t.TempDir(), cache.Options{}), trip: time.Second,
	})
	for off := int64(0); off < 64*mib; off += 2 * mib {
		r.Ahead(lazy.Range{Off: off, End: off + mib/2})
	}
	ahead := 0
	eventually(t, "all flights are over", func() bool {
		ahead = len(r.blob.Requests())
		return ahead == 32 && r.blob.Open() == 0
	})
	p := make([]byte, 64<<10)
	for off := int64(0); off < 64*mib; off += int64(len(p)) {
		key := uint64(1 + off/(128<<10))
		if _, err := r.ReadStream(context.Background(), key, p, off, off/(128<<10)*(128<<10)+128<<10); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(r.blob.Requests()) - ahead; n > 25 {
		t.Errorf("%d requests to read the rest in its order", n)
	}
}

// A small file comes as a whole.
func TestSmallFile(t *testing.T) {
	r := newRig(t, rigOptions{layer: lazytest.LayerOptions{Size: 16 * mib}})
	const off, end = 5*mib + 512, 5*mib + 512 + 100<<10
	p := make([]byte, 4096)
	for at := int64(off); at < end; at += 4096 {
		if _, err := r.ReadStream(context.Background(), 1, p[:min(4096, end-at)], at, end); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(r.blob.Requests()); n != 1 {
		t.Errorf("%d requests: %v", n, r.blob.Requests())
	}
}

// Missing chunks that are close come in one request, others in several.
func TestGaps(t *testing.T) {
	for _, gap := range []int64{-1, 0, 2 * mib} {
		r := newRig(t, rigOptions{
			layer: lazytest.LayerOptions{Size: 16 * mib, Span: 128 << 10, Keep: true},
			cache: openCache(t, t.TempDir(), cache.Options{}),
			group: lazy.Options{GapBytes: gap, MemoryBytes: 64 * mib},
		})
		r.want(2*mib, mib)
		r.blob.Reset()
		r.want(0, 5*mib) // the third MiB is there
		got, want := len(r.blob.Requests()), 2
		if gap > 0 {
			want = 1
		}
		if got != want {
			t.Errorf("gap %d: %d requests, want %d", gap, got, want)
		}
	}
}

func TestFail(t *testing.T) {
	c := openCache(t, t.TempDir(), cache.Options{})
	lo := lazytest.LayerOptions{Size: 8 * mib, Keep: true, Files: []lazytest.File{{Off: 2 * mib, Len: 3 * mib}}}
	r := newRig(t, rigOptions{layer: lo, cache: c})
	r.want(0, 8*mib)
	if s := r.Stats(); s.Present != s.Chunks || s.BytesServed != 8*mib || s.Misses != s.Chunks {
		t.Fatalf("stats %+v", s)
	}
	bad := errors.New("layer is not what its digest says")
	r.Fail(bad)
	r.Fail(errors.New("another"))
	for _, off := range []int64{0, 3 * mib, 8*mib - 1} {
		if err := r.try(off, 1); !errors.Is(err, bad) {
			t.Errorf("read at %d: %v", off, err)
		}
	}
	in, err := c.Info()
	if err != nil || in.UsedBytes != 0 || in.Layers+in.Files != 0 {
		t.Errorf("left in the cache: %+v, %v", in, err)
	}
	if err := r.Prefetch(context.Background(), []int{1}); !errors.Is(err, bad) {
		t.Errorf("prefetch: %v", err)
	}
}

func TestClosed(t *testing.T) {
	r := newRig(t, rigOptions{layer: lazytest.LayerOptions{Size: mib}})
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if err := r.try(0, 1); !errors.Is(err, lazy.ErrClosed) {
		t.Errorf("read: %v", err)
	}
}
