package index

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	digest "github.com/opencontainers/go-digest"

	"github.com/shalefs/shalefs/layout"
	"github.com/shalefs/shalefs/lazy"
)

// memBlob is a layout.Blob in memory whose stream comes in pieces of a given length.
type memBlob struct {
	b     []byte
	d     digest.Digest
	piece int // longest Read; 0 is no limit
}

var _ layout.Blob = (*memBlob)(nil)

func newBlob(b []byte) *memBlob { return &memBlob{b: b, d: digest.FromBytes(b)} }

func (m *memBlob) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	return bytes.NewReader(m.b).ReadAt(p, off)
}

func (m *memBlob) Range(ctx context.Context, off, n int64) (io.ReadCloser, error) {
	if off < 0 || n < 0 || off+n > int64(len(m.b)) {
		return nil, fmt.Errorf("range %d+%d of %d", off, n, len(m.b))
	}
	return io.NopCloser(&pieceReader{ctx: ctx, b: m.b[off : off+n], piece: m.piece}), nil
}

func (m *memBlob) Size() int64           { return int64(len(m.b)) }
func (m *memBlob) Digest() digest.Digest { return m.d }
func (m *memBlob) Close() error          { return nil }

type pieceReader struct {
	ctx   context.Context
	b     []byte
	piece int
}

func (r *pieceReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	if len(r.b) == 0 {
		return 0, io.EOF
	}
	if r.piece > 0 && len(p) > r.piece {
		p = p[:r.piece]
	}
	n := copy(p, r.b)
	r.b = r.b[n:]
	return n, nil
}

// text is content that compresses as text does, and repeats itself after a while, so
// that a lot of it is made, packed and decoded fast.
func text(rnd *rand.Rand, n int) []byte {
	words := strings.Fields("layer index span chunk window member frame checkpoint inode entry blob digest tar zero")
	b := make([]byte, 0, n+100_000)
	for len(b) < n && len(b) < 100_000 {
		b = append(b, words[rnd.IntN(len(words))]...)
		b = append(b, " \n."[rnd.IntN(3)], byte(rnd.Uint32N(256)))
	}
	for at := 0; len(b) < n; at += 50_000 {
		b = append(b, byte(rnd.Uint32N(256)))
		b = append(b, b[at:at+70_000]...)
	}
	return b[:n]
}

