package lazy

import (
	"context"
	"io"

	"github.com/shalefs/shalefs/lazy/cache"
)

// ChunkBytes is the greatest length of a chunk, in bytes of the tar stream.
const ChunkBytes = 64 << 10

// A Chunk is the unit of verification and of caching: a run of the tar stream
// with a digest of its own.
type Chunk struct {
	Off int64 // offset in the tar stream
	Len int   // length in bytes, 1 to ChunkBytes
}

// A Span is the unit of decoding: the chunks [First, Last) can be produced from
// the compressed bytes from In on. Spans follow one another without gap.
type Span struct {
	First, Last int   // chunk numbers
	In          int64 // offset in the blob of the first compressed byte
}

// A Source says how the tar stream of one layer is cut into chunks and spans, and
// decodes and checks them: the layer index, as the loader sees it. Its methods
// may be called from several goroutines. Those without a ctx do no input or output.
type Source interface {
	// Size is the length of the tar stream in bytes.
	Size() int64
	// Chunks is the number of chunks; Chunk returns one; ChunkAt finds the one that
	// holds the offset, 0 <= off < Size.
	Chunks() int
	Chunk(i int) Chunk
	ChunkAt(off int64) int

	// Spans is the number of spans; Span returns one; SpanOf finds the one that
	// produces a chunk.
	Spans() int
	Span(i int) Span
	SpanOf(chunk int) int

	// InEnd is the offset in the blob up to which a decoder needs the compressed bytes
	// to produce the chunk.
	InEnd(chunk int) int64

	// Prepare makes the spans [first, last) ready for Decode and their chunks for Check: it
	// fetches windows and digests that are not here yet, in few requests.
	Prepare(ctx context.Context, first, last int) error

	// Decode produces the chunks [Span(span).First, last) through emit: the bytes in
	// order, starting with the first byte of the first chunk, in pieces of any
	// length, not checked. r gives the compressed bytes from Span(span).In on.
	Decode(ctx context.Context, span, last int, r io.Reader, emit func(p []byte) error) error

	// Check compares a chunk's bytes with its digest: nil, or an error that wraps
	// ErrCorrupt and says what was wanted and got. Where no digest is known yet it is nil.
	Check(ctx context.Context, chunk int, p []byte) error

	// Object says where a chunk is kept in the cache: the object and the offset in it.
	// ok is false when it must not be kept (nothing binds its bytes to a name).
	Object(chunk int) (key cache.Key, size, off int64, ok bool)
}
