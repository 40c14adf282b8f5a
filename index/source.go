package index

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"sort"

	"github.com/zeebo/blake3"

	"github.com/shalefs/shalefs/index/codec"
	"github.com/shalefs/shalefs/lazy"
	"github.com/shalefs/shalefs/lazy/cache"
)

// noEntry marks a segment that is not a large file.
const noEntry = 1<<32 - 1

// A segmentRow is a row of the segment table.
type segmentRow struct {
	off   int64
	chunk uint32 // first chunk
	entry uint32 // the large file, or noEntry
	sum   []byte // its digest
}

func (l *Layer) segment(i int) segmentRow {
	b := l.segments[i*segmentBytes:]
	return segmentRow{off: get48(b), chunk: le.Uint32(b[8:]), entry: le.Uint32(b[12:]), sum: b[16:48:48]}
}

func (l *Layer) segmentEnd(i int) int64 {
	if i+1 < int(l.h.segments) {
		return l.segment(i + 1).off
	}
	return l.h.tarSize
}

// segmentOf finds the segment of a chunk.
func (l *Layer) segmentOf(chunk int) int {
	return sort.Search(int(l.h.segments), func(i int) bool { return int(l.segment(i).chunk) > chunk }) - 1
}

// A spanRow is a row of the span table.
type spanRow struct {
	first         int   // first chunk
	out, in       int64 // the checkpoint
	inMax         int64 // the greatest InEnd of its chunks
	heap          int64 // where the state starts in the windows section; the window follows it
	state, window int   // lengths
	crc           uint32
}

func (l *Layer) span(i int) spanRow {
	b := l.spans[i*spanBytes:]
	return spanRow{
		first: int(le.Uint32(b)), crc: le.Uint32(b[4:]),
		out: get48(b[8:]), in: get48(b[16:]), inMax: get48(b[24:]), heap: get48(b[32:]),
		state: int(le.Uint32(b[40:])), window: int(le.Uint32(b[44:])),
	}
}

func (l *Layer) spanLast(i int) int {
	if i+1 < int(l.h.spans) {
		return l.span(i + 1).first
	}
	return int(l.h.chunks)
}

// Size is the length of the tar stream in bytes.
func (l *Layer) Size() int64 { return l.h.tarSize }

// Chunks is the number of chunks.
func (l *Layer) Chunks() int { return int(l.h.chunks) }

// Chunk returns chunk i, 0 <= i < Chunks.
func (l *Layer) Chunk(i int) lazy.Chunk {
	s := l.segmentOf(i)
	row := l.segment(s)
	off := row.off + int64(i-int(row.chunk))*lazy.ChunkBytes
	return lazy.Chunk{Off: off, Len: int(min(lazy.ChunkBytes, l.segmentEnd(s)-off))}
}

// ChunkAt finds the chunk that holds the tar offset off, 0 <= off < Size.
func (l *Layer) ChunkAt(off int64) int {
	s := sort.Search(int(l.h.segments), func(i int) bool { return l.segment(i).off > off }) - 1
	row := l.segment(s)
	return int(row.chunk) + int((off-row.off)/lazy.ChunkBytes)
}

// Spans is the number of spans.
func (l *Layer) Spans() int {
	if l.raw() {
		return int(l.h.chunks)
	}
	return int(l.h.spans)
}

// Span returns span i, 0 <= i < Spans.
func (l *Layer) Span(i int) lazy.Span {
	if l.raw() {
		return lazy.Span{First: i, Last: i + 1, In: l.Chunk(i).Off}
	}
	s := l.span(i)
	return lazy.Span{First: s.first, Last: l.spanLast(i), In: s.in}
}

// SpanOf finds the span that produces a chunk.
func (l *Layer) SpanOf(chunk int) int {
	if l.raw() {
		return chunk
	}
	return sort.Search(int(l.h.spans), func(i int) bool { return l.span(i).first > chunk }) - 1
}

// InEnd is the offset in the blob up to which the chunk's decoding reads. For a span
// that is not prepared it is that of the whole span.
func (l *Layer) InEnd(chunk int) int64 {
	if l.raw() {
		c := l.Chunk(chunk)
		return c.Off + int64(c.Len)
	}
	i := l.SpanOf(chunk)
	s := l.span(i)
	if !l.has(i) {
		return s.inMax
	}
	end := s.inMax
	_ = guard(func() error {
		end = s.in + int64(le.Uint32(l.section(secChunkEnds)[chunk*endBytes:]))
		return nil
	})
	return min(end, s.inMax)
}

func (l *Layer) has(span int) bool { return l.fill == nil || l.fill.HasSpan(span) }

// Prepare brings the parts of the index that the spans [first, last) need.
// Errors: those of the fetch; lazy.ErrCorrupt for parts that are not what was promised.
func (l *Layer) Prepare(ctx context.Context, first, last int) error {
	if l.fill == nil {
		return nil
	}
	for i := first; i < last; i++ {
		if !l.fill.HasSpan(i) {
			return l.fill.Fill(ctx, i, last)
		}
	}
	return nil
}

