package fusefs

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	shalefs "github.com/shalefs/shalefs/fs"
	"github.com/shalefs/shalefs/fs/fstest"
)

// presentContent has the start of every file at hand, unless it is away.
type presentContent struct {
	shalefs.Content
	away  atomic.Bool
	stuck atomic.Bool // it does not answer
	asked atomic.Int64
}

func (c *presentContent) ReadPresent(ctx context.Context, ino shalefs.Ino, p []byte) bool {
	c.asked.Add(1)
	if c.stuck.Load() {
		<-ctx.Done()
		return false
	}
	if c.away.Load() {
		return false
	}
	n, err := c.ReadAt(ctx, ino, p, 0)
	return err == nil && n == len(p)
}

// aheadFiles is how many files the directories of an aheadMount have.
var aheadFiles = map[string]int{"a": 40, "b": 10}

// aheadSize is the size of a file.
func aheadSize(i int) int { return 1 + 1777*i%9000 }

// An aheadMount is a mount with files of different sizes in two directories.
type aheadMount struct {
	t       *testing.T
	server  *Server
	content *presentContent
	ops     *counter
}

func mountAhead(t *testing.T, more ...string) aheadMount {
	t.Helper()
	text := strings.Join(more, "\n") + "\n"
	for dir, n := range aheadFiles {
		text += fmt.Sprintf("dir %s\n", dir)
		for i := range n {
			text += fmt.Sprintf("file %s/%02d fill=%d\n", dir, i, aheadSize(i))
		}
	}
	tree, c := fstest.Tree(t, text)
	m := aheadMount{t: t, content: &presentContent{Content: c}, ops: newCounter()}
	m.server = mountTree(t, tree, m.content, Options{Metrics: m.ops})
	return m
}

func (m aheadMount) list(dir string) {
	m.t.Helper()
	if _, err := os.ReadDir(filepath.Join(m.server.Dir(), dir)); err != nil {
		m.t.Fatal(err)
	}
}

// read reads the files of a directory with the given numbers, and tells how many requests that took.
func (m aheadMount) read(dir string, numbers ...int) int64 {
	m.t.Helper()
	before := m.ops.n("READ")
	for _, i := range numbers {
		m.readFile(fmt.Sprintf("%s/%02d", dir, i), aheadSize(i))
	}
	return m.ops.n("READ") - before
}

func (m aheadMount) readFile(name string, size int) {
	m.t.Helper()
	b, err := os.ReadFile(filepath.Join(m.server.Dir(), name))
	if err != nil || !bytes.Equal(b, fstest.Fill(size)) {
		m.t.Fatalf("%s: %d bytes, %v; want %d bytes", name, len(b), err, size)
	}
}

func (m aheadMount) wait(pushed int64) {
	m.t.Helper()
	waitFor(m.t, fmt.Sprintf("%d files to be pushed", pushed), func() bool { return m.ops.n("NOTIFY_STORE") >= pushed })
}

// count returns the numbers from one up to before another.
func count(from, to int) (numbers []int) {
	for i := from; i < to; i++ {
		numbers = append(numbers, i)
	}
	return numbers
}

// Who reads files in the order of the listing finds those that follow in the page cache, more with
// every file that had to be read.
func TestAhead(t *testing.T) {
	m := mountAhead(t)
	m.list("a")
	m.read("a", 0, 1, 2)
	if n := m.ops.n("NOTIFY_STORE"); n != 0 {
		t.Errorf("%d files pushed after three reads", n)
	}
	next, pushed := 3, int64(0)
	for _, window := range []int{4, 8, 16, 32} {
		if n := m.read("a", next); n != 1 {
			t.Errorf("file %d: %d READ requests, one wanted", next, n)
		}
		window = min(window, aheadFiles["a"]-next-1)
		pushed += int64(window)
		m.wait(pushed)
		if n := m.read("a", count(next+1, next+1+window)...); n != 0 {
			t.Errorf("%d READ requests for %d files after %d, which were pushed", n, window, next)
		}
		next += 1 + window
	}
	if next != aheadFiles["a"] {
		t.Fatalf("%d files were read", next)
	}
	m.list("b") // what is left of the last window
	m.wait(pushed + 10)
	if n := m.read("b", count(0, 10)...); n != 0 {
		t.Errorf("%d READ requests for files of the next directory, which were pushed", n)
	}
}

