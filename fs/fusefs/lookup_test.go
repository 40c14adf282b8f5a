package fusefs

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

func (c *counter) Op(name string, _ time.Duration, _ int, _ syscall.Errno) { c.ops[name].Add(1) }

const smallTree = `
dir d 0750 uid=3 gid=4 mtime=-100.123456789
file d/f 04755 uid=1 gid=2 mtime=17179869184 data=hello
link d/g -> d/f
link h -> d/f
sym s -> d/f
sym out -> ../../../../etc/hostname
file "\xff\n\\" data=odd
file empty
dir d/e/x 01777
`

func TestLookup(t *testing.T) {
	dir, tree := mountText(t, Options{}, smallTree)
	var st syscall.Stat_t
	if err := syscall.Lstat(filepath.Join(dir, "d/f"), &st); err != nil {
		t.Fatal(err)
	}
	ino, err := tree.Resolve("d/f", true)
	if err != nil {
		t.Fatal(err)
	}
	if st.Ino != uint64(ino) || st.Mode != syscall.S_IFREG|0o4755 || st.Uid != 1 || st.Gid != 2 || st.Size != 5 ||
		st.Nlink != 3 || st.Blocks != 1 || st.Mtim.Sec != 17179869184 {
		t.Errorf("d/f: ino %d wanted, got %+v", ino, st)
	}
	if err := syscall.Lstat(filepath.Join(dir, "d"), &st); err != nil {
		t.Fatal(err)
	}
	if st.Mode != syscall.S_IFDIR|0o750 || st.Mtim.Sec != -100 || st.Mtim.Nsec != 123456789 || st.Nlink != 3 || st.Size != 4096 {
		t.Errorf("d: got %+v", st)
	}
	for _, name := range []string{"nope", "d/nope", "d/f/x"} {
		err := syscall.Lstat(filepath.Join(dir, name), &st)
		want := syscall.ENOENT
		if name == "d/f/x" {
			want = syscall.ENOTDIR
		}
		if !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", name, err, want)
		}
	}
	if b, err := os.ReadFile(filepath.Join(dir, "\xff\n\\")); err != nil || string(b) != "odd" {
		t.Errorf("odd name: %q, %v", b, err)
	}
	if b, err := os.ReadFile(filepath.Join(dir, "empty")); err != nil || len(b) != 0 {
		t.Errorf("empty: %q, %v", b, err)
	}
}

// The kernel keeps all that it has seen: a second walk asks nothing.
func TestWarmWalkAsksNothing(t *testing.T) {
	c := newCounter()
	dir, _ := mountText(t, Options{Metrics: c}, smallTree)
	walk := func() {
		walkAll(t, dir)
		if _, err := os.Readlink(filepath.Join(dir, "s")); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(dir, "nope")); !os.IsNotExist(err) {
			t.Fatalf("nope: %v", err)
		}
		if b, err := os.ReadFile(filepath.Join(dir, "d/f")); err != nil || string(b) != "hello" {
			t.Fatalf("d/f: %q, %v", b, err)
		}
	}
	walk()
	walk() // the first listing may not have been cached whole
	asked := []string{"LOOKUP", "GETATTR", "READDIR", "READDIRPLUS", "READLINK", "READ", "OPENDIR", "OPEN"}
	before := c.n(asked...)
	walk()
	if n := c.n(asked...) - before; n != 0 {
		t.Errorf("%d requests in a warm walk, none wanted", n)
	}
}

func TestHardLinksShareInode(t *testing.T) {
	dir, _ := mountText(t, Options{}, smallTree)
	var ino uint64
	for _, name := range []string{"d/f", "d/g", "h"} {
		var st syscall.Stat_t
		if err := syscall.Lstat(filepath.Join(dir, name), &st); err != nil {
			t.Fatal(err)
		}
		if ino == 0 {
			ino = st.Ino
		}
		if st.Ino != ino || st.Nlink != 3 {
			t.Errorf("%s: inode %d with %d links, want %d with 3", name, st.Ino, st.Nlink, ino)
		}
	}
}

func TestOwnerOptions(t *testing.T) {
	uid, gid := uint32(1234), uint32(5678)
	dir, _ := mountText(t, Options{UID: &uid, GID: &gid}, smallTree)
	for name, info := range walkAll(t, dir) {
		if st := info.Sys().(*syscall.Stat_t); st.Uid != uid || st.Gid != gid {
			t.Errorf("%s: %d:%d", name, st.Uid, st.Gid)
		}
	}
}

func TestSymlinks(t *testing.T) {
	dir, _ := mountText(t, Options{}, smallTree)
	for name, want := range map[string]string{"s": "d/f", "out": "../../../../etc/hostname"} {
		path := filepath.Join(dir, name)
		if got, err := os.Readlink(path); err != nil || got != want {
			t.Errorf("%s: %q, %v; want %q", name, got, err, want)
		}
		info, err := os.Lstat(path)
		if err != nil || info.Size() != int64(len(want)) {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	if b, err := os.ReadFile(filepath.Join(dir, "s")); err != nil || string(b) != "hello" {
		t.Errorf("through s: %q, %v", b, err)
	}
}
