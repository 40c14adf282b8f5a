package fs_test

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/binary"
	"sync"
	"testing"
	"time"

	"github.com/shalefs/shalefs/fs"
	"github.com/shalefs/shalefs/fs/fstest"
	"github.com/shalefs/shalefs/index"
	"github.com/shalefs/shalefs/index/tarx"
)

// The parts of a made-up object: a segment of tables, and a writable one at its end.
const (
	objectSize    = 256 << 10
	objectDynamic = 200 << 10
	objectStrings = 8 << 10
)

// object makes an ELF object that needs libraries.
func object(interp, runPath string, needed ...string) []byte {
	b := make([]byte, objectSize)
	le := binary.LittleEndian
	copy(b, "\x7fELF\x02\x01\x01")
	le.PutUint64(b[32:], 64)
	le.PutUint16(b[54:], 56)
	n := 0
	segment := func(kind, flags uint32, off, size int) {
		p := b[64+56*n:]
		le.PutUint32(p, kind)
		le.PutUint32(p[4:], flags)
		le.PutUint64(p[8:], uint64(off))
		le.PutUint64(p[16:], uint64(off))
		le.PutUint64(p[32:], uint64(size))
		n++
		le.PutUint16(b[56:], uint16(n))
	}
	segment(1, 4, 0, objectDynamic)
	segment(1, 6, objectDynamic, objectSize-objectDynamic)
	segment(2, 6, objectDynamic, 4096)
	if interp != "" {
		copy(b[4096:], interp)
		segment(3, 4, 4096, len(interp)+1)
	}
	at, strs := 0, 1
	entry := func(tag, v int) {
		le.PutUint64(b[objectDynamic+at:], uint64(tag))
		le.PutUint64(b[objectDynamic+at+8:], uint64(v))
		at += 16
	}
	str := func(s string) int {
		copy(b[objectStrings+strs:], s)
		strs += len(s) + 1
		return strs - len(s) - 1
	}
	for _, s := range needed {
		entry(1, str(s))
	}
	if runPath != "" {
		entry(29, str(runPath))
	}
	entry(5, objectStrings)
	entry(10, strs)
	return b
}

// A farLayer is a layer that is far away and notes what it is asked for.
type farLayer struct {
	*fstest.Layer
	far bool

	mu    sync.Mutex // guards what follows
	read  map[int64]bool
	ahead map[[2]int64]bool
}

func (l *farLayer) Far() bool { return l.far }

func (l *farLayer) Ahead(off, end int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ahead[[2]int64{off, end}] = true
}

func (l *farLayer) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	l.mu.Lock()
	l.read[off] = true
	l.mu.Unlock()
	return l.Layer.ReadAt(ctx, p, off)
}

func foreseeing(t *testing.T, far bool) (*farLayer, *fs.Tree, *fs.LayerContent, map[string]int64) {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	add := func(name, link string, b []byte) {
		h := &tar.Header{Name: name, Linkname: link, Size: int64(len(b)), Mode: 0o755, Typeflag: tar.TypeReg}
		if link != "" {
			h.Typeflag = tar.TypeSymlink
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	add("lib", "usr/lib", nil)
	add("usr/bin/prog", "", object("/lib/ld.so", "", "libone.so.1", "libnowhere.so", "libself.so"))
	add("usr/lib/ld.so", "", object("", ""))
	add("usr/lib/x86_64-linux-gnu/libone.so.1", "/etc/alternatives/libone", nil)
	add("usr/lib/x86_64-linux-gnu/libself.so", "", object("", "", "libself.so", "libone.so.1"))
	add("usr/lib/x86_64-linux-gnu/libother.so", "", object("", ""))
	add("usr/share/one/libone.so.1.0", "", object("", "/nowhere:$ORIGIN/private", "libtwo.so"))
	add("usr/share/one/private/libtwo.so", "", object("", ""))
	add("etc/alternatives/libone", "/usr/share/one/libone.so.1.0", nil)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	parsed, err := fstest.Parse(buf.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	l := &farLayer{Layer: parsed, far: far, read: map[int64]bool{}, ahead: map[[2]int64]bool{}}
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
	return l, tree, c, at
}

// The first read of a program brings the libraries that it needs, those that they need,
// and the parts of all of them that relocating reads; and nothing else.
func TestForesee(t *testing.T) {
	l, tree, c, at := foreseeing(t, true)
	ino, err := tree.Resolve("usr/bin/prog", false)
	if err != nil {
		t.Fatal(err)
	}
	var p [4096]byte
	if _, err := c.ReadAt(context.Background(), ino, p[:], 0); err != nil {
		t.Fatal(err)
	}
	objects := []string{
		"usr/bin/prog", "usr/lib/ld.so", "usr/lib/x86_64-linux-gnu/libself.so",
		"usr/share/one/libone.so.1.0", "usr/share/one/private/libtwo.so",
	}
	missing := func() string {
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, o := range objects {
			if off := at[o]; !l.read[off] || !l.ahead[[2]int64{off + objectDynamic, off + objectSize}] {
				return o
			}
		}
		return ""
	}
	for start := time.Now(); missing() != ""; time.Sleep(time.Millisecond) {
		if time.Since(start) > time.Minute {
			t.Fatalf("still not asked for: %s", missing())
		}
	}
	if err := c.Close(); err != nil { // what was begun has ended
		t.Fatal(err)
	}
	if l.read[at["usr/lib/x86_64-linux-gnu/libother.so"]] {
		t.Error("a library that nothing needs was read")
	}
	for r := range l.ahead {
		if r[0] < 512 || r[1] <= r[0] {
			t.Errorf("ahead of [%d, %d)", r[0], r[1])
		}
	}
}

// What is near is read when it is wanted.
func TestForeseeNear(t *testing.T) {
	l, tree, c, _ := foreseeing(t, false)
	ino, err := tree.Resolve("usr/bin/prog", false)
	if err != nil {
		t.Fatal(err)
	}
	var p [4096]byte
	if _, err := c.ReadAt(context.Background(), ino, p[:], 0); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if len(l.read) != 1 || len(l.ahead) != 0 {
		t.Errorf("%d reads, %d ahead", len(l.read), len(l.ahead))
	}
}
