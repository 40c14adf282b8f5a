package fusefs

import (
	"bufio"
	"context"
	"errors"
	iofs "io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	shalefs "github.com/shalefs/shalefs/fs"
	"github.com/shalefs/shalefs/fs/fstest"
)

// hangingContent waits for the end of the ctx, as a registry that does not answer.
type hangingContent struct {
	reads chan shalefs.Ino // gets each read that begins
	ended chan error       // gets each read's end
}

func newHanging() *hangingContent {
	return &hangingContent{make(chan shalefs.Ino, 1000), make(chan error, 1000)}
}

func (h *hangingContent) ReadAt(ctx context.Context, ino shalefs.Ino, _ []byte, _ int64) (int, error) {
	h.reads <- ino
	<-ctx.Done()
	h.ended <- ctx.Err()
	return 0, ctx.Err()
}

// patience is how long tests wait for what must happen soon.
const patience = 60 * time.Second

func receive[T any](t *testing.T, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
	}
	t.Fatalf("%s: nothing after %v", what, patience)
	return *new(T) // Fatalf does not return
}

// A signal interrupts a read that waits, and the answer is EINTR (ERR-4).
func TestInterrupt(t *testing.T) {
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, unix.SIGUSR1) // a handler, so that the signal does not kill
	defer signal.Stop(signals)

	tree, _ := fstest.Tree(t, "file f fill=100000")
	h := newHanging()
	s := mountTree(t, tree, h, Options{})
	tid, result := make(chan int, 1), make(chan error, 1)
	go func() {
		runtime.LockOSThread() // the signal goes to this thread, which ends with the goroutine
		// Without O_DIRECT the reader waits for a page, and only a deadly signal ends that.
		fd, err := unix.Open(filepath.Join(s.Dir(), "f"), unix.O_RDONLY|unix.O_DIRECT, 0)
		if err != nil {
			result <- err
			return
		}
		tid <- unix.Gettid()
		_, err = unix.Pread(fd, make([]byte, 4096), 0)
		_ = unix.Close(fd) // only read from
		result <- err
	}()
	id := receive(t, tid, "open")
	receive(t, h.reads, "read")
	if err := unix.Tgkill(os.Getpid(), id, unix.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	if err := receive(t, result, "interrupted read"); !errors.Is(err, unix.EINTR) {
		t.Errorf("got %v, want EINTR", err)
	}
	if err := receive(t, h.ended, "canceled content"); !errors.Is(err, context.Canceled) {
		t.Errorf("the content got %v", err)
	}
}

// reader is another process that reads a file and hangs.
func reader(t *testing.T, path string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("cat", path)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd
}

// wait waits for a process.
func wait(t *testing.T, cmd *exec.Cmd) error {
	t.Helper()
	c := make(chan error, 1)
	go func() { c <- cmd.Wait() }()
	return receive(t, c, "end of the reader")
}

// A reader that hangs can be killed.
func TestKilledReader(t *testing.T) {
	tree, _ := fstest.Tree(t, "file f fill=100000")
	h := newHanging()
	s := mountTree(t, tree, h, Options{})
	cmd := reader(t, filepath.Join(s.Dir(), "f"))
	receive(t, h.reads, "read")
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := wait(t, cmd); err == nil {
		t.Error("the reader ended well")
	}
}

// The mount goes away while a read hangs, and the reader gets an error.
func TestShutdownWhileReadHangs(t *testing.T) {
	tree, _ := fstest.Tree(t, "file f fill=100000")
	h := newHanging()
	s := mountTree(t, tree, h, Options{})
	cmd := reader(t, filepath.Join(s.Dir(), "f"))
	receive(t, h.reads, "read")
	if err := s.Unmount(); err == nil || os.Geteuid() == 0 && !errors.Is(err, unix.EBUSY) {
		t.Errorf("unmount in use: got %v, want EBUSY", err)
	}
	if err := s.Shutdown(context.Background()); err != nil {
		t.Errorf("shutdown: %v", err)
	}
	if err := wait(t, cmd); err == nil {
		t.Error("the reader ended well")
	}
	receive(t, s.Done(), "end of serving")
	if _, err := FindMount(s.Dir()); !errors.Is(err, iofs.ErrNotExist) {
		t.Errorf("still mounted: %v", err)
	}
}

// An idle mount is unmounted by its server, and by umount.
func TestUnmount(t *testing.T) {
	tree, c := fstest.Tree(t, "file f data=x")
	s := mountTree(t, tree, c, Options{})
	if err := s.Unmount(); err != nil {
		t.Errorf("unmount: %v", err)
	}
	receive(t, s.Done(), "end of serving")
	if list, err := os.ReadDir(s.Dir()); err != nil || len(list) != 0 {
		t.Errorf("the mount point has %v, %v", list, err)
	}
	s = mountTree(t, tree, c, Options{})
	if out, err := exec.Command("umount", s.Dir()).CombinedOutput(); err != nil {
		t.Errorf("umount: %v: %s", err, out)
	}
	receive(t, s.Done(), "end of serving")
}

// A mount point that cannot be is an error, and nothing is mounted.
func TestMountErrors(t *testing.T) {
	needFuse(t)
	tree, c := fstest.Tree(t, "file f")
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(dir, "nope"), file} {
		if s, err := Mount(tree, c, path, Options{}); err == nil {
			t.Errorf("%s: mounted", path)
			if err := s.Shutdown(context.Background()); err != nil {
				t.Error(err)
			}
		}
	}
	if list, err := Mounts(); err != nil {
		t.Error(err)
	} else {
		for _, m := range list {
			if strings.HasPrefix(m.Dir, dir) {
				t.Errorf("mounted: %+v", m)
			}
		}
	}
}

// A mount whose daemon was killed is recognised and can be taken away.
func TestDeadMount(t *testing.T) {
	needFuse(t)
	dir := t.TempDir()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), serveEnv+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = Detach(dir) }) // if the test did not come so far
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "serving\n" {
		t.Fatalf("daemon: %q, %v", line, err)
	}
	m, err := FindMount(dir)
	if err != nil {
		t.Fatal(err)
	}
	if m.Dead() {
		t.Error("dead while it is served")
	}
	if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	if m, err = FindMount(dir); err != nil || m.Source != "dead image" || !m.Dead() {
		t.Errorf("after the death: %+v, dead %v, %v", m, m.Dead(), err)
	}
	if err := Detach(m.Dir); err != nil {
		t.Fatal(err)
	}
	if _, err := FindMount(dir); !errors.Is(err, iofs.ErrNotExist) {
		t.Errorf("after detaching: %v", err)
	}
	tree, c := fstest.Tree(t, "file f data=again")
	s, err := Mount(tree, c, dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(filepath.Join(dir, "f")); err != nil || string(b) != "again" {
		t.Errorf("mounted again: %q, %v", b, err)
	}
	if err := s.Unmount(); err != nil {
		t.Error(err)
	}
}
