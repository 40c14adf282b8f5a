package cache

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// version names the directory of this layout on disk. Another layout gets another
// name, so that an old and a new program never read each other's files.
const version = "v1"

// Options are the settings of a Cache. The zero value works.
type Options struct {
	// MaxBytes bounds the content that is kept; 0 is 10 GiB or a tenth of the space
	// that is free on the disk (or taken by the cache), whichever is less.
	MaxBytes int64
	// Logger hears about evictions and trouble; nil is silence.
	Logger *slog.Logger
	// Fault injects failures; nil does not. For tests.
	Fault Fault
	// Open is how many objects that nobody uses stay open; 0 is 32.
	Open int
}

// A Cache is an open cache directory. Its methods may be called from several
// goroutines, and several processes may have the same directory open.
type Cache struct {
	root string // with the version
	max  int64
	opt  Options
	disk disk
	boot [16]byte

	usage struct {
		f *os.File
		b []byte
	}
	evicting atomic.Bool
	wg       sync.WaitGroup // the evictor

	mu      sync.Mutex // guards what follows; never held while the disk works
	objects map[objectID]*Object
	opening map[objectID]*opening
	idle    []*Object // without users, the oldest first
	closed  bool
	tmpSeq  int
}

type objectID struct {
	key  Key
	size int64
}

// Open opens the cache in dir, which is made if it is not there.
func Open(dir string, opt Options) (*Cache, error) {
	if opt.Logger == nil {
		opt.Logger = slog.New(slog.DiscardHandler)
	}
	if opt.Open == 0 {
		opt.Open = 32
	}
	c := &Cache{
		root: filepath.Join(dir, version), opt: opt, disk: disk{opt.Fault}, max: opt.MaxBytes,
		objects: map[objectID]*Object{}, opening: map[objectID]*opening{},
	}
	if err := c.open(); err != nil {
		c.closeUsage()
		return nil, fmt.Errorf("cache %s: %w", dir, err)
	}
	return c, nil
}

func (c *Cache) open() error {
	for _, d := range []string{"", "tar", "file", "doc", "tmp"} {
		if err := c.disk.mkdir(filepath.Join(c.root, d)); err != nil {
			return err
		}
	}
	c.boot = bootID()
	first, err := c.openUsage()
	if err != nil {
		return err
	}
	if c.max == 0 {
		c.max = c.defaultMax()
	}
	if first {
		// Nobody else has the cache open: what a crash left is put right now.
		if err := c.sweep(sweepAll); err != nil {
			return err
		}
	}
	return nil
}

// openUsage maps the counter that all processes share. first says that no other
// process has the cache open.
func (c *Cache) openUsage() (first bool, err error) {
	f, err := c.disk.open(filepath.Join(c.root, "usage"), os.O_RDWR|os.O_CREATE)
	if err != nil {
		return false, err
	}
	c.usage.f = f
	first = flock(f, unix.LOCK_EX|unix.LOCK_NB) == nil
	st, err := f.Stat()
	if err != nil {
		return false, err
	}
	if st.Size() != 8 {
		// Another process at this same point writes the same bytes.
		if err := c.disk.writeAt(f, make([]byte, 8), 0); err != nil {
			return false, err
		}
	}
	if c.usage.b, err = c.disk.mmap(f, 8); err != nil {
		return false, err
	}
	return first, c.disk.flock(f, unix.LOCK_SH)
}

func (c *Cache) closeUsage() {
	if c.usage.b != nil {
		_ = munmap(c.usage.b)
		c.usage.b = nil
	}
	if c.usage.f != nil {
		_ = c.usage.f.Close()
	}
}

func (c *Cache) used() *int64 { return (*int64)(unsafe.Pointer(&c.usage.b[0])) }

// add changes the shared count of bytes, and wakes the evictor when there are many.
func (c *Cache) add(n int64) {
	if atomic.AddInt64(c.used(), n) > c.high() && n > 0 {
		c.evictSoon()
	}
}

// high is where eviction begins and low where it ends.
func (c *Cache) high() int64 { return c.max - c.max/16 }
func (c *Cache) low() int64  { return c.max - c.max/8 }

