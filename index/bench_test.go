package index

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	kgzip "github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	digest "github.com/opencontainers/go-digest"

	"github.com/shalefs/shalefs/index/tarx"
)

// benchTree is a tar of a real tree: $SHALEFS_BENCH_TREE, or the sources of Go.
var benchTree = sync.OnceValues(func() ([]byte, error) {
	dir := os.Getenv("SHALEFS_BENCH_TREE")
	if dir == "" {
		out, err := exec.Command("go", "env", "GOROOT").Output()
		if err != nil {
			return nil, err
		}
		dir = filepath.Join(strings.TrimSpace(string(out)), "src")
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil || !info.Mode().IsRegular() && !info.IsDir() {
			return err
		}
		h, err := tar.FileInfoHeader(info, "")
		if err != nil {
			return err
		}
		if h.Name, err = filepath.Rel(dir, path); err != nil {
			return err
		}
		if err := w.WriteHeader(h); err != nil || info.IsDir() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }()
		_, err = io.Copy(w, f)
		return err
	})
	if err == nil {
		err = w.Close()
	}
	return b.Bytes(), err
})

// benchBlobs are the tree as a tar, and compressed.
var benchBlobs = sync.OnceValues(func() (map[string][]byte, error) {
	stream, err := benchTree()
	if err != nil {
		return nil, err
	}
	var g, z bytes.Buffer
	zw, err := zstd.NewWriter(&z)
	if err != nil {
		return nil, err
	}
	gw := kgzip.NewWriter(&g)
	for _, w := range []io.WriteCloser{gw, zw} {
		if _, err := w.Write(stream); err != nil {
			return nil, err
		}
		if err := w.Close(); err != nil {
			return nil, err
		}
	}
	return map[string][]byte{"tar": stream, "gzip": g.Bytes(), "zstd": z.Bytes()}, nil
})

// BenchmarkBuild is the whole pass; MB/s are of the tar.
func BenchmarkBuild(b *testing.B) {
	blobs, err := benchBlobs()
	if err != nil {
		b.Fatal(err)
	}
	for _, name := range []string{"tar", "gzip", "zstd"} {
		b.Run(name, func(b *testing.B) {
			blob := newBlob(blobs[name])
			b.SetBytes(int64(len(blobs["tar"])))
			for b.Loop() {
				file, err := Build(b.Context(), blob, Want{}, BuildOptions{})
				if err != nil {
					b.Fatal(err)
				}
				l, err := OpenBytes(file)
				if err != nil {
					b.Fatal(err)
				}
				info := l.Info()
				b.ReportMetric(float64(info.IndexBytes)*100/float64(info.BlobSize), "%index")
				b.ReportMetric(float64(info.CheckpointBytes)*100/float64(info.BlobSize), "%checkpoints")
				b.ReportMetric(float64(info.MedianSpan)/(1<<20), "MiB/median-span")
			}
		})
	}
}

// BenchmarkPlain is what stock decoders need for the same blobs, without digests.
func BenchmarkPlain(b *testing.B) {
	blobs, err := benchBlobs()
	if err != nil {
		b.Fatal(err)
	}
	open := map[string]func(r io.Reader) (io.Reader, error){
		"gzip": func(r io.Reader) (io.Reader, error) { return kgzip.NewReader(r) },
		"zstd": func(r io.Reader) (io.Reader, error) {
			return zstd.NewReader(r, zstd.WithDecoderConcurrency(1))
		},
	}
	for _, name := range []string{"gzip", "zstd"} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(blobs["tar"])))
			for b.Loop() {
				r, err := open[name](bytes.NewReader(blobs[name]))
				if err != nil {
					b.Fatal(err)
				}
				if _, err := io.Copy(io.Discard, r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkRead4K is a random read without any cache.
func BenchmarkRead4K(b *testing.B) {
	blobs, err := benchBlobs()
	if err != nil {
		b.Fatal(err)
	}
	for _, name := range []string{"tar", "gzip", "zstd"} {
		b.Run(name, func(b *testing.B) {
			blob := newBlob(blobs[name])
			l := build(b, blob, Want{}, BuildOptions{})
			r := &spanReader{src: l, blob: blob}
			rnd := rand.New(rand.NewPCG(1, 1))
			p := make([]byte, 4096)
			n := 0
			for b.Loop() {
				if _, err := r.ReadAt(b.Context(), p, rnd.Int64N(l.Size()-4096)); err != nil {
					b.Fatal(err)
				}
				n++
			}
			b.ReportMetric(float64(r.fetched)/float64(n), "wire-bytes/op")
			b.ReportMetric(float64(r.decoded)/float64(n), "decoded-bytes/op")
		})
	}
}

// manyEntries is an index of n entries that are not in any tar.
func manyEntries(tb testing.TB, n int) []byte {
	tb.Helper()
	t := tables{Digests: true}
	for i := range n {
		e := &tarx.Entry{Path: fmt.Sprintf("usr/lib/python3/dist-packages/package%d/module%d.py", i/100, i), Mode: 0o644,
			MTime: 1700000000, Off: 512, Stored: 1000, Size: 1000}
		if _, err := t.addEntry(e); err != nil {
			tb.Fatal(err)
		}
	}
	t.addSegment(0, noEntry)
	t.TarSize = 4096
	t.addChunk([32]byte{}, 4096)
	b, err := t.finish(header{flags: flagRaw | flagDigests, blob: digest.FromString("x").String(), blobSize: 4096, format: "tar", overhang: 65536})
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// BenchmarkOpen opens an index with a million entries; BenchmarkEntries reads them all.
func BenchmarkOpen(b *testing.B) {
	path := filepath.Join(b.TempDir(), "index")
	if err := os.WriteFile(path, manyEntries(b, 1_000_000), 0o600); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		l, err := Open(path)
		if err != nil {
			b.Fatal(err)
		}
		if err := l.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEntries(b *testing.B) {
	l, err := OpenBytes(manyEntries(b, 1_000_000))
	if err != nil {
		b.Fatal(err)
	}
	var e tarx.Entry
	b.ReportAllocs()
	for b.Loop() {
		for i := range l.NumEntries() {
			if err := l.Entry(i, &e); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// TestEntrySize: an entry costs at most 100 bytes, its name and windows apart.
func TestEntrySize(t *testing.T) {
	const n = 10_000
	l, err := OpenBytes(manyEntries(t, n))
	if err != nil {
		t.Fatal(err)
	}
	if per := (l.h.fileSize - l.h.sections[secPaths].len) / n; per > 100 {
		t.Errorf("%d bytes an entry", per)
	}
	// Entries alone allocate nothing.
	var e tarx.Entry
	if a := testing.AllocsPerRun(100, func() {
		if err := l.Entry(5, &e); err != nil {
			t.Fatal(err)
		}
	}); a > 0 {
		t.Errorf("%v allocations an entry", a)
	}
}
