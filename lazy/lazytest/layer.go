package lazytest

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"sort"
	"sync"

	"github.com/zeebo/blake3"

	"github.com/shalefs/shalefs/lazy"
	"github.com/shalefs/shalefs/lazy/cache"
)

// A File is a large file of a Layer: the bytes [Off, Off+Len) of the tar stream.
type File struct{ Off, Len int64 }

// LayerOptions describe a Layer.
type LayerOptions struct {
	Seed  uint64
	Size  int64  // of the tar stream
	Span  int64  // distance of checkpoints in decoded bytes; 0 is 1 MiB
	Slack int64  // compressed bytes that a decoder wants beyond what it needs
	Files []File // at even offsets, sorted, apart; their content has objects of its own
	Keep  bool   // chunks may be kept in a cache
	Name  string // of the tar object; empty is one made from the seed
}

// A Layer is a lazy.Source with made-up content. Its methods may be called from
// several goroutines.
type Layer struct {
	opt    LayerOptions
	chunks []lazy.Chunk
	keys   []cache.Key // by chunk, empty for the tar object
	files  []File      // by chunk, if its key is not empty
	spans  []lazy.Span
	blob   []byte  // one period of it
	tar    []byte  // the same, decompressed
	outs   []int64 // where the spans' checkpoints are in the tar stream

	mu       sync.Mutex
	prepared map[int]bool
	prepares int
}

var _ lazy.Source = (*Layer)(nil)

// NewLayer makes a layer.
func NewLayer(opt LayerOptions) *Layer {
	if opt.Span == 0 {
		opt.Span = 1 << 20
	}
	opt.Span &^= 1
	if opt.Name == "" {
		opt.Name = fmt.Sprintf("sha256-%016x", opt.Seed)
	}
	l := &Layer{opt: opt, prepared: map[int]bool{}, blob: make([]byte, period), tar: make([]byte, 2*period)}
	var seed [32]byte
	binary.LittleEndian.PutUint64(seed[:], opt.Seed)
	_, _ = rand.NewChaCha8(seed).Read(l.blob)
	decompress(l.tar, l.blob)
	at := int64(0)
	for _, f := range opt.Files {
		l.segment(at, f.Off, cache.Key{}, File{})
		h := blake3.New()
		_, _ = io.Copy(h, io.NewSectionReader(content{l}, f.Off, f.Len))
		l.segment(f.Off, f.Off+f.Len, cache.Key{Kind: "file", Name: hex.EncodeToString(h.Sum(nil))}, f)
		at = f.Off + f.Len
	}
	l.segment(at, opt.Size, cache.Key{}, File{})
	for out := int64(0); out < opt.Size; out += opt.Span {
		first := sort.Search(len(l.chunks), func(i int) bool { return l.chunks[i].Off >= out })
		last := sort.Search(len(l.chunks), func(i int) bool { return l.chunks[i].Off >= out+opt.Span })
		if last > first {
			l.spans = append(l.spans, lazy.Span{First: first, Last: last, In: out / 2})
			l.outs = append(l.outs, out)
		}
	}
	return l
}

func (l *Layer) segment(from, to int64, key cache.Key, f File) {
	for ; from < to; from += lazy.ChunkBytes {
		l.chunks = append(l.chunks, lazy.Chunk{Off: from, Len: int(min(lazy.ChunkBytes, to-from))})
		l.keys = append(l.keys, key)
		l.files = append(l.files, f)
	}
}

// period is the length after which the blob repeats itself: a prime, so that no two chunks
// are equal, nor any two pieces at places that are round numbers.
const period = 1_000_003

// Fill fills p with the bytes of the tar stream from off on: what a loader must return.
func (l *Layer) Fill(p []byte, off int64) { repeat(p, l.tar, off) }

// compressed fills p with the blob's bytes from off on.
func (l *Layer) compressed(p []byte, off int64) { repeat(p, l.blob, off) }

func repeat(p, pattern []byte, off int64) {
	for at := off % int64(len(pattern)); len(p) > 0; at = 0 {
		p = p[copy(p, pattern[at:]):]
	}
}

// decompress doubles every byte.
//
//go:norace
func decompress(dst, src []byte) {
	for i, b := range src {
		dst[2*i], dst[2*i+1] = b, b
	}
}

