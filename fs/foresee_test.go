package fs_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shalefs/shalefs/fs"
	"github.com/shalefs/shalefs/fs/fstest"
	"github.com/shalefs/shalefs/index"
	"github.com/shalefs/shalefs/index/needs"
	"github.com/shalefs/shalefs/index/needs/needstest"
	"github.com/shalefs/shalefs/index/tarx"
	"github.com/shalefs/shalefs/lazy"
)

const objectSize = 256 << 10

func object(interp, runPath string, needed ...string) []byte {
	return needstest.Object(objectSize, interp, runPath, needed...)
}

// A farLayer is a layer that is far away and notes what it is asked for.
type farLayer struct {
	*fstest.Layer
	far   bool
	tells bool // the layer says what its files need

	mu    sync.Mutex // guards what follows
	read  map[int64]bool
	ahead map[lazy.Range]bool
}

func (l *farLayer) Far() bool { return l.far }

func (l *farLayer) Needs(entry int) (*needs.Needs, bool) {
	var e tarx.Entry
	if err := l.Entry(entry, &e); err != nil || !l.tells {
		return nil, false
	}
	b := make([]byte, e.Stored)
	if _, err := l.Layer.ReadAt(context.Background(), b, e.Off); err != nil {
		return nil, false
	}
	return needs.Of(e.Path, b), true
}

func (l *farLayer) Ahead(ranges ...lazy.Range) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range ranges {
		l.ahead[r] = true
	}
}

func (l *farLayer) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	l.mu.Lock()
	l.read[off] = true
	l.mu.Unlock()
	return l.Layer.ReadAt(ctx, p, off)
}

// A file of a farTree, or a symbolic link.
type file struct {
	name, link string
	content    []byte
}

// A farTree is a tree of one layer that is far away, unless near is set, and foresees.
type farTree struct {
	*farLayer
	t       *testing.T
	tree    *fs.Tree
	content *fs.LayerContent
	at      map[string]int64 // where the content of each file is
}

