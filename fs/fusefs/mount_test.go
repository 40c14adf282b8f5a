package fusefs

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	shalefs "github.com/shalefs/shalefs/fs"
	"github.com/shalefs/shalefs/fs/fstest"
)

// These tests mount. They work in t.TempDir, as root by mount(2), else by fusermount3,
// and a watchdog ends a mount that hangs, so that a bug fails a test and does not stop the machine.

// watchdogAfter is when a test's mount is taken away by force.
const watchdogAfter = 90 * time.Second

// needFuse skips the test where there is no FUSE, unless SHALEFS_REQUIRE_FUSE says that there must be.
func needFuse(t testing.TB) {
	t.Helper()
	f, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err == nil {
		_ = f.Close() // only opened to see that it can be
		return
	}
	skip(t, "/dev/fuse cannot be opened: %v", err)
}

// skip skips the test, or fails it if SHALEFS_REQUIRE_FUSE says that everything must run.
func skip(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("SHALEFS_REQUIRE_FUSE") != "" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

// needRoot skips what only root can do.
func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
}

// mountTree mounts a tree until the test ends.
func mountTree(t testing.TB, tree *shalefs.Tree, c shalefs.Content, opt Options) *Server {
	t.Helper()
	needFuse(t)
	s, err := Mount(tree, c, t.TempDir(), opt)
	if err != nil {
		t.Fatal(err)
	}
	dog := time.AfterFunc(watchdogAfter, func() {
		fmt.Fprintf(os.Stderr, "watchdog: %s: the mount is taken away\n", t.Name())
		_ = s.info.Abort() // the test fails anyway
		_ = Detach(s.dir)
	})
	t.Cleanup(func() {
		dog.Stop()
		select {
		case <-s.Done():
			return
		default:
		}
		if err := s.Shutdown(context.Background()); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		select {
		case <-s.Done():
		case <-time.After(30 * time.Second):
			t.Errorf("the mount is not gone")
		}
	})
	return s
}

// mountText mounts layers made from texts, base first.
func mountText(t testing.TB, opt Options, layers ...string) (dir string, tree *shalefs.Tree) {
	t.Helper()
	tree, c := fstest.Tree(t, layers...)
	return mountTree(t, tree, c, opt).Dir(), tree
}

// counter counts operations.
type counter struct {
	ops map[string]*atomic.Int64
}

var countedOps = []string{
	"LOOKUP", "GETATTR", "READDIR", "READDIRPLUS", "READLINK", "OPEN", "RELEASE", "OPENDIR", "READ",
	"STATFS", "GETXATTR", "LISTXATTR", "LSEEK", "NOTIFY_STORE",
}

func newCounter() *counter {
	c := &counter{ops: map[string]*atomic.Int64{}}
	for _, op := range countedOps {
		c.ops[op] = &atomic.Int64{}
	}
	return c
}

func (c *counter) n(ops ...string) int64 {
	var n int64
	for _, op := range ops {
		n += c.ops[op].Load()
	}
	return n
}

// walkAll lists every path of a directory with its info.
func walkAll(t testing.TB, dir string) map[string]fs.FileInfo {
	t.Helper()
	all := map[string]fs.FileInfo{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		all[strings.TrimPrefix(strings.TrimPrefix(path, dir), "/")] = info
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// waitFor waits until something is true that happens by itself.
func waitFor(t testing.TB, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited for %s for %v", what, patience)
		}
	}
}
