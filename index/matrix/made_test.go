package matrix

import (
	"archive/tar"
	"bytes"
	"encoding/binary"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A tarWriter writes tars for tests.
type tarWriter struct {
	t testing.TB
	b bytes.Buffer
	w *tar.Writer
}

func newTar(t testing.TB) *tarWriter {
	w := &tarWriter{t: t}
	w.w = tar.NewWriter(&w.b)
	return w
}

func (w *tarWriter) add(h tar.Header, content []byte) {
	w.t.Helper()
	h.ModTime, h.Size = time.Unix(1700000000, 0), int64(len(content))
	if h.Mode == 0 {
		h.Mode = 0o644
	}
	if err := w.w.WriteHeader(&h); err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.w.Write(content); err != nil {
		w.t.Fatal(err)
	}
}

func (w *tarWriter) file(name string, content []byte) {
	w.t.Helper()
	w.add(tar.Header{Name: name, Typeflag: tar.TypeReg}, content)
}

func (w *tarWriter) close() []byte {
	w.t.Helper()
	if err := w.w.Close(); err != nil {
		w.t.Fatal(err)
	}
	return w.b.Bytes()
}

// madeLayer is the same in every run: content of all natures, next to each other.
func madeLayer(t testing.TB) *layer {
	t.Helper()
	rnd := rand.New(rand.NewPCG(7, 11))
	w := newTar(t)
	w.add(tar.Header{Name: "./", Typeflag: tar.TypeDir, Mode: 0o755}, nil)
	w.file("noise", noise(rnd, 1<<20+4321))
	for i := range 120 {
		w.file(fmt.Sprintf("doc/%d/text", i), words(rnd, rnd.IntN(9000)))
		if i%10 == 0 {
			w.add(tar.Header{Name: fmt.Sprintf("doc/%d/link", i), Typeflag: tar.TypeSymlink, Linkname: "text", Mode: 0o777}, nil)
			w.add(tar.Header{Name: fmt.Sprintf("doc/%d/hard", i), Typeflag: tar.TypeLink, Linkname: fmt.Sprintf("doc/%d/text", i)}, nil)
		}
	}
	w.file("etc/.wh.passwd", nil)
	w.file("var/.wh..wh..opq", nil)
	records := table(rnd, 1_600_000)
	w.file("records", records)
	w.file("zeros", make([]byte, 1<<20+17))
	w.file("again", records[123_456:1_300_000]) // far back-references
	for i := range 20 {
		w.file(fmt.Sprintf("noise%d", i), noise(rnd, rnd.IntN(30_000)))
	}
	w.file("letters", words(rnd, 1_100_000))
	return &layer{image: "made", name: "made", tar: w.close()}
}

func noise(rnd *rand.Rand, n int) []byte {
	b := make([]byte, n+8)
	for i := 0; i < n; i += 8 {
		binary.LittleEndian.PutUint64(b[i:], rnd.Uint64())
	}
	return b[:n]
}

// words is text of words that come as often as words do.
func words(rnd *rand.Rand, n int) []byte {
	var b []byte
	for len(b) < n {
		w := uint64(rnd.ExpFloat64()*40) * 0x9e3779b97f4a7c15
		for k := 2 + w>>61; k > 0; k-- {
			w = w*6364136223846793005 + 1442695040888963407
			b = append(b, "etaoinshrdlucmfwypvbgkjq"[w>>59%24])
		}
		b = append(b, " \n"[rnd.IntN(12)/11])
	}
	return b[:n]
}

// table is records of numbers that grow by small steps.
func table(rnd *rand.Rand, n int) []byte {
	var b []byte
	var id, at uint64
	for len(b) < n {
		id += rnd.Uint64N(3)
		at += rnd.Uint64N(1 << 16)
		b = binary.LittleEndian.AppendUint64(b, id)
		b = binary.LittleEndian.AppendUint64(b, at)
		b = binary.LittleEndian.AppendUint32(b, uint32(rnd.Uint64N(100)))
	}
	return b[:n]
}

// treeLayer is a tree of real sources and machine code: those of Go, and this test's own.
func treeLayer(t testing.TB, limit int) *layer {
	t.Helper()
	w := newTar(t)
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	code, err := os.ReadFile(exe)
	if err != nil {
		t.Fatal(err)
	}
	for i, part := 0, limit/6; i < 3 && len(code) >= part; i, code = i+1, code[part:] {
		w.file(fmt.Sprintf("bin/program.%d", i), code[:part])
	}
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(strings.TrimSpace(string(out)), "src")
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil || !info.Mode().IsRegular() {
			return err
		}
		if int64(w.b.Len())+info.Size()+2048 > int64(limit) {
			return filepath.SkipAll
		}
		b, err := os.ReadFile(path)
		if err == nil {
			w.file("src"+strings.TrimPrefix(filepath.ToSlash(path), filepath.ToSlash(root)), b)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return &layer{image: "tree", name: "tree", tar: w.close()}
}