// full says that nothing more may be written.
func (c *Cache) full(n int64) bool { return atomic.LoadInt64(c.used())+n > c.max }

// Close waits for the evictor and lets go of everything. Objects, temporary files
// and handed out files must be closed before.
func (c *Cache) Close() error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil
	}
	c.closed = true
	c.mu.Unlock()
	c.wg.Wait()
	c.mu.Lock()
	idle := c.idle
	c.idle = nil
	for _, o := range idle {
		delete(c.objects, o.id)
	}
	c.mu.Unlock()
	var err error
	for _, o := range idle {
		err = errors.Join(err, o.free())
	}
	c.closeUsage()
	return err
}

// Dir is the directory that was opened, without the version.
func (c *Cache) Dir() string { return filepath.Dir(c.root) }

// path is where an object's data is; its map is beside it, with ".map" behind.
// Names come from indexes, which may be hostile.
func (c *Cache) path(id objectID) (string, error) {
	if id.key.Kind != "tar" && id.key.Kind != "file" {
		return "", fmt.Errorf("object kind %q: %w", id.key.Kind, os.ErrInvalid)
	}
	if id.size < 0 || id.size > maxSize {
		return "", fmt.Errorf("object of %d bytes: %w", id.size, os.ErrInvalid)
	}
	n := id.key.Name
	if len(n) < 4 || len(n) > 150 {
		return "", fmt.Errorf("object name %q: %w", n, os.ErrInvalid)
	}
	for _, r := range n {
		if (r < '0' || r > '9') && (r < 'a' || r > 'z') && r != '-' {
			return "", fmt.Errorf("object name %q: %w", n, os.ErrInvalid)
		}
	}
	return filepath.Join(c.root, id.key.Kind, n[len(n)-2:], fmt.Sprintf("%s.%d", n, id.size)), nil
}

// parsePath is the inverse of path for a file name in a directory of the kind.
func parsePath(kind, name string) (objectID, bool) {
	var id objectID
	n, s, ok := strings.Cut(name, ".")
	if !ok {
		return id, false
	}
	if _, err := fmt.Sscanf(s, "%d", &id.size); err != nil || fmt.Sprint(id.size) != s || id.size < 0 || id.size > maxSize {
		return id, false
	}
	id.key = Key{Kind: kind, Name: n}
	return id, true
}

// lock takes the lock around making, opening and removing files.
func (c *Cache) lock() (release func(), err error) {
	return c.disk.exclusive(filepath.Join(c.root, "create.lock"), 0)
}

// newTmp makes a temporary file, locked as long as it is open: one without a lock was
// left by a process that died. The caller holds the create lock, so that nobody
// takes the file for such a one before it is locked.
func (c *Cache) newTmp() (*os.File, error) {
	c.mu.Lock()
	c.tmpSeq++
	name := fmt.Sprintf("%d-%p-%d", os.Getpid(), c, c.tmpSeq)
	c.mu.Unlock()
	f, err := c.disk.open(filepath.Join(c.root, "tmp", name), os.O_RDWR|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return nil, err
	}
	if err := flock(f, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		c.dropTmp(f)
		return nil, err
	}
	return f, nil
}

func (c *Cache) dropTmp(f *os.File) {
	_ = os.Remove(f.Name())
	_ = f.Close()
}

func (c *Cache) defaultMax() int64 {
	const most = 10 << 30
	var st unix.Statfs_t
	if err := unix.Statfs(c.root, &st); err != nil {
		return most
	}
	free := int64(st.Bavail)*st.Bsize + max(0, atomic.LoadInt64(c.used()))
	return min(most, free/10)
}

// bootID names this boot of the machine, or only this call where that is not known.
func bootID() (id [16]byte) {
	b, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	x, err := hex.DecodeString(strings.ReplaceAll(strings.TrimSpace(string(b)), "-", ""))
	if err != nil || len(x) != len(id) {
		x = make([]byte, len(id))
		_, _ = rand.Read(x)
	}
	copy(id[:], x)
	return id
}

func munmap(b []byte) error { return unix.Munmap(b) }