// sampleTar is a layer with all kinds of entries, small files and some large ones.
func sampleTar(tb testing.TB, small int, large ...int) []byte {
	tb.Helper()
	rnd := rand.New(rand.NewPCG(1, 2))
	var b bytes.Buffer
	total := small * 8000
	for _, n := range large {
		total += n + 2048
	}
	b.Grow(total)
	w := tar.NewWriter(&b)
	mtime := time.Unix(1700000000, 123456789)
	add := func(h tar.Header, content []byte) {
		h.ModTime, h.Size = mtime, int64(len(content))
		if h.Format == 0 {
			h.Format = tar.FormatPAX
		}
		if err := w.WriteHeader(&h); err != nil {
			tb.Fatal(err)
		}
		if _, err := w.Write(content); err != nil {
			tb.Fatal(err)
		}
	}
	add(tar.Header{Name: "./", Typeflag: tar.TypeDir, Mode: 0o755}, nil)
	add(tar.Header{Name: "bin/", Typeflag: tar.TypeDir, Mode: 0o755}, nil)
	add(tar.Header{Name: "bin/su", Typeflag: tar.TypeReg, Mode: 0o4755, PAXRecords: map[string]string{
		"SCHILY.xattr.security.capability": "\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
		"SCHILY.xattr.user.note":           "a value",
	}}, text(rnd, 5000))
	add(tar.Header{Name: "bin/sh", Typeflag: tar.TypeSymlink, Linkname: "../bin/su", Mode: 0o777}, nil)
	add(tar.Header{Name: "bin/sudo", Typeflag: tar.TypeLink, Linkname: "bin/su", Mode: 0o4755}, nil)
	add(tar.Header{Name: "dev/null", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 3, Mode: 0o666}, nil)
	add(tar.Header{Name: "run/pipe", Typeflag: tar.TypeFifo, Mode: 0o600, Uid: 1000, Gid: 1 << 30}, nil)
	add(tar.Header{Name: "etc/.wh.passwd", Typeflag: tar.TypeReg}, nil)
	add(tar.Header{Name: "var/.wh..wh..opq", Typeflag: tar.TypeReg}, nil)
	next := 0
	for i := range small {
		if len(large) > 0 && i%max(1, small/len(large)) == 0 && next < len(large) {
			add(tar.Header{Name: fmt.Sprintf("lib/large%d", next), Typeflag: tar.TypeReg, Mode: 0o644}, text(rnd, large[next]))
			next++
		}
		add(tar.Header{Name: fmt.Sprintf("usr/share/doc/package%d/file%d", i/10, i), Typeflag: tar.TypeReg, Mode: 0o644, Uid: i % 3},
			text(rnd, rnd.IntN(6000)))
	}
	for ; next < len(large); next++ {
		add(tar.Header{Name: fmt.Sprintf("lib/large%d", next), Typeflag: tar.TypeReg, Mode: 0o644}, text(rnd, large[next]))
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

func gzipped(tb testing.TB, p []byte) []byte {
	tb.Helper()
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := w.Write(p); err != nil {
		tb.Fatal(err)
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

// zstded returns a function that packs as one frame.
func zstded(tb testing.TB) func([]byte) []byte {
	tb.Helper()
	w, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		tb.Fatal(err)
	}
	return func(p []byte) []byte { return w.EncodeAll(p, nil) }
}

// build builds and opens the index of a blob.
func build(tb testing.TB, blob layout.Blob, want Want, opt BuildOptions) *Layer {
	tb.Helper()
	b, err := Build(tb.Context(), blob, want, opt)
	if err != nil {
		tb.Fatal(err)
	}
	l, err := OpenBytes(b)
	if err != nil {
		tb.Fatal(err)
	}
	return l
}

// A spanReader is the simplest loader: each read decodes the spans that it needs.
type spanReader struct {
	src  lazy.Source
	blob layout.Blob
	// fetched counts compressed bytes, decoded tar bytes.
	fetched, decoded int64
}

func (r *spanReader) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	done := 0
	for done < len(p) {
		if off+int64(done) >= r.src.Size() {
			return done, io.EOF
		}
		first := r.src.ChunkAt(off + int64(done))
		b, start, err := r.chunks(ctx, first, off+int64(len(p)))
		if err != nil {
			return done, err
		}
		done += copy(p[done:], b[off+int64(done)-start:])
	}
	return done, nil
}

// chunks decodes from the chunk on, to the end of its span or past the offset end.
func (r *spanReader) chunks(ctx context.Context, chunk int, end int64) ([]byte, int64, error) {
	i := r.src.SpanOf(chunk)
	if err := r.src.Prepare(ctx, i, i+1); err != nil {
		return nil, 0, err
	}
	span := r.src.Span(i)
	last := chunk + 1
	for last < span.Last && r.src.Chunk(last).Off < end {
		last++
	}
	in := r.src.InEnd(last - 1)
	r.fetched += in - span.In
	var out []byte
	emit := func(p []byte) error { out = append(out, p...); return nil }
	compressed := io.NewSectionReader(asReaderAt{ctx, r.blob}, span.In, in-span.In)
	if err := r.src.Decode(ctx, i, last, compressed, emit); err != nil {
		return nil, 0, err
	}
	r.decoded += int64(len(out))
	start := r.src.Chunk(span.First).Off
	for c := span.First; c < last; c++ {
		ch := r.src.Chunk(c)
		if err := r.src.Check(ctx, c, out[ch.Off-start:][:ch.Len]); err != nil {
			return nil, 0, err
		}
	}
	return out, start, nil
}

type asReaderAt struct {
	ctx context.Context
	b   layout.Blob
}

func (r asReaderAt) ReadAt(p []byte, off int64) (int, error) { return r.b.ReadAt(r.ctx, p, off) }
