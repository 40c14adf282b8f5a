package fusefs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/shalefs/shalefs/fs/fstest"
	"github.com/shalefs/shalefs/index/tarx"
)

// Layers in which the specification and overlayfs agree.
var agreeing = []string{`
dir a 0750 uid=1 gid=2 mtime=100
file a/keep 0640 mtime=101 data=keep
file a/gone data=gone
dir a/sub 0711
file a/sub/x data=x
dir opaque
file opaque/low data=low
file replaced 0600 data=old
dir becomes-file
file becomes-file/x
file becomes-dir data=old
sym link -> a/keep
file h1 data=linked
link h2 -> h1
fifo p 0600
chr null dev=1:3
file suid 04755 data=s x.user.a=1 x.user.b=2
`, `
dir a 0755 uid=3 gid=4 mtime=200
file a/.wh.gone
file a/new data=new
dir opaque 0700 mtime=201
file opaque/.wh..wh..opq
file opaque/up data=up
file replaced 0644 uid=5 data=new
file becomes-file data=file
dir becomes-dir 0700
file becomes-dir/x data=x
sym link -> a/new
file .wh.nothing
`, `
dir a 0755 uid=3 gid=4 mtime=200
dir a/sub 0700
file a/sub/y data=y
file .wh.p
dir deep
dir deep/er
file deep/er/f mtime=5 data=f
`}

// The mounted tree is what kernel overlayfs shows, where both do the same.
func TestSameAsOverlayfs(t *testing.T) {
	needRoot(t)
	needFuse(t)
	layers, err := fstest.Layers(agreeing...)
	if err != nil {
		t.Fatal(err)
	}
	dir := tmpfs(t)
	lower := make([]string, len(layers))
	for i, l := range layers {
		name := filepath.Join(dir, string(rune('0'+i)))
		unpack(t, name, l.(*fstest.Layer))
		lower[len(layers)-1-i] = name
	}
	merged := filepath.Join(dir, "merged")
	if err := os.Mkdir(merged, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("overlay", merged, "overlay", unix.MS_RDONLY, "lowerdir="+strings.Join(lower, ":")); err != nil {
		skip(t, "overlayfs cannot be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(merged, 0); err != nil {
			t.Error(err)
		}
	})
	ours, _ := mountText(t, Options{}, agreeing...)
	got, want := describeAll(t, ours), describeAll(t, merged)
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// tmpfs mounts one, because t.TempDir may lie on an overlayfs, which cannot be a lower layer with whiteouts.
func tmpfs(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, ""); err != nil {
		skip(t, "tmpfs cannot be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// unpack makes one layer as overlayfs wants it: whiteouts as devices, opaque directories by an xattr.
func unpack(t *testing.T, dir string, l *fstest.Layer) {
	t.Helper()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(os.MkdirAll(dir, 0o755))
	for i := range l.Entries {
		e := &l.Entries[i]
		path := filepath.Join(dir, e.Path)
		switch e.Kind {
		case tarx.Whiteout:
			check(unix.Mknod(path, unix.S_IFCHR, 0))
			continue
		case tarx.Opaque:
			check(unix.Setxattr(path, "trusted.overlay.opaque", []byte("y"), 0))
			continue
		case tarx.Hardlink:
			check(os.Link(filepath.Join(dir, e.Link), path))
			continue
		case tarx.Directory:
			check(os.MkdirAll(path, 0o755))
		case tarx.Symlink:
			check(os.Symlink(e.Link, path))
		case tarx.Regular:
			check(os.MkdirAll(filepath.Dir(path), 0o755))
			check(os.WriteFile(path, l.Bytes[e.Off:e.Off+e.Stored], 0o600))
		default:
			check(unix.Mknod(path, typeBits[e.Kind], int(unix.Mkdev(e.Major, e.Minor))))
		}
		check(unix.Lchown(path, int(e.UID), int(e.GID)))
		for _, x := range e.Xattrs {
			check(unix.Lsetxattr(path, x.Name, x.Value, 0))
		}
		if e.Kind != tarx.Symlink {
			check(unix.Chmod(path, uint32(e.Mode)))
		}
	}
	for i := range l.Entries { // times last: children change their directories
		e := &l.Entries[len(l.Entries)-1-i]
		if e.Kind == tarx.Whiteout || e.Kind == tarx.Opaque || e.Kind == tarx.Hardlink {
			continue
		}
		ts := []unix.Timespec{{Sec: e.MTime, Nsec: int64(e.MTimeNano)}, {Sec: e.MTime, Nsec: int64(e.MTimeNano)}}
		check(unix.UtimesNanoAt(unix.AT_FDCWD, filepath.Join(dir, e.Path), ts, unix.AT_SYMLINK_NOFOLLOW))
	}
}

// describeAll writes down what can be seen of every path but the root. Directories'
// sizes and link counts are each filesystem's own.
func describeAll(t *testing.T, dir string) []string {
	t.Helper()
	var list []string
	first := map[uint64]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		st := info.Sys().(*syscall.Stat_t)
		rel := strings.TrimPrefix(path, dir+"/")
		line := []string{rel, info.Mode().String(), time.Unix(st.Mtim.Unix()).UTC().String(), fmt.Sprintf("%d:%d dev=%#x", st.Uid, st.Gid, st.Rdev)}
		if !d.IsDir() {
			line = append(line, fmt.Sprintf("size=%d links=%d", st.Size, st.Nlink))
			if st.Nlink > 1 {
				if first[st.Ino] == "" {
					first[st.Ino] = rel
				}
				line = append(line, "is", first[st.Ino])
			}
		}
		switch {
		case info.Mode().IsRegular():
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			line = append(line, string(b))
		case info.Mode()&fs.ModeSymlink != 0:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			line = append(line, target)
		}
		line = append(line, xattrsOf(t, path)...)
		list = append(list, strings.Join(line, " "))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func xattrsOf(t *testing.T, path string) []string {
	t.Helper()
	buf := make([]byte, 4096)
	n, err := unix.Llistxattr(path, buf)
	if errors.Is(err, unix.EOPNOTSUPP) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, name := range strings.Split(string(buf[:n]), "\x00") {
		if !strings.HasPrefix(name, "user.") {
			continue
		}
		value := make([]byte, 4096)
		n, err := unix.Lgetxattr(path, name, value)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, name+"="+string(value[:n]))
	}
	slices.Sort(list)
	return list
}