func newFar(t *testing.T, files []file) *farTree {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, f := range files {
		h := &tar.Header{Name: f.name, Linkname: f.link, Size: int64(len(f.content)), Mode: 0o755, Typeflag: tar.TypeReg}
		if f.link != "" {
			h.Typeflag = tar.TypeSymlink
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(f.content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return farOf(t, buf.Bytes())
}

// farOf makes a farTree of a tar.
func farOf(t *testing.T, b []byte) *farTree {
	t.Helper()
	parsed, err := fstest.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	l := &farLayer{Layer: parsed, far: true, read: map[int64]bool{}, ahead: map[lazy.Range]bool{}}
	tree, err := fs.Merge(context.Background(), []fs.Layer{l}, fs.Options{})
	if err != nil {
		t.Fatal(err)
	}
	at := map[string]int64{}
	for i := range l.NumEntries() {
		var e tarx.Entry
		if err := l.Entry(i, &e); err != nil {
			t.Fatal(err)
		}
		at[e.Path] = e.Off
	}
	c := fs.NewContent(tree, []index.TarReader{l}, nil)
	c.Foresee()
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return &farTree{l, t, tree, c, at}
}

// read0 reads the beginning of a file.
func (f *farTree) read0(name string) {
	f.t.Helper()
	ino, err := f.tree.Resolve(name, false)
	if err != nil {
		f.t.Fatal(err)
	}
	var p [4096]byte
	if _, err := f.content.ReadAt(context.Background(), ino, p[:], 0); err != nil && !errors.Is(err, io.EOF) {
		f.t.Fatal(err)
	}
}

// until waits until nothing is missing any more, and for the end of what was begun.
func (f *farTree) until(missing func() string) {
	f.t.Helper()
	look := func() string {
		f.mu.Lock()
		defer f.mu.Unlock()
		return missing()
	}
	for start := time.Now(); look() != ""; time.Sleep(time.Millisecond) {
		if time.Since(start) > time.Minute {
			f.t.Fatalf("still not asked for: %s", look())
		}
	}
	if err := f.content.Close(); err != nil {
		f.t.Fatal(err)
	}
}

func programs(t *testing.T) *farTree {
	return newFar(t, []file{
		{"lib", "usr/lib", nil},
		{"usr/bin/prog", "", object("/lib/ld.so", "", "libone.so.1", "libnowhere.so", "libself.so")},
		{"usr/lib/ld.so", "", object("", "")},
		{"usr/lib/x86_64-linux-gnu/libone.so.1", "/etc/alternatives/libone", nil},
		{"usr/lib/x86_64-linux-gnu/libself.so", "", object("", "", "libself.so", "libone.so.1")},
		{"usr/lib/x86_64-linux-gnu/libother.so", "", object("", "")},
		{"usr/share/one/libone.so.1.0", "", object("", "/nowhere:$ORIGIN/private", "libtwo.so")},
		{"usr/share/one/private/libtwo.so", "", object("", "")},
		{"etc/alternatives/libone", "/usr/share/one/libone.so.1.0", nil},
	})
}

// The first read of a program brings the libraries that it needs, those that they need,
// and the parts of all of them that relocating reads; and nothing else.
func TestForesee(t *testing.T) {
	far := programs(t)
	far.read0("usr/bin/prog")
	far.until(func() string {
		for _, o := range []string{
			"usr/bin/prog", "usr/lib/ld.so", "usr/lib/x86_64-linux-gnu/libself.so",
			"usr/share/one/libone.so.1.0", "usr/share/one/private/libtwo.so",
		} {
			if off := far.at[o]; !far.read[off] || !far.ahead[lazy.Range{Off: off, End: off + objectSize}] {
				return o
			}
		}
		return ""
	})
	if far.read[far.at["usr/lib/x86_64-linux-gnu/libother.so"]] {
		t.Error("a library that nothing needs was read")
	}
	for r := range far.ahead {
		if r.Off < 512 || r.End <= r.Off {
			t.Errorf("ahead of [%d, %d)", r.Off, r.End)
		}
	}
}

// The first read of a module brings those that it imports, from its own package and from
// elsewhere, compiled or not, and those that they import, with the libraries among them and theirs.
func TestForeseeModules(t *testing.T) {
	const lib, site = "usr/lib/python3.11/", "usr/lib/python3/dist-packages/"
	far := newFar(t, []file{
		{lib + "os.py", "", nil},
		{lib + "__pycache__/os.cpython-311.pyc", "", needstest.Compiled("heapq", "num.core", "nowhere", "..num")},
		{lib + "heapq.py", "", nil},
		{lib + "__pycache__/heapq.cpython-311.pyc", "", needstest.Compiled()},
		{lib + "zlast.py", "", nil},
		{lib + "__pycache__/zlast.cpython-311.pyc", "", needstest.Compiled()},
		{lib + "lib-dynload/_x.cpython-311-x86_64-linux-gnu.so", "", object("", "")},
		{lib + "num/core/other.py", "", []byte("import zlast")}, // no package by its own code
		{site + "num/__init__.py", "", nil},
		{site + "num/__pycache__/__init__.cpython-311.pyc", "", needstest.Compiled(".sub", "_x")},
		{site + "num/sub.py", "", []byte("from . import core, nothing\ndef f(): import zlast\n")},
		{site + "num/core/__init__.py", "", []byte("from ..fast import x")},
		{site + "num/fast.cpython-311-x86_64-linux-gnu.so", "", object("", "", "libone.so.1")},
		{site + "num/unused.py", "", nil},
		{"usr/lib/x86_64-linux-gnu/libone.so.1", "", object("", "")},
	})
	far.read0(lib + "__pycache__/os.cpython-311.pyc")
	far.until(func() string {
		for _, name := range []string{
			lib + "__pycache__/heapq.cpython-311.pyc", lib + "lib-dynload/_x.cpython-311-x86_64-linux-gnu.so",
			site + "num/__pycache__/__init__.cpython-311.pyc", site + "num/sub.py", site + "num/core/__init__.py",
			site + "num/fast.cpython-311-x86_64-linux-gnu.so", "usr/lib/x86_64-linux-gnu/libone.so.1",
		} {
			if !far.read[far.at[name]] {
				return name
			}
		}
		// The rest of a directory of compiled modules comes with the second one.
		if e := far.at[lib+"__pycache__/zlast.cpython-311.pyc"]; !far.ahead[lazy.Range{Off: e, End: e + int64(len(needstest.Compiled()))}] {
			return "zlast"
		}
		return ""
	})
	for _, name := range []string{lib + "num/core/other.py", site + "num/unused.py", lib + "os.py", lib + "__pycache__/zlast.cpython-311.pyc"} {
		if far.read[far.at[name]] {
			t.Errorf("%s was read", name)
		}
	}
}

// asked says whether the beginning of a file was asked for.
func (f *farTree) asked(name string) bool {
	for r := range f.ahead {
		if r.Off == f.at[name] {
			return true
		}
	}
	return false
}

// Of a layer that says what its files need nothing is read but what was asked for, and all of it is known at once.
func TestForeseeTold(t *testing.T) {
	far := programs(t)
	far.tells = true
	far.read0("usr/bin/prog")
	for _, name := range []string{
		"usr/bin/prog", "usr/lib/ld.so", "usr/lib/x86_64-linux-gnu/libself.so",
		"usr/share/one/libone.so.1.0", "usr/share/one/private/libtwo.so",
	} {
		if !far.asked(name) {
			t.Errorf("%s was not asked for", name)
		}
	}
	if len(far.read) != 1 || far.asked("usr/lib/x86_64-linux-gnu/libother.so") {
		t.Errorf("%d files read, ahead of %v", len(far.read), far.ahead)
	}
}

// Of a large library only the parts come that starting it reads.
func TestForeseeLarge(t *testing.T) {
	const size = 8 << 20
	far := newFar(t, []file{
		{"usr/bin/prog", "", object("/lib/ld.so", "", "liblarge.so")},
		{"usr/lib/liblarge.so", "", needstest.Object(size, "", "", "libone.so")},
		{"usr/lib/libone.so", "", object("", "")},
	})
	far.tells = true
	far.read0("usr/bin/prog")
	at := far.at["usr/lib/liblarge.so"]
	if !far.ahead[lazy.Range{Off: at + size - needstest.Writable, End: at + size}] || !far.asked("usr/lib/libone.so") {
		t.Errorf("ahead of %v", far.ahead)
	}
	sum := int64(0)
	for r := range far.ahead {
		if r.Off >= at && r.Off < at+size {
			sum += r.End - r.Off
		}
	}
	if sum > 1<<20 {
		t.Errorf("%d bytes of a large library", sum)
	}
}

// Who makes his files need very much is followed for a while only.
func TestForeseeBounds(t *testing.T) {
	var names []string
	for i := range 240 {
		names = append(names, fmt.Sprintf("lib%d.so", i))
	}
	const libraries = 60
	files := []file{{"usr/bin/prog", "", object("/lib/ld.so", "", "libnext0.so")}}
	for i := range libraries {
		needed := append([]string{fmt.Sprintf("libnext%d.so", i+1)}, names...)
		files = append(files, file{fmt.Sprintf("usr/lib/libnext%d.so", i), "", object("", strings.Repeat("a:", 400), needed...)})
	}
	far := newFar(t, files)
	far.tells = true
	far.read0("usr/bin/prog")
	if !far.asked("usr/lib/libnext0.so") || far.asked(fmt.Sprintf("usr/lib/libnext%d.so", libraries-1)) {
		t.Errorf("%d ranges ahead", len(far.ahead))
	}
	last := fmt.Sprintf("usr/lib/libnext%d.so", libraries-1)
	far.read0(last) // what was not followed yet is later
	if !far.asked(last) {
		t.Error("the last one was not asked for when it was read")
	}
}

// A Python interpreter begins with some modules, the locale and the time zone; what it has in itself it does not read.
func TestForeseePython(t *testing.T) {
	const lib, site = "usr/local/lib/python3.12/", "usr/local/lib/python3.12/site-packages/"
	pyc := func(name string) string { return lib + "__pycache__/" + name + ".cpython-312.pyc" }
	wanted := []string{
		"etc/ld.so.cache", "usr/lib/locale/C.utf8/LC_CTYPE", "usr/share/zoneinfo/UTC", "usr/lib/x86_64-linux-gnu/gconv/gconv-modules.cache",
		lib + "encodings/__pycache__/__init__.cpython-312.pyc", lib + "encodings/utf_8.py", pyc("sitecustomize"), site + "one.pth", pyc("heapq"),
	}
	others := []string{pyc("os"), pyc("codecs"), site + "other.txt", lib + "encodings/ascii.py", lib + "importlib/util.py"}
	files := []file{
		{"usr/local/bin/python3.12", "", object("/usr/lib/ld.so", "")},
		{"usr/local/bin/python3.12-config", "", object("/usr/lib/ld.so", "")},
		{"etc/localtime", "/usr/share/zoneinfo/UTC", nil},
		{lib + "os.py", "", nil}, {lib + "codecs.py", "", nil}, {lib + "sitecustomize.py", "", nil}, {lib + "heapq.py", "", nil},
		{lib + "encodings/__init__.py", "", nil}, {lib + "lib-dynload/x.so", "", nil}, {lib + "importlib/__init__.py", "", nil},
	}
	for _, name := range append(wanted, others...) {
		content := []byte("import codecs, os\n")
		switch name {
		case pyc("sitecustomize"):
			content = needstest.Compiled("heapq", "os", "importlib.util")
		case pyc("os"):
			content = needstest.Compiled("never")
		case pyc("heapq"):
			content = needstest.Compiled()
		}
		files = append(files, file{name, "", content})
	}
	far := newFar(t, files)
	far.tells = true
	far.read0("usr/local/bin/python3.12-config")
	if len(far.ahead) > 4 {
		t.Errorf("another program brings %v", far.ahead)
	}
	far.read0("usr/local/bin/python3.12")
	for _, name := range wanted {
		if !far.asked(name) {
			t.Errorf("%s was not asked for", name)
		}
	}
	for _, name := range others {
		if name != lib+"importlib/util.py" && far.asked(name) {
			t.Errorf("%s was asked for", name)
		}
	}
}

// A sparse file, whose stored bytes are not its content, says nothing; nor does an empty one.
func TestForeseeSparse(t *testing.T) {
	b, err := fstest.Tar(`
"x" pax raw= data="25 GNU.sparse.size=20000\n26 GNU.sparse.numblocks=2\n33 GNU.sparse.map=4096,3,16384,4\n24 GNU.sparse.name=s.py\n"
file GNUSparseFile.0/s raw= data=onefour
file empty.py
file other.py data="import s, empty"
`)
	if err != nil {
		t.Fatal(err)
	}
	far := farOf(t, b)
	for _, name := range []string{"s.py", "empty.py", "other.py"} {
		far.read0(name)
	}
	far.until(func() string {
		if !far.ahead[lazy.Range{Off: far.at["other.py"], End: far.at["other.py"] + 15}] {
			return "other.py"
		}
		return ""
	})
	if len(far.ahead) != 1 {
		t.Errorf("ahead of %v", far.ahead)
	}
}

// Who reads one file after the other reads a tree, and starts nothing.
func TestForeseeWalk(t *testing.T) {
	var files []file
	for i := range 100 {
		files = append(files, file{fmt.Sprintf("lib/m%03d.py", i), "", []byte("import last")})
	}
	files = append(files, file{"lib/last.py", "", nil}) // after all others in the tar, before them in the tree
	far := newFar(t, files)
	for i := range 100 {
		far.read0(fmt.Sprintf("lib/m%03d.py", i))
	}
	if err := far.content.Close(); err != nil {
		t.Fatal(err)
	}
	if n := len(far.ahead); n > 10 {
		t.Errorf("%d ranges ahead", n)
	}
}

// What is near is read when it is wanted.
func TestForeseeNear(t *testing.T) {
	near := programs(t)
	near.far = false
	near.read0("usr/bin/prog")
	if err := near.content.Close(); err != nil {
		t.Fatal(err)
	}
	if len(near.read) != 1 || len(near.ahead) != 0 {
		t.Errorf("%d reads, %d ahead", len(near.read), len(near.ahead))
	}
}
