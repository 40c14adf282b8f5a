package fusefs

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A dirent is what getdents says of a name.
type dirent struct {
	ino  uint64
	next int64 // what telldir says after it
	typ  byte
	name string
}

// getdents reads entries from where the descriptor stands, at most n if n > 0.
func getdents(t *testing.T, fd, n int) []dirent {
	t.Helper()
	var list []dirent
	buf := make([]byte, 4096)
	for {
		got, err := unix.Getdents(fd, buf)
		if err != nil {
			t.Fatal(err)
		}
		if got == 0 {
			return list
		}
		for b := buf[:got]; len(b) > 0; {
			size := binary.NativeEndian.Uint16(b[16:])
			name, _, _ := strings.Cut(string(b[19:size]), "\x00")
			list = append(list, dirent{
				ino: binary.NativeEndian.Uint64(b), next: int64(binary.NativeEndian.Uint64(b[8:])), typ: b[18], name: name,
			})
			b = b[size:]
		}
		if n > 0 && len(list) >= n {
			return list[:n]
		}
	}
}

func openDir(t *testing.T, dir string) int {
	t.Helper()
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Close(fd); err != nil {
			t.Error(err)
		}
	})
	return fd
}

const manyNames = 3000

func manyFiles() string {
	var b strings.Builder
	for i := range manyNames {
		fmt.Fprintf(&b, "file d/name-%05d-%s\n", i, strings.Repeat("x", i%40))
	}
	return b.String() + "dir d/zz\nsym d/zy -> a\nfifo d/zx\nlink d/zw -> d/name-00000-\n"
}

func TestReaddir(t *testing.T) {
	dir, tree := mountText(t, Options{}, manyFiles())
	list := getdents(t, openDir(t, filepath.Join(dir, "d")), 0)
	if len(list) != manyNames+6 || list[0].name != "." || list[1].name != ".." {
		t.Fatalf("%d entries, first %v", len(list), list[:2])
	}
	ino, err := tree.Resolve("d", true)
	if err != nil {
		t.Fatal(err)
	}
	if list[0].ino != uint64(ino) {
		t.Errorf(". is %d, want %d", list[0].ino, ino)
	}
	names := []string{}
	for i, e := range list {
		if e.next != int64(i+1) {
			t.Fatalf("entry %d: offset %d", i, e.next)
		}
		if i < 2 {
			continue
		}
		names = append(names, e.name)
		if want, ok := tree.Lookup(ino, e.name); !ok || e.ino != uint64(want) {
			t.Errorf("%s: inode %d, want %d", e.name, e.ino, want)
		}
	}
	if !slices.IsSorted(names) {
		t.Error("not sorted")
	}
	types := map[string]byte{"zz": unix.DT_DIR, "zy": unix.DT_LNK, "zx": unix.DT_FIFO, "zw": unix.DT_REG}
	for _, e := range list[len(list)-4:] {
		if e.typ != types[e.name] {
			t.Errorf("%s: type %d, want %d", e.name, e.typ, types[e.name])
		}
	}
}

// telldir and seekdir: every place leads back to the entry after it, in any order, on any descriptor.
func TestSeekdir(t *testing.T) {
	dir, _ := mountText(t, Options{}, manyFiles())
	all := getdents(t, openDir(t, filepath.Join(dir, "d")), 0)
	for _, i := range []int{1500, 0, 1, 2, 3, len(all) - 2, 777, 2999, len(all) - 1} {
		fd := openDir(t, filepath.Join(dir, "d"))
		if _, err := unix.Seek(fd, all[i].next, unix.SEEK_SET); err != nil {
			t.Fatal(err)
		}
		rest := getdents(t, fd, 3)
		want := all[i+1:]
		want = want[:min(3, len(want))]
		if !slices.Equal(rest[:min(3, len(rest))], want) {
			t.Errorf("after entry %d: got %v, want %v", i, rest, want)
		}
	}
	fd := openDir(t, filepath.Join(dir, "d"))
	if _, err := unix.Seek(fd, 1<<40, unix.SEEK_SET); err != nil {
		t.Fatal(err)
	}
	if rest := getdents(t, fd, 0); len(rest) != 0 {
		t.Errorf("far past the end: %d entries", len(rest))
	}
}

func TestReaddirEmpty(t *testing.T) {
	dir, _ := mountText(t, Options{}, "dir e")
	list, err := os.ReadDir(filepath.Join(dir, "e"))
	if err != nil || len(list) != 0 {
		t.Errorf("got %v, %v", list, err)
	}
}