// Decode produces the chunks [Span(span).First, last) through emit, unchecked.
// Errors: *codec.Error and lazy.ErrCorrupt, for a broken blob or index; those of r and emit.
func (l *Layer) Decode(ctx context.Context, span, last int, r io.Reader, emit func(p []byte) error) error {
	lastChunk := l.Chunk(last - 1)
	end := lastChunk.Off + int64(lastChunk.Len)
	if !l.has(span) {
		return fmt.Errorf("span %d: not prepared", span)
	}
	start := l.Chunk(l.Span(span).First).Off
	cp, err := l.checkpoint(span)
	if err != nil {
		return fmt.Errorf("span %d: %w", span, err)
	}
	skip, left := start-cp.Out, end-start
	err = l.decode(ctx, cp, r, end-cp.Out, func(p []byte) error {
		if skip >= int64(len(p)) {
			skip -= int64(len(p))
			return nil
		}
		p = p[skip:]
		skip = 0
		if int64(len(p)) > left {
			p = p[:left]
		}
		left -= int64(len(p))
		if len(p) > 0 {
			if err := emit(p); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil && left > 0 {
		err = fmt.Errorf("%w: %d bytes short", lazy.ErrCorrupt, left)
	}
	if err != nil {
		return fmt.Errorf("span %d: %w", span, err)
	}
	return nil
}

// checkpoint returns the checkpoint of a span, copied out of the map.
func (l *Layer) checkpoint(span int) (cp codec.Checkpoint, err error) {
	if l.raw() {
		off := l.Chunk(span).Off
		return codec.Checkpoint{Out: off, In: off}, nil
	}
	s := l.span(span)
	err = guard(func() error {
		b := append([]byte(nil), l.section(secWindows)[s.heap:][:s.state+s.window]...)
		if got := crc(b); got != s.crc {
			return corrupt("windows", s.heap, "checksum %08x, bytes have %08x", s.crc, got)
		}
		cp = codec.Checkpoint{Out: s.out, In: s.in, State: b[:s.state:s.state], Window: b[s.state:]}
		return nil
	})
	return cp, err
}

// Check compares a chunk's bytes with its digest. Where the index has no digests it
// remembers them for BindTo, if that may come. Errors: *SumError, which wraps lazy.ErrCorrupt; those of Prepare.
func (l *Layer) Check(ctx context.Context, chunk int, p []byte) error {
	if o := l.ours.Load(); o != nil {
		return l.checkLent(o, chunk, p)
	}
	if !l.digests() {
		if l.Bound() || l.h.flags&flagStandIn != 0 {
			return nil
		}
		return l.vouch(chunk, p)
	}
	span := l.SpanOf(chunk)
	if err := l.Prepare(ctx, span, span+1); err != nil {
		return err
	}
	c := l.Chunk(chunk)
	e := &SumError{Off: c.Off, Len: len(p), Got: blake3.Sum256(p)}
	err := guard(func() error {
		copy(e.Want[:], l.section(secChunkSums)[chunk*sumBytes:])
		return nil
	})
	if err != nil {
		return err
	}
	if len(p) != c.Len || e.Got != e.Want {
		return e
	}
	return nil
}

// Object says where a chunk is kept in the cache: a large file's under the digest
// of its content, another under the diffID. ok is false where neither is known.
func (l *Layer) Object(chunk int) (key cache.Key, size, off int64, ok bool) {
	if o := l.ours.Load(); o != nil {
		if l.Chunk(chunk).Len != o.Chunk(chunk).Len {
			return cache.Key{}, 0, 0, false
		}
		return o.Object(chunk)
	}
	if !l.digests() || l.h.diff == "" {
		return cache.Key{}, 0, 0, false
	}
	s := l.segmentOf(chunk)
	row := l.segment(s)
	c := l.Chunk(chunk)
	if row.entry == noEntry {
		key, size, off = TarObject(l.DiffID(), c.Off)
		return key, size, off, true
	}
	return FileKey([32]byte(row.sum)), l.segmentEnd(s) - row.off, c.Off - row.off, true
}

// LargeFile returns the cache object of a large file, given the entry that Entry
// filled; ok is false for an entry that has none.
func (l *Layer) LargeFile(stored, off int64) (key cache.Key, ok bool) {
	if stored < LargeBytes || off >= l.h.tarSize {
		return cache.Key{}, false
	}
	key, size, at, ok := l.Object(l.ChunkAt(off))
	return key, ok && key.Kind == "file" && size == stored && at == 0
}

// FileKey is the key of a large file's cache object, given its blake3.
func FileKey(sum [32]byte) cache.Key {
	return cache.Key{Kind: "file", Name: hex.EncodeToString(sum[:])}
}