// Any other order, and listings alone, push nothing.
func TestAheadOtherOrder(t *testing.T) {
	m := mountAhead(t)
	m.list("a")
	m.list("b")
	order := make([]int, 40)
	for i := range order {
		order[i] = (39 + 23*i) % 40 // never the next, nor the next but two
	}
	m.read("a", order...)
	m.list("b")
	if n := m.content.asked.Load(); n != 0 {
		t.Errorf("%d files were to be pushed", n)
	}
}

// What is not here is not pushed, and is not asked for again until somebody reads.
func TestAheadNotPresent(t *testing.T) {
	m := mountAhead(t)
	m.content.away.Store(true)
	m.list("a")
	n := m.read("a", 0, 1, 2, 3)
	waitFor(t, "a push to be tried", func() bool { return m.content.asked.Load() > 0 })
	if n += m.read("a", count(4, 40)...); n != 40 {
		t.Errorf("%d READ requests for 40 files", n)
	}
	if n := m.ops.n("NOTIFY_STORE"); n != 0 {
		t.Errorf("%d files pushed that are not here", n)
	}
	if n := m.content.asked.Load(); n > 40 {
		t.Errorf("asked %d times, once a read at most is wanted", n)
	}
	m.content.away.Store(false)
	m.list("b")
	m.read("b", 0)
	m.wait(1)
}

// A large file is left to the kernel, and nothing after it is pushed before it was read.
func TestAheadLarge(t *testing.T) {
	const size = pushFileBytes + 1
	m := mountAhead(t, fmt.Sprintf("dir a\nfile a/05-large fill=%d", size))
	m.list("a")
	m.read("a", 0, 1, 2, 3)
	m.wait(2)
	if n := m.read("a", 4, 5); n != 0 {
		t.Errorf("%d READ requests for files that were pushed", n)
	}
	if n := m.ops.n("NOTIFY_STORE"); n != 2 {
		t.Errorf("%d files pushed, two wanted before the large one", n)
	}
	m.readFile("a/05-large", size)
	m.wait(2 + 8)
	if n := m.read("a", count(6, 14)...); n != 0 {
		t.Errorf("%d READ requests for files after the large one", n)
	}
}

// A directory among the files is read first, and nothing after it is pushed before.
func TestAheadDirectory(t *testing.T) {
	m := mountAhead(t, "dir a\ndir a/05-more\nfile a/05-more/x fill=100")
	m.list("a")
	m.read("a", 0, 1, 2, 3)
	m.wait(2)
	if n := m.read("a", 4, 5); n != 0 {
		t.Errorf("%d READ requests for files that were pushed", n)
	}
	if n := m.ops.n("NOTIFY_STORE"); n != 2 {
		t.Errorf("%d files pushed, two wanted before the directory", n)
	}
	m.readFile("a/05-more/x", 100)
	m.read("a", 6)
	m.wait(2 + 8)
	if n := m.read("a", count(7, 15)...); n != 0 {
		t.Errorf("%d READ requests for files after the directory", n)
	}
}

// A push that hangs keeps neither readers nor the end of the mount waiting.
func TestAheadStuck(t *testing.T) {
	m := mountAhead(t)
	m.content.stuck.Store(true)
	m.list("a")
	m.read("a", 0, 1, 2, 3)
	waitFor(t, "a push", func() bool { return m.content.asked.Load() > 0 })
	m.read("a", count(4, 40)...)
	if err := m.server.Shutdown(context.Background()); err != nil {
		t.Errorf("shutdown: %v", err)
	}
}
