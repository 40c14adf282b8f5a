package index

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"io"
	"testing"

	"github.com/shalefs/shalefs/index/foreign"
	"github.com/shalefs/shalefs/index/tarx"
	"github.com/shalefs/shalefs/layout"
	"github.com/shalefs/shalefs/lazy"
)

// pieced packs a tar so that each file's content is pieces of their own, as eStargz and
// zstd:chunked do, and tells of it as their readers do. A stand-in's headers are 512
// bytes shorter than those of the tar.
func pieced(t *testing.T, stream []byte, pack func([]byte) []byte) (blob []byte, x *foreign.Index) {
	t.Helper()
	x = &foreign.Index{}
	l := build(t, newBlob(stream), Want{}, BuildOptions{})
	at := int64(0) // in the tar
	add := func(p []byte) { blob = append(blob, pack(p)...) }
	var e tarx.Entry
	for i := range l.NumEntries() {
		if err := l.Entry(i, &e); err != nil {
			t.Fatal(err)
		}
		e.MTimeNano = 0
		if e.Kind == tarx.Regular && e.Stored > 0 {
			add(stream[at:e.Off])
			x.Size += 100 // what stands for headers
			content := stream[e.Off : e.Off+e.Stored]
			at = e.Off + e.Stored
			e.Off = x.Size
			for len(content) > 0 {
				n := min(len(content), 300_000)
				in := int64(len(blob))
				add(content[:n])
				x.Pieces = append(x.Pieces, foreign.Piece{Off: x.Size, Len: int64(n), In: in, InEnd: int64(len(blob)),
					Digest: sha256.Sum256(content[:n]), Known: i%2 == 0})
				x.Size += int64(n)
				content = content[n:]
			}
		}
		x.Entries = append(x.Entries, e)
	}
	add(stream[at:])
	return blob, x
}

// TestPieces: FMT-12: an index made of a table of contents reads the same files, lists the
// same entries, and a piece with a wrong digest is EIO, not bytes.
func TestPieces(t *testing.T) {
	stream := sampleTar(t, 30, 1<<20+5)
	for name, pack := range map[string]func([]byte) []byte{
		"gzip": func(p []byte) []byte { return gzipped(t, p) },
		"zstd": zstded(t),
	} {
		t.Run(name, func(t *testing.T) {
			b, x := pieced(t, stream, pack)
			blob := newBlob(b)
			file, err := FromForeign(blob, name, x)
			if err != nil {
				t.Fatal(err)
			}
			l, err := OpenBytes(file)
			if err != nil {
				t.Fatal(err)
			}
			if l.Format() != name || l.Bound() || !l.Foreign() {
				t.Errorf("format %s, bound %v, foreign %v", l.Format(), l.Bound(), l.Foreign())
			}
			checkLayout(t, l)
			ours := build(t, blob, Want{}, BuildOptions{})
			if err := Compare(l, ours); err != nil {
				t.Error(err)
			}
			r := &spanReader{src: l, blob: blob}
			rr := tar.NewReader(bytes.NewReader(stream))
			var e tarx.Entry
			for i := range l.NumEntries() {
				if _, err := rr.Next(); err != nil {
					t.Fatal(err)
				}
				if err := l.Entry(i, &e); err != nil {
					t.Fatal(err)
				}
				want, err := io.ReadAll(rr)
				if err != nil {
					t.Fatal(err)
				}
				if e.Kind != tarx.Regular {
					continue
				}
				got := make([]byte, e.Size)
				if _, err := File(r, &e).ReadAt(t.Context(), got, 0); err != nil && !errors.Is(err, io.EOF) || !bytes.Equal(got, want) {
					t.Fatalf("%s: other bytes, %v", e.Path, err)
				}
			}
			// A lie about a mode, and a wrong digest.
			for i := range x.Entries {
				if x.Entries[i].Kind == tarx.Regular {
					x.Entries[i].Mode ^= 0o100
					break
				}
			}
			for i := range x.Pieces {
				x.Pieces[i].Known = true
				x.Pieces[i].Digest[0] ^= 1
			}
			if file, err = FromForeign(blob, name, x); err != nil {
				t.Fatal(err)
			}
			if l, err = OpenBytes(file); err != nil {
				t.Fatal(err)
			}
			if err := Compare(l, ours); !errors.Is(err, ErrDiffer) {
				t.Errorf("compare: %v", err)
			}
			r.src = l
			if _, err := r.ReadAt(t.Context(), make([]byte, 10), x.Pieces[0].Off); !errors.Is(err, lazy.ErrCorrupt) {
				t.Errorf("read: %v", err)
			}
		})
	}
}

// TestSeeks: FMT-14: an index made of a ztoc's places reads any range.
func TestSeeks(t *testing.T) {
	stream := sampleTar(t, 300, 1<<20, 2<<20)
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	// After a flush a block's header begins at a whole byte.
	x := &foreign.Index{Exact: true, Size: int64(len(stream)), Seeks: []foreign.Seek{{In: 10}}}
	for at := 0; at < len(stream); at += 300_000 {
		if at > 0 {
			window := stream[at-32<<10 : at]
			x.Seeks = append(x.Seeks, foreign.Seek{Out: int64(at), In: int64(b.Len()), Window: window})
		}
		if _, err := w.Write(stream[at:min(len(stream), at+300_000)]); err != nil {
			t.Fatal(err)
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	blob := newBlob(b.Bytes())
	ours := build(t, blob, Want{}, BuildOptions{})
	for i := range ours.NumEntries() {
		var e tarx.Entry
		if err := ours.Entry(i, &e); err != nil {
			t.Fatal(err)
		}
		x.Entries = append(x.Entries, e)
	}
	file, err := FromForeign(blob, "gzip", x)
	if err != nil {
		t.Fatal(err)
	}
	l, err := OpenBytes(file)
	if err != nil {
		t.Fatal(err)
	}
	checkLayout(t, l)
	checkReads(t, l, blob, stream, fewer(100))
	if err := Compare(l, ours); err != nil {
		t.Error(err)
	}
}

// TestForeignRefused: an index that contradicts itself is refused.
func TestForeignRefused(t *testing.T) {
	blob := newBlob(make([]byte, 1000))
	for name, x := range map[string]*foreign.Index{
		"pieces overlap":        {Size: 100, Pieces: []foreign.Piece{{Len: 60, InEnd: 5}, {Off: 50, Len: 10, In: 5, InEnd: 9}}},
		"piece outside":         {Size: 100, Pieces: []foreign.Piece{{Off: 90, Len: 60, InEnd: 5}}},
		"compressed outside":    {Size: 100, Pieces: []foreign.Piece{{Len: 60, InEnd: 1001}}},
		"compressed in reverse": {Size: 100, Pieces: []foreign.Piece{{Len: 60, In: 5, InEnd: 4}}},
		"no place":              {Size: 100, Exact: true},
		"places in disorder":    {Size: 1 << 20, Exact: true, Seeks: []foreign.Seek{{In: 10}, {Out: 1 << 19, In: 5, Window: make([]byte, 32<<10)}}},
		"entry outside": {Size: 100, Exact: true, Seeks: []foreign.Seek{{In: 10}},
			Entries: []tarx.Entry{{Kind: tarx.Regular, Path: "x", Off: -1}}},
		"endless": {Size: 1 << 60},
	} {
		if _, err := FromForeign(blob, "gzip", x); !errors.Is(err, layout.ErrInvalid) && !errors.Is(err, ErrLayer) && !errors.Is(err, layout.ErrUnsupported) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