type content struct{ l *Layer }

func (c content) ReadAt(p []byte, off int64) (int, error) {
	c.l.Fill(p, off)
	return len(p), nil
}

// BlobSize is the size of the layer's blob.
func (l *Layer) BlobSize() int64 { return (l.opt.Size + 1) / 2 }

// Prepares is how many spans were prepared.
func (l *Layer) Prepares() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.prepares
}

// Size is in lazy.Source.
func (l *Layer) Size() int64 { return l.opt.Size }

// Chunks is in lazy.Source.
func (l *Layer) Chunks() int { return len(l.chunks) }

// Chunk is in lazy.Source.
func (l *Layer) Chunk(i int) lazy.Chunk { return l.chunks[i] }

// ChunkAt is in lazy.Source.
func (l *Layer) ChunkAt(off int64) int {
	if off < 0 || off >= l.opt.Size {
		panic(fmt.Sprintf("lazytest: ChunkAt(%d) of %d", off, l.opt.Size))
	}
	return sort.Search(len(l.chunks), func(i int) bool { return l.chunks[i].Off > off }) - 1
}

// Spans is in lazy.Source.
func (l *Layer) Spans() int { return len(l.spans) }

// Span is in lazy.Source.
func (l *Layer) Span(i int) lazy.Span { return l.spans[i] }

// SpanOf is in lazy.Source.
func (l *Layer) SpanOf(chunk int) int {
	return sort.Search(len(l.spans), func(i int) bool { return l.spans[i].Last > chunk })
}

// InEnd is in lazy.Source.
func (l *Layer) InEnd(chunk int) int64 {
	c := l.chunks[chunk]
	return min(l.BlobSize(), (c.Off+int64(c.Len)+1)/2+l.opt.Slack)
}

// Prepare is in lazy.Source.
func (l *Layer) Prepare(ctx context.Context, first, last int) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for s := first; s < last; s++ {
		if !l.prepared[s] {
			l.prepares++
		}
		l.prepared[s] = true
	}
	return nil
}

func (l *Layer) mustBePrepared(s int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.prepared[s] {
		panic(fmt.Sprintf("lazytest: span %d was not prepared", s))
	}
}

// Decode is in lazy.Source.
func (l *Layer) Decode(ctx context.Context, span, last int, r io.Reader, emit func(p []byte) error) error {
	l.mustBePrepared(span)
	from := l.chunks[l.spans[span].First].Off
	to := l.chunks[last-1].Off + int64(l.chunks[last-1].Len)
	out := l.outs[span]
	var in [5000]byte
	var dec [2 * len(in)]byte
	for out < to {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := r.Read(in[:])
		if n == 0 && err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
		decompress(dec[:], in[:n])
		p := dec[:2*n]
		if skip := from - out; skip > 0 {
			k := min(skip, int64(len(p)))
			p, out = p[k:], out+k
		}
		p = p[:min(int64(len(p)), to-out)]
		if len(p) == 0 {
			continue
		}
		if err := emit(p); err != nil {
			return err
		}
		out += int64(len(p))
	}
	return nil
}

// Check is in lazy.Source.
func (l *Layer) Check(_ context.Context, chunk int, p []byte) error {
	l.mustBePrepared(l.SpanOf(chunk))
	c := l.chunks[chunk]
	want := make([]byte, c.Len)
	l.Fill(want, c.Off)
	if !bytes.Equal(p, want) {
		return fmt.Errorf("%w: wanted %x, got %x", lazy.ErrCorrupt, blake3.Sum256(want), blake3.Sum256(p))
	}
	return nil
}

// Object is in lazy.Source.
func (l *Layer) Object(chunk int) (key cache.Key, size, off int64, ok bool) {
	if !l.opt.Keep {
		return cache.Key{}, 0, 0, false
	}
	if k := l.keys[chunk]; k != (cache.Key{}) {
		return k, l.files[chunk].Len, l.chunks[chunk].Off - l.files[chunk].Off, true
	}
	return cache.Key{Kind: "tar", Name: l.opt.Name}, l.opt.Size, l.chunks[chunk].Off, true
}
