package index

import (
	"archive/tar"
	"bytes"
	"fmt"
	"reflect"
	"testing"

	digest "github.com/opencontainers/go-digest"

	"github.com/shalefs/shalefs/index/needs"
	"github.com/shalefs/shalefs/index/needs/needstest"
	"github.com/shalefs/shalefs/index/tarx"
)

// needsTar has files that need others. The names that are returned are those of which the index is to say it.
func needsTar(t *testing.T) (stream []byte, files map[string][]byte, said map[string]bool) {
	t.Helper()
	files = map[string][]byte{}
	said = map[string]bool{}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	add := func(name string, says bool, content []byte) {
		files[name] = content
		said[name] = says
		if err := w.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(content))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(content); err != nil {
			t.Fatal(err)
		}
	}
	add("bin/prog", true, needstest.Object(needstest.Least, "/lib/ld.so", "", "libone.so", "libtwo.so"))
	add("bin/script", false, []byte("import this"))
	add("empty.py", false, nil)
	add("lib/Before.py", true, []byte("import early"))
	add("lib/__pycache__/Before.cpython-311.pyc", true, needstest.Compiled("early"))
	add("lib/__pycache__/broken.cpython-311.pyc", false, needstest.Compiled("os")[:40])
	add("lib/__pycache__/mod.cpython-311.pyc", true, needstest.Compiled(".other", "os"))
	add("lib/broken.py", false, []byte("import never"))
	add("lib/large.so", true, needstest.Object(6<<20, "", "$ORIGIN", "libone.so"))
	add("lib/large.txt", false, bytes.Repeat([]byte("text\n"), 300_000))
	add("lib/mod.py", false, []byte("import never"))
	add("lib/alone.py", true, []byte("from . import mod\nimport os, sys"))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), files, said
}

// checkNeeds compares what an index says with what the files say.
func checkNeeds(t *testing.T, l *Layer, files map[string][]byte, said map[string]bool) {
	t.Helper()
	var e tarx.Entry
	for i := range l.NumEntries() {
		if err := l.Entry(i, &e); err != nil {
			t.Fatal(err)
		}
		got, known := l.Needs(i)
		if !known || (got != nil) != said[e.Path] {
			t.Errorf("%s: %+v, %v", e.Path, got, known)
		} else if want := needs.Of(e.Path, files[e.Path]); got != nil && !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, not %+v", e.Path, got, want)
		}
	}
}

// TestNeeds: an index says what the files of its layer need, however it was made and came here; one without
// this says that it does not know.
func TestNeeds(t *testing.T) {
	stream, files, said := needsTar(t)
	for name, b := range map[string][]byte{"tar": stream, "gzip": gzipped(t, stream), "zstd": zstded(t)(stream)} {
		t.Run(name, func(t *testing.T) {
			blob := newBlob(b)
			saver := &memSaver{}
			file, err := Build(t.Context(), blob, Want{}, BuildOptions{Saver: saver, SaveBytes: 1 << 20})
			if err != nil {
				t.Fatal(err)
			}
			l, err := OpenBytes(file)
			if err != nil {
				t.Fatal(err)
			}
			checkNeeds(t, l, files, said)
			for i, st := range saver.states {
				again, err := Build(t.Context(), blob, Want{}, BuildOptions{Saver: &memSaver{load: st}})
				if err != nil || !bytes.Equal(again, file) {
					t.Errorf("from state %d of %d: other bytes, %v", i, len(saver.states), err)
				}
			}
			if name == "gzip" && len(saver.states) == 0 {
				t.Error("no state was saved")
			}
			tree, err := l.Tree()
			if err != nil {
				t.Fatal(err)
			}
			part, err := OpenTree(make([]byte, len(file)), tree, nil)
			if err != nil {
				t.Fatal(err)
			}
			checkNeeds(t, part, files, said)
		})
	}
	for name, b := range map[string][]byte{"none": nil, "cut": {0}, "long": {0, 9, 1}, "far": {200, 1, 1, 2}} {
		p := &tables{Needs: needed{Heap: b}}
		h := header{blob: digest.FromString("").String(), format: "tar", flags: flagRaw}
		for i := range 3 {
			if _, err := p.addEntry(&tarx.Entry{Path: fmt.Sprint(i)}); err != nil {
				t.Fatal(err)
			}
		}
		file, err := p.finish(h)
		if err != nil {
			t.Fatal(err)
		}
		l, err := OpenBytes(file)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			if n, known := l.Needs(i); n != nil || known {
				t.Errorf("%s: entry %d: %+v, %v", name, i, n, known)
			}
		}
	}
}

// A section that is damaged says nothing.
func TestNeedsDamaged(t *testing.T) {
	stream, _, _ := needsTar(t)
	file, err := Build(t.Context(), newBlob(stream), Want{}, BuildOptions{})
	if err != nil {
		t.Fatal(err)
	}
	good, err := OpenBytes(file)
	if err != nil {
		t.Fatal(err)
	}
	p := good.h.sections[secNeeds]
	for at := p.off; at < p.off+p.len; at += 7 {
		bad := bytes.Clone(file)
		bad[at] ^= 4
		l, err := OpenBytes(bad)
		if err != nil {
			t.Fatal(err)
		}
		if n, known := l.Needs(0); n != nil || known {
			t.Fatalf("flip at %d: %+v", at, n)
		}
	}
}
