package fusefs

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	shalefs "github.com/shalefs/shalefs/fs"
	"github.com/shalefs/shalefs/fs/fstest"
)

// backedContent has a backing file for one inode from some moment on. What it reads by
// itself is in lower case, what the backing file has is in upper case.
type backedContent struct {
	shalefs.Content
	path string // of the backing file

	mu    sync.Mutex
	ready bool
	open  int
}

type countedFile struct {
	*os.File
	c *backedContent
}

func (f countedFile) Close() error {
	f.c.mu.Lock()
	f.c.open--
	f.c.mu.Unlock()
	return f.File.Close()
}

func (c *backedContent) Backing(shalefs.Ino) (shalefs.BackingFile, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.ready {
		return nil, false
	}
	f, err := os.Open(c.path)
	if err != nil {
		return nil, false
	}
	c.open++
	return countedFile{f, c}, true
}

func (c *backedContent) set(ready bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ready = ready
}

func (c *backedContent) opened() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.open
}

// passthroughWorks tells whether this kernel can do it with a backing file in dir.
func passthroughWorks(t *testing.T, s *Server, dir string) bool {
	t.Helper()
	if s.raw.handles.backer == nil {
		return false
	}
	name := filepath.Join(dir, "probe")
	if err := os.WriteFile(name, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // only read from
	id, no := s.fuse.RegisterBackingFd(&fuse.BackingMap{Fd: int32(f.Fd())})
	if no == 0 {
		s.fuse.UnregisterBackingFd(id)
	}
	return no == 0
}

// A file that is complete is read by the kernel itself; the mode belongs to the inode as
// long as it is open, and changes only in between.
func TestPassthrough(t *testing.T) {
	needRoot(t)
	tree, c := fstest.Tree(t, "file f data=lower\nfile g data=other")
	dir := t.TempDir()
	b := &backedContent{Content: c, path: filepath.Join(dir, "backing")}
	if err := os.WriteFile(b.path, []byte("UPPER"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := mountTree(t, tree, b, Options{})
	path := filepath.Join(s.Dir(), "f")
	works := passthroughWorks(t, s, dir)
	t.Logf("passthrough works here: %v", works)
	upper := "lower"
	if works {
		upper = "UPPER"
	}
	read := func(f *os.File) string {
		p := make([]byte, 5)
		if _, err := f.ReadAt(p, 0); err != nil {
			t.Error(err)
		}
		return string(p)
	}
	open := func() *os.File {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	// Cached while the content is not complete, and as long as that is open.
	one := open()
	if got := read(one); got != "lower" {
		t.Errorf("not complete: %q", got)
	}
	b.set(true)
	two := open()
	if got := read(two); got != "lower" {
		t.Errorf("complete, but open: %q", got)
	}
	closeFiles(t, s, one, two)

	// Passthrough from the next open on, also when the backing file could not be had again.
	one = open()
	if got := read(one); got != upper {
		t.Errorf("complete: %q, want %q", got, upper)
	}
	b.set(false)
	two = open()
	if got := read(two); got != upper {
		t.Errorf("second open: %q, want %q", got, upper)
	}
	if n := b.opened(); works && n != 1 {
		t.Errorf("%d backing files open, one wanted", n)
	}
	closeFiles(t, s, one, two)
	waitFor(t, "the backing file to be closed", func() bool { return b.opened() == 0 })
}

// closeFiles closes files and waits for the kernel to say so.
func closeFiles(t *testing.T, s *Server, files ...*os.File) {
	t.Helper()
	for _, f := range files {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
	waitFor(t, "the releases", func() bool {
		s.raw.handles.mu.Lock()
		defer s.raw.handles.mu.Unlock()
		return len(s.raw.handles.open) == 0
	})
}

// A backing file that the kernel does not take concerns one file, not the mount.
func TestPassthroughRefused(t *testing.T) {
	needRoot(t)
	tree, c := fstest.Tree(t, "file f data=lower")
	b := &backedContent{Content: c, path: "/proc/self/status", ready: true}
	s := mountTree(t, tree, b, Options{})
	got, err := os.ReadFile(filepath.Join(s.Dir(), "f"))
	if err != nil || !bytes.Equal(got, []byte("lower")) {
		t.Errorf("got %q, %v", got, err)
	}
	waitFor(t, "the backing file to be closed", func() bool { return b.opened() == 0 })
}

// Without passthrough there is no OPEN at all, but the first.
func TestNoOpen(t *testing.T) {
	c := newCounter()
	dir, _ := mountText(t, Options{Metrics: c}, "file f data=f\nfile g data=g")
	for range 3 {
		for _, name := range []string{"f", "g"} {
			if b, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(b) != name {
				t.Errorf("%s: %q, %v", name, b, err)
			}
		}
	}
	if n := c.n("OPEN"); n != 1 {
		t.Errorf("%d OPEN requests, one wanted", n)
	}
	if n := c.n("READ"); n != 2 {
		t.Errorf("%d READ requests, two wanted: pages are kept", n)
	}
}

func TestErrno(t *testing.T) {
	for _, c := range []struct {
		err  error
		want unix.Errno
	}{
		{context.Canceled, unix.EINTR}, {context.DeadlineExceeded, unix.EIO}, {os.ErrNotExist, unix.EIO},
		{errors.Join(errors.New("x"), context.Canceled), unix.EINTR}, {shalefs.ErrNotRegular, unix.EINVAL},
		{errors.New("anything"), unix.EIO}, {unix.ENOENT, unix.EIO},
	} {
		if got := errno(c.err); got != c.want {
			t.Errorf("%v: %v, want %v", c.err, got, c.want)
		}
	}
}
