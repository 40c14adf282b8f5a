package matrix

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/shalefs/shalefs/index"
	"github.com/shalefs/shalefs/lazy"
)

// A checker compares what an index gives with the stream that it should give.
type checker struct {
	ix   *index.Layer
	blob *blob
	want []byte
	rnd  *rand.Rand
}

const (
	probeBytes = 4096
	// In each cell: reads of probeBytes without any cache, and ranges of any
	// length through a loader that keeps some chunks.
	numProbes = 30
	numRanges = 170
)

// spans decodes every span whole, in random order, from no more of the blob than the index says,
// and checks its chunks.
func (c *checker) spans(t *testing.T) {
	t.Helper()
	if c.ix.Size() != int64(len(c.want)) {
		t.Fatalf("stream of %d bytes, want %d", c.ix.Size(), len(c.want))
	}
	// What one chunk needs of the blob, those before it need at most.
	for i, end := 0, int64(0); !c.ix.Foreign() && i < c.ix.Chunks(); i++ {
		if c.ix.InEnd(i) < end || c.ix.InEnd(i) > c.blob.Size() {
			t.Fatalf("chunk %d ends at %d in the blob of %d, the one before at %d", i, c.ix.InEnd(i), c.blob.Size(), end)
		}
		end = c.ix.InEnd(i)
	}
	for _, i := range c.rnd.Perm(c.ix.Spans()) {
		c.decode(t, i, c.ix.Span(i).Last)
	}
}

// decode decodes and checks the chunks of a span before last, and returns how many bytes that were.
func (c *checker) decode(t *testing.T, span, last int) (decoded int64) {
	t.Helper()
	s := c.ix.Span(span)
	start := c.ix.Chunk(s.First).Off
	check(t, c.ix.Prepare(t.Context(), span, span+1))
	r := bytes.NewReader(c.blob.b[s.In:c.ix.InEnd(last-1)])
	at := start
	err := c.ix.Decode(t.Context(), span, last, r, func(p []byte) error {
		if at+int64(len(p)) > int64(len(c.want)) || !bytes.Equal(p, c.want[at:at+int64(len(p))]) {
			t.Fatalf("span %d: wrong bytes in [%d, %d)", span, at, at+int64(len(p)))
		}
		at += int64(len(p))
		return nil
	})
	if err != nil {
		t.Fatalf("span %d, chunks [%d, %d): %v", span, s.First, last, err)
	}
	end := c.ix.Chunk(last - 1)
	if at != end.Off+int64(end.Len) {
		t.Fatalf("span %d: decoded up to %d, not %d", span, at, end.Off+int64(end.Len))
	}
	for i := s.First; i < last; i++ {
		ch := c.ix.Chunk(i)
		if err := c.ix.Check(t.Context(), i, c.want[ch.Off:ch.Off+int64(ch.Len)]); err != nil {
			t.Fatalf("chunk %d: %v", i, err)
		}
	}
	return at - start
}

// probes read 4 KiB at random places, each through a loader that has nothing yet, and
// count what is fetched and decoded: of the span from its start to the chunk's end. A read
// lies in one chunk; one that lies in two is two of them.
func (c *checker) probes(t *testing.T, m *measured) {
	t.Helper()
	src := &source{Layer: c.ix}
	for range numProbes {
		off := c.rnd.Int64N(c.ix.Size())
		i := c.ix.ChunkAt(off)
		ch, s := c.ix.Chunk(i), c.ix.Span(c.ix.SpanOf(i))
		off = max(ch.Off, min(off, ch.Off+int64(ch.Len)-probeBytes))
		p := make([]byte, min(probeBytes, ch.Off+int64(ch.Len)-off))
		src.decoded.Store(0)
		c.blob.fetched.Store(0)
		c.load(t, src, lazy.Options{SmallBytes: -1, GapBytes: -1}, func(ctx context.Context, ld *lazy.Loader) {
			c.read(ctx, t, ld, p, off)
		})
		decoded, fetched := src.decoded.Load(), c.blob.fetched.Load()
		if most := ch.Off + int64(ch.Len) - c.ix.Chunk(s.First).Off; decoded > most {
			t.Errorf("4 KiB at %d: %d bytes decoded, over %d", off, decoded, most)
		}
		if most := m.info.MaxSpan + lazy.ChunkBytes; decoded > most {
			t.Errorf("4 KiB at %d: %d bytes decoded, a span and a chunk are %d", off, decoded, most)
		}
		if most := c.ix.InEnd(i) - s.In; fetched > most {
			t.Errorf("4 KiB at %d: %d bytes fetched, over %d", off, fetched, most)
		}
		m.probes = append(m.probes, decoded)
	}
}

// ranges reads at random places and of random lengths, through one loader.
func (c *checker) ranges(t *testing.T, m *measured) {
	t.Helper()
	c.load(t, c.ix, lazy.Options{}, func(ctx context.Context, ld *lazy.Loader) {
		for i := range numRanges {
			off := c.rnd.Int64N(c.ix.Size())
			n := c.rnd.Int64N(1 << (4 + i%15)) // up to 256 KiB, mostly short
			c.read(ctx, t, ld, make([]byte, n+1), off)
			m.ranges++
		}
	})
}

// read reads a range, which may end past the stream.
func (c *checker) read(ctx context.Context, t *testing.T, ld *lazy.Loader, p []byte, off int64) {
	t.Helper()
	n, err := ld.ReadAt(ctx, p, off)
	want := c.want[off:min(off+int64(len(p)), int64(len(c.want)))]
	if n != len(want) || err != nil && (!errors.Is(err, io.EOF) || n == len(p)) {
		t.Fatalf("read of %d at %d: %d bytes, %v", len(p), off, n, err)
	}
	if !bytes.Equal(p[:n], want) {
		t.Fatalf("read of %d at %d: wrong bytes", len(p), off)
	}
}

// load calls f with a loader that keeps nothing after f.
func (c *checker) load(t *testing.T, src lazy.Source, opt lazy.Options, f func(context.Context, *lazy.Loader)) {
	t.Helper()
	g := lazy.NewGroup(opt)
	ld := g.Loader(c.blob, src, nil, lazy.LoaderOptions{})
	f(t.Context(), ld)
	check(t, ld.Close())
	check(t, g.Close())
}
