package fusefs

import (
	"errors"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// Every change is EROFS, and so is access(W_OK) (ENT-38).
func TestEveryChangeIsEROFS(t *testing.T) {
	dir, _ := mountText(t, Options{}, "file f data=x x.user.a=1\ndir d\nsym s -> f")
	f, d, s, n := filepath.Join(dir, "f"), filepath.Join(dir, "d"), filepath.Join(dir, "s"), filepath.Join(dir, "new")
	now := []unix.Timespec{{Sec: 1}, {Sec: 1}}
	open := func(path string, flags int) func() error {
		return func() error {
			fd, err := unix.Open(path, flags, 0o600)
			if err == nil {
				_ = unix.Close(fd) // it should not be open
			}
			return err
		}
	}
	for name, change := range map[string]func() error{
		"open for writing": open(f, unix.O_WRONLY), "open for both": open(f, unix.O_RDWR),
		"truncating open": open(f, unix.O_RDONLY|unix.O_TRUNC), "create": open(n, unix.O_CREAT|unix.O_RDWR),
		"tmpfile":      open(d, unix.O_TMPFILE|unix.O_RDWR),
		"truncate":     func() error { return unix.Truncate(f, 0) },
		"chmod":        func() error { return unix.Chmod(f, 0o777) },
		"chown":        func() error { return unix.Lchown(s, 1, 1) },
		"utimens":      func() error { return unix.UtimesNanoAt(unix.AT_FDCWD, f, now, 0) },
		"unlink":       func() error { return unix.Unlink(f) },
		"rmdir":        func() error { return unix.Rmdir(d) },
		"mkdir":        func() error { return unix.Mkdir(n, 0o755) },
		"mknod":        func() error { return unix.Mknod(n, unix.S_IFREG|0o600, 0) },
		"mkfifo":       func() error { return unix.Mkfifo(n, 0o600) },
		"symlink":      func() error { return unix.Symlink("x", n) },
		"link":         func() error { return unix.Link(f, n) },
		"rename":       func() error { return unix.Rename(f, n) },
		"exchange":     func() error { return unix.Renameat2(unix.AT_FDCWD, f, unix.AT_FDCWD, d, unix.RENAME_EXCHANGE) },
		"setxattr":     func() error { return unix.Setxattr(f, "user.b", []byte("1"), 0) },
		"removexattr":  func() error { return unix.Removexattr(f, "user.a") },
		"access(W_OK)": func() error { return unix.Access(f, unix.W_OK) },
	} {
		if err := change(); !errors.Is(err, unix.EROFS) {
			t.Errorf("%s: got %v, want EROFS", name, err)
		}
	}
	if err := unix.Access(f, unix.R_OK); err != nil {
		t.Errorf("access(R_OK): %v", err)
	}
	fd, err := unix.Open(f, unix.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := unix.Write(fd, []byte("x")); !errors.Is(err, unix.EBADF) {
		t.Errorf("write on a descriptor for reading: %v", err)
	}
	if err := unix.Fsync(fd); err != nil {
		t.Errorf("fsync: %v", err)
	}
	if err := unix.Close(fd); err != nil {
		t.Error(err)
	}
}
