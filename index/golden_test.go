package index

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	digest "github.com/opencontainers/go-digest"

	"github.com/shalefs/shalefs/index/tarx"
)

var update = flag.Bool("update", false, "rewrite the golden files of this version")

// goldenDir has, for each version of the format, a layer in several compressions with
// its index, and what the index says as text. Files of old versions are never rewritten.
const goldenDir = "testdata/golden"

// goldens are the directories of the present version, and what makes their layers: one has files that need others.
var goldens = map[string]func(*testing.T) []byte{
	fmt.Sprintf("v%d", version): goldenTar,
	fmt.Sprintf("v%d-needs", version): func(t *testing.T) []byte {
		stream, _, _ := needsTar(t)
		return stream
	},
}

// TestGolden: index files of all versions are read, for ever; and the layer of the
// present version still gives the same file.
func TestGolden(t *testing.T) {
	if *update {
		writeGolden(t)
	}
	versions, err := filepath.Glob(filepath.Join(goldenDir, "v*"))
	if err != nil || len(versions) < version+1 {
		t.Fatalf("%d versions, %v", len(versions), err)
	}
	for _, dir := range versions {
		stream := gunzip(t, read(t, filepath.Join(dir, "layer.tar.gz")))
		for _, name := range []string{"tar", "gzip", "zstd", "walk"} {
			t.Run(filepath.Base(dir)+"/"+name, func(t *testing.T) {
				blob := newBlob(stream)
				switch name {
				case "gzip":
					blob = newBlob(read(t, filepath.Join(dir, "layer.tar.gz")))
				case "zstd":
					blob = newBlob(read(t, filepath.Join(dir, "layer.tar.zst")))
				}
				path := filepath.Join(dir, name+".shaleidx")
				l, err := Open(path)
				if err != nil {
					t.Fatal(err)
				}
				defer func() {
					if err := l.Close(); err != nil {
						t.Error(err)
					}
				}()
				if err := l.Verify(); err != nil {
					t.Error(err)
				}
				got, want := dump(t, l), string(read(t, filepath.Join(dir, name+".txt")))
				if got != want {
					t.Errorf("index says\n%s\nwant\n%s", got, want)
				}
				checkReads(t, l, blob, stream, fewer(30))
				if goldens[filepath.Base(dir)] != nil && !bytes.Equal(golden(t, name, blob), read(t, path)) {
					t.Error("the layer gives another file: a change of the format needs a new version")
				}
			})
		}
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func gunzip(t *testing.T, b []byte) []byte {
	t.Helper()
	r, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// golden makes the index of a blob.
func golden(t *testing.T, name string, blob *memBlob) []byte {
	t.Helper()
	var b []byte
	var err error
	if name == "walk" {
		b, _, err = FromWalk(t.Context(), blob, tarx.WalkOptions{})
	} else {
		b, err = Build(t.Context(), blob, Want{}, BuildOptions{SpanBytes: 200_000, MaxSpanBytes: 400_000})
	}
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// dump is what an index says, as text.
func dump(t *testing.T, l *Layer) string {
	t.Helper()
	var b strings.Builder
	in := l.Info()
	fmt.Fprintf(&b, "blob %s %d\ndiffID %s %d\nformat %s digests %v checked %v\n",
		in.Blob, in.BlobSize, in.DiffID, in.TarSize, in.Format, in.Digests, l.h.flags&flagChecked != 0)
	var e tarx.Entry
	for i := range l.NumEntries() {
		if err := l.Entry(i, &e); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "entry %d %q %04o %d:%d %d.%09d size %d stored %d at %d link %q dev %d:%d xattrs %q sparse %v %x\n", e.Kind, e.Path,
			e.Mode, e.UID, e.GID, e.MTime, e.MTimeNano, e.Size, e.Stored, e.Off, e.Link, e.Major, e.Minor, e.Xattrs, e.Sparse, e.Digest)
	}
	for i := range int(l.h.segments) {
		s := l.segment(i)
		fmt.Fprintf(&b, "segment %d chunk %d entry %d %x\n", s.off, s.chunk, int32(s.entry), s.sum)
	}
	for i := range l.Chunks() {
		c := l.Chunk(i)
		fmt.Fprintf(&b, "chunk %d+%d in %d\n", c.Off, c.Len, l.InEnd(i))
	}
	for i := range l.Spans() {
		s := l.Span(i)
		fmt.Fprintf(&b, "span [%d, %d) in %d\n", s.First, s.Last, s.In)
	}
	for i := range l.NumEntries() {
		if n, _ := l.Needs(i); n != nil && n.Object != nil {
			fmt.Fprintf(&b, "entry %d needs %v\n", i, *n.Object)
		} else if n != nil {
			fmt.Fprintf(&b, "entry %d needs %v\n", i, n.Imports)
		}
	}
	for _, w := range l.Warnings() {
		fmt.Fprintf(&b, "warning %q %d %q\n", w.Kind, w.Count, w.First)
	}
	return b.String()
}

// writeGolden makes the files of the present version.
func writeGolden(t *testing.T) {
	t.Helper()
	for name, layer := range goldens {
		writeGoldenTo(t, filepath.Join(goldenDir, name), layer(t))
	}
}

func writeGoldenTo(t *testing.T, dir string, stream []byte) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	write := func(name string, b []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	blobs := map[string][]byte{"tar": stream, "walk": stream, "gzip": gzipped(t, stream), "zstd": z.EncodeAll(stream, nil)}
	write("layer.tar.gz", blobs["gzip"])
	write("layer.tar.zst", blobs["zstd"])
	for name, b := range blobs {
		file := golden(t, name, newBlob(b))
		l, err := OpenBytes(file)
		if err != nil {
			t.Fatal(err)
		}
		write(name+".shaleidx", file)
		write(name+".txt", []byte(dump(t, l)))
	}
}

// goldenTar has every kind of entry; its contents are text that compresses well.
func goldenTar(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	line := func(n int) []byte {
		var c bytes.Buffer
		for i := 0; c.Len() < n; i++ {
			fmt.Fprintf(&c, "line %d of a file that compresses well, %s\n", i, digest.FromString(fmt.Sprint(i/40)))
		}
		return c.Bytes()[:n]
	}
	for _, f := range []struct {
		tar.Header
		content []byte
	}{
		{tar.Header{Name: "./", Typeflag: tar.TypeDir, Mode: 0o755}, nil},
		{tar.Header{Name: "bin/", Typeflag: tar.TypeDir, Mode: 0o1777, Uid: 7, Gid: 8}, nil},
		{tar.Header{Name: "bin/su", Typeflag: tar.TypeReg, Mode: 0o4755, PAXRecords: map[string]string{
			"SCHILY.xattr.user.a": "1", "SCHILY.xattr.user.b": "\x00\xff", "SCHILY.xattr.trusted.overlay.origin": "x"}}, line(5000)},
		{tar.Header{Name: "bin/sh", Typeflag: tar.TypeSymlink, Linkname: "../bin/su", Mode: 0o777}, nil},
		{tar.Header{Name: "bin/sudo", Typeflag: tar.TypeLink, Linkname: "bin/su", Mode: 0o4755}, nil},
		{tar.Header{Name: "dev/null", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 3, Mode: 0o666}, nil},
		{tar.Header{Name: "dev/loop0", Typeflag: tar.TypeBlock, Devmajor: 7, Mode: 0o660}, nil},
		{tar.Header{Name: "run/pipe", Typeflag: tar.TypeFifo, Mode: 0o600, Uid: 1 << 20, Gid: 1 << 30}, nil},
		{tar.Header{Name: "etc/.wh.passwd", Typeflag: tar.TypeReg}, nil},
		{tar.Header{Name: "var/.wh..wh..opq", Typeflag: tar.TypeReg}, nil},
		{tar.Header{Name: "lib/large", Typeflag: tar.TypeReg, Mode: 0o644}, line(1<<20 + 1)},
		{tar.Header{Name: "lib/small", Typeflag: tar.TypeReg, Mode: 0o644}, line(100_000)},
		{tar.Header{Name: "lib/empty", Typeflag: tar.TypeReg, Mode: 0o444}, nil},
		{tar.Header{Name: "sparse", Typeflag: tar.TypeReg, Mode: 0o644, PAXRecords: map[string]string{
			"GNU.sparse.major": "0", "GNU.sparse.minor": "1", "GNU.sparse.name": "sparse", "GNU.sparse.size": "1000000",
			"GNU.sparse.numblocks": "2", "GNU.sparse.map": "100,5,900000,7"}}, []byte("hello, world")},
	} {
		f.ModTime, f.Size, f.Format = time.Unix(1700000000, 123456789), int64(len(f.content)), tar.FormatPAX
		records := f.PAXRecords
		if f.Name == "sparse" {
			writeSparse(t, &b, w, records, f.content)
			continue
		}
		if err := w.WriteHeader(&f.Header); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(f.content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// writeSparse writes a sparse file, which archive/tar refuses to: an extended header
// by hand, in front of an ordinary one.
func writeSparse(t *testing.T, b *bytes.Buffer, w *tar.Writer, records map[string]string, content []byte) {
	t.Helper()
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	var x bytes.Buffer
	for _, key := range []string{"GNU.sparse.major", "GNU.sparse.minor", "GNU.sparse.name", "GNU.sparse.size", "GNU.sparse.numblocks", "GNU.sparse.map"} {
		rest := fmt.Sprintf(" %s=%s\n", key, records[key])
		n := len(rest)
		for len(fmt.Sprint(n))+len(rest) != n {
			n = len(fmt.Sprint(n)) + len(rest)
		}
		fmt.Fprintf(&x, "%d%s", n, rest)
	}
	for _, r := range []struct {
		name    string
		kind    byte
		content []byte
	}{{"PaxHeaders/sparse", 'x', x.Bytes()}, {"GNUSparseFile.0/sparse", '0', content}} {
		var h [512]byte
		copy(h[:], r.name)
		copy(h[100:], "0000644\x000000000\x000000000\x00")
		copy(h[124:], fmt.Sprintf("%011o\x00%011o\x00        ", len(r.content), 1700000000))
		h[156] = r.kind
		copy(h[257:], "ustar\x0000")
		sum := 0
		for _, c := range h {
			sum += int(c)
		}
		copy(h[148:], fmt.Sprintf("%06o\x00 ", sum))
		b.Write(h[:])
		b.Write(r.content)
		b.Write(make([]byte, -len(r.content)&511))
	}
}
