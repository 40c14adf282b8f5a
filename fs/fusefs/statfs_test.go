package fusefs

import (
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestStatfs(t *testing.T) {
	dir, tree := mountText(t, Options{FSName: "some image"}, "file a fill=10000\nlink b -> a\ndir d")
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		t.Fatal(err)
	}
	if st.Files != uint64(tree.NumInodes()) || st.Files != 3 || st.Ffree != 0 || st.Bfree != 0 || st.Bavail != 0 ||
		st.Blocks != 3 || st.Bsize != 4096 || st.Namelen != 255 {
		t.Errorf("got %+v", st)
	}
	if st.Flags&unix.ST_RDONLY == 0 || st.Flags&unix.ST_NOSUID == 0 || st.Flags&unix.ST_NODEV == 0 {
		t.Errorf("flags %#x: read-only, nosuid and nodev wanted", st.Flags)
	}
	m, err := FindMount(dir)
	if err != nil || m.Source != "some image" || m.Dir != dir {
		t.Errorf("got %+v, %v", m, err)
	}
}

func TestDevices(t *testing.T) {
	needRoot(t)
	dir, _ := mountText(t, Options{Dev: true, Suid: true}, "chr null 0666 dev=1:3\nchr big dev=4095:1048575\nblk b dev=8:17\nfifo p\nchr zero dev=0:0")
	for name, want := range map[string]uint64{
		"null": unix.Mkdev(1, 3), "big": unix.Mkdev(4095, 1048575), "b": unix.Mkdev(8, 17), "p": 0, "zero": 0,
	} {
		var st unix.Stat_t
		if err := unix.Lstat(filepath.Join(dir, name), &st); err != nil || st.Rdev != want {
			t.Errorf("%s: device %#x, %v; want %#x", name, st.Rdev, err, want)
		}
	}
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil || st.Flags&(unix.ST_NOSUID|unix.ST_NODEV) != 0 {
		t.Errorf("flags %#x, %v", st.Flags, err)
	}
	fd, err := unix.Open(filepath.Join(dir, "null"), unix.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := unix.Write(fd, []byte("gone")); err != nil {
		t.Errorf("writing to null: %v", err)
	}
	if err := unix.Close(fd); err != nil {
		t.Error(err)
	}
}
