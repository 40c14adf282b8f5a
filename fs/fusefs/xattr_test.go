package fusefs

import (
	"errors"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestXattrs(t *testing.T) {
	dir, _ := mountText(t, Options{}, `
file f x.user.a="v\x00w" x.user.empty="" x.security.capability="\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00" x.system.posix_acl_access=acl
file g
`)
	f := filepath.Join(dir, "f")
	buf := make([]byte, 100)
	n, err := unix.Getxattr(f, "user.a", buf)
	if err != nil || string(buf[:n]) != "v\x00w" {
		t.Errorf("user.a: %q, %v", buf[:max(n, 0)], err)
	}
	if n, err = unix.Getxattr(f, "user.a", nil); err != nil || n != 3 {
		t.Errorf("size of user.a: %d, %v", n, err)
	}
	if _, err = unix.Getxattr(f, "user.a", buf[:2]); !errors.Is(err, unix.ERANGE) {
		t.Errorf("user.a into two bytes: %v", err)
	}
	if n, err = unix.Getxattr(f, "user.empty", buf); err != nil || n != 0 {
		t.Errorf("user.empty: %d, %v", n, err)
	}
	if n, err = unix.Getxattr(f, "security.capability", buf); err != nil || n != 20 {
		t.Errorf("security.capability: %d, %v", n, err)
	}
	for _, name := range []string{"user.nope", "system.posix_acl_access", "trusted.a"} {
		if n, err := unix.Getxattr(f, name, buf); err == nil {
			t.Errorf("%s: %d bytes", name, n)
		}
	}
	n, err = unix.Listxattr(f, buf)
	if want := "security.capability\x00user.a\x00user.empty\x00"; err != nil || string(buf[:n]) != want {
		t.Errorf("list: %q, %v; want %q", buf[:max(n, 0)], err, want)
	}
	if n, err = unix.Listxattr(filepath.Join(dir, "g"), buf); err != nil || n != 0 {
		t.Errorf("list of g: %d, %v", n, err)
	}
	if _, err = unix.Getxattr(filepath.Join(dir, "g"), "user.a", buf); !errors.Is(err, unix.ENODATA) {
		t.Errorf("user.a of g: %v", err)
	}
}

// An image without xattrs is asked once.
func TestNoXattrs(t *testing.T) {
	c := newCounter()
	dir, _ := mountText(t, Options{Metrics: c}, "file f\nfile g")
	for _, name := range []string{"f", "g", "f"} {
		if _, err := unix.Getxattr(filepath.Join(dir, name), "user.a", nil); !errors.Is(err, unix.EOPNOTSUPP) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := c.n("GETXATTR"); n != 1 {
		t.Errorf("%d requests, one wanted", n)
	}
}
