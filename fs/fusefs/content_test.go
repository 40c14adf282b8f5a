package fusefs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	shalefs "github.com/shalefs/shalefs/fs"
	"github.com/shalefs/shalefs/fs/fstest"
	"github.com/shalefs/shalefs/layout"
)

// syncBuffer is a log that may be read while it is written.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// brokenContent fails as a registry does that lost a blob.
type brokenContent struct{ err error }

func (b brokenContent) ReadAt(_ context.Context, _ shalefs.Ino, p []byte, _ int64) (int, error) {
	return len(p) / 2, b.err // bytes beside an error must not be seen
}

// Content that cannot be had is EIO, never ENOENT, with one line in the log (ERR-3, ERR-4, D10).
func TestBrokenContentIsEIO(t *testing.T) {
	for name, err := range map[string]error{"not found": layout.ErrNotFound, "unavailable": layout.ErrUnavailable, "missing": os.ErrNotExist} {
		t.Run(name, func(t *testing.T) {
			tree, _ := fstest.Tree(t, "file k", "file d/f data=hello")
			var log syncBuffer
			s := mountTree(t, tree, brokenContent{err}, Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
			path := filepath.Join(s.Dir(), "d/f")
			for range 3 {
				b, got := os.ReadFile(path)
				if len(b) != 0 || got == nil || !strings.Contains(got.Error(), unix.EIO.Error()) {
					t.Errorf("got %q, %v, want EIO", b, got)
				}
			}
			text := log.String()
			if strings.Count(text, "read failed") != 1 || !strings.Contains(text, "path=d/f") || !strings.Contains(text, "layer=1") ||
				!strings.Contains(text, err.Error()) || !strings.Contains(text, "offset=0") {
				t.Errorf("log: %s", text)
			}
		})
	}
}

// Names, attributes, targets and xattrs are there without any content (ERR-2).
func TestWalkNeedsNoContent(t *testing.T) {
	tree, _ := fstest.Tree(t, smallTree, "file x x.user.a=1")
	c := newCounter()
	s := mountTree(t, tree, brokenContent{layout.ErrUnavailable}, Options{Metrics: c})
	if n := len(walkAll(t, s.Dir())); n != 12 {
		t.Errorf("%d names, 12 wanted", n)
	}
	if _, err := os.Readlink(filepath.Join(s.Dir(), "s")); err != nil {
		t.Error(err)
	}
	if _, err := unix.Listxattr(filepath.Join(s.Dir(), "x"), nil); err != nil {
		t.Error(err)
	}
	if n := c.n("READ"); n != 0 {
		t.Errorf("%d reads", n)
	}
}

const bigSize = 8<<20 + 12345

// Reads at random places, by several readers at once, give the right bytes.
func TestParallelRandomReads(t *testing.T) {
	want := fstest.Fill(bigSize)
	dir, _ := mountText(t, Options{}, "file big fill=8400953")
	var g errgroup.Group
	for reader := range 8 {
		g.Go(func() error {
			f, err := os.Open(filepath.Join(dir, "big"))
			if err != nil {
				return err
			}
			defer f.Close() //nolint:errcheck // only read from
			rnd := rand.New(rand.NewPCG(1, uint64(reader)))
			for range 200 {
				p := make([]byte, rnd.IntN(70_000))
				off := rnd.Int64N(bigSize + 1000)
				n, err := f.ReadAt(p, off)
				if err != nil && err != io.EOF {
					return err
				}
				end := min(off+int64(len(p)), bigSize)
				if off < bigSize && !bytes.Equal(p[:n], want[off:end]) || off >= bigSize && n != 0 {
					t.Errorf("%d bytes at %d: %d bytes, not the right ones", len(p), off, n)
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
	got, err := os.ReadFile(filepath.Join(dir, "big"))
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("the whole file: %d bytes, %v", len(got), err)
	}
}

// mapEnv makes the test binary a process that maps the file that it names and compares it with Fill.
// A page fault stops a thread where the runtime cannot see it, so a process must
// not map files of a mount that it serves.
const mapEnv = "SHALEFS_TEST_MAP"

func compareMapped(path string) (err error) {
	fd, err := unix.Open(path, unix.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unix.Close(fd)) }()
	m, err := unix.Mmap(fd, 0, mappedSize, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	if !bytes.Equal(m, fstest.Fill(mappedSize)) {
		err = errors.New("not the right bytes")
	}
	return errors.Join(err, unix.Munmap(m))
}

const mappedSize = 100000

func TestMmap(t *testing.T) {
	dir, _ := mountText(t, Options{}, fmt.Sprintf("file big fill=%d", mappedSize))
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), mapEnv+"="+filepath.Join(dir, "big"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// sparseText has a sparse file of 20,000 bytes with data at 4096 (3 bytes) and 16384 (4 bytes).
const sparseText = `
"x" pax raw= data="25 GNU.sparse.size=20000\n26 GNU.sparse.numblocks=2\n33 GNU.sparse.map=4096,3,16384,4\n21 GNU.sparse.name=s\n"
file GNUSparseFile.0/s raw= data=onefour
file plain data=plain
`

// Holes read as zeros, and SEEK_DATA and SEEK_HOLE find them (ENT-8).
func TestSeekHole(t *testing.T) {
	dir, _ := mountText(t, Options{}, sparseText)
	path := filepath.Join(dir, "s")
	want := make([]byte, 20000)
	copy(want[4096:], "one")
	copy(want[16384:], "four")
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil || st.Blocks != 1 || st.Size != 20000 {
		t.Errorf("%d blocks, %d bytes, %v", st.Blocks, st.Size, err)
	}
	fd, err := unix.Open(path, unix.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd) //nolint:errcheck // only read from
	for _, c := range []struct {
		off    int64
		whence int
		want   int64
		err    error
	}{
		{0, unix.SEEK_DATA, 4096, nil}, {0, unix.SEEK_HOLE, 0, nil}, {4096, unix.SEEK_HOLE, 4099, nil},
		{4097, unix.SEEK_DATA, 4097, nil}, {4099, unix.SEEK_DATA, 16384, nil}, {16388, unix.SEEK_DATA, 0, unix.ENXIO},
		{16384, unix.SEEK_HOLE, 16388, nil}, {20000, unix.SEEK_HOLE, 0, unix.ENXIO}, {20000, unix.SEEK_DATA, 0, unix.ENXIO},
		{100, unix.SEEK_SET, 100, nil}, {-1, unix.SEEK_END, 19999, nil},
	} {
		got, err := unix.Seek(fd, c.off, c.whence)
		if !errors.Is(err, c.err) || err == nil && got != c.want {
			t.Errorf("seek %d, %d: got %d, %v; want %d, %v", c.off, c.whence, got, err, c.want, c.err)
		}
	}
}
