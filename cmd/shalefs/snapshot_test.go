package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	iofs "io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A fact is what one name of a real tree shows.
type fact struct {
	mode     uint32 // type and permission bits, as in stat
	uid, gid uint32
	size     int64
	mtime    int64 // nanoseconds
	rdev     uint64
	target   string
	sum      string // sha256 of a regular file's content
	xattrs   string
	first    string // the first path, in order, that shares the inode
	nlink    uint64
}

// snapshot reads everything below dir. Paths are relative, "." is dir itself.
func snapshot(t *testing.T, dir string) map[string]fact {
	t.Helper()
	facts := map[string]fact{}
	firsts := map[[2]uint64]string{}
	sums := map[[2]uint64]string{}
	err := filepath.WalkDir(dir, func(path string, _ iofs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return fmt.Errorf("lstat %s: %w", path, err)
		}
		key := [2]uint64{st.Dev, st.Ino}
		f := fact{mode: st.Mode, uid: st.Uid, gid: st.Gid, mtime: st.Mtim.Nano(), nlink: st.Nlink}
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFREG:
			f.size = st.Size
			if _, ok := sums[key]; !ok {
				if sums[key], err = sumFile(path); err != nil {
					return err
				}
			}
			f.sum = sums[key]
		case unix.S_IFLNK:
			if f.target, err = os.Readlink(path); err != nil {
				return err
			}
			f.mode |= 0o777
		case unix.S_IFCHR, unix.S_IFBLK:
			f.rdev = st.Rdev
		}
		if st.Mode&unix.S_IFMT != unix.S_IFDIR {
			if _, ok := firsts[key]; !ok {
				firsts[key] = rel
			}
			f.first = firsts[key]
		} else {
			f.nlink = 0
		}
		if f.xattrs, err = xattrsOf(path); err != nil {
			return err
		}
		facts[rel] = f
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return facts
}

func sumFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func xattrsOf(path string) (string, error) {
	buf := make([]byte, 64<<10)
	n, err := unix.Llistxattr(path, buf)
	if err == unix.ENOTSUP || err == unix.ENOSYS {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("listxattr %s: %w", path, err)
	}
	var lines []string
	for _, name := range bytes.Split(buf[:n], []byte{0}) {
		if len(name) == 0 || strings.HasPrefix(string(name), "trusted.overlay.") || string(name) == "security.selinux" {
			continue
		}
		value := make([]byte, 64<<10)
		n, err := unix.Lgetxattr(path, string(name), value)
		if err != nil {
			return "", fmt.Errorf("getxattr %s %s: %w", path, name, err)
		}
		lines = append(lines, fmt.Sprintf("%s=%x", name, value[:n]))
	}
	slices.Sort(lines)
	return strings.Join(lines, " "), nil
}

// compareTrees fails the test with each name at which two trees differ, in anything.
func compareTrees(t *testing.T, gotName string, got map[string]fact, wantName string, want map[string]fact) {
	t.Helper()
	n := 0
	report := func(format string, a ...any) {
		if n++; n <= 30 {
			t.Errorf(format, a...)
		}
	}
	for _, path := range slices.Sorted(maps.Keys(want)) {
		g, ok := got[path]
		if !ok {
			report("%s: is in %s, not in %s", path, wantName, gotName)
			continue
		}
		w := want[path]
		if g != w {
			report("%s:\n %s: %+v\n %s: %+v", path, gotName, g, wantName, w)
		}
	}
	for _, path := range slices.Sorted(maps.Keys(got)) {
		if _, ok := want[path]; !ok {
			report("%s: is in %s, not in %s", path, gotName, wantName)
		}
	}
	if n > 0 {
		t.Errorf("%d differences between %s and %s", n, gotName, wantName)
	}
}
