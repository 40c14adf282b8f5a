package cache

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// An Object is one object of the cache, open. All who open the same object in one
// process share one Object. Its methods may be called from several goroutines.
type Object struct {
	c    *Cache
	id   objectID
	data *os.File
	mapf *os.File // carries the lock that says "open"
	m    bitmap

	refs int // guarded by c.mu

	// shared holds the shared lock on data while anybody here writes or has a file.
	shared struct {
		sync.Mutex
		n int
	}
}

// opening is an object that some goroutine is about to open.
type opening struct {
	done chan struct{}
	o    *Object
	err  error
}

// Object opens an object, and makes it if it is not there. The size is part of its
// name. Close it after use; that costs nothing, the cache keeps some open.
// Errors: ErrClosed, os.ErrInvalid for a name that cannot be, what the disk says.
func (c *Cache) Object(key Key, size int64) (*Object, error) {
	id := objectID{key, size}
	for {
		c.mu.Lock()
		if c.closed {
			c.mu.Unlock()
			return nil, ErrClosed
		}
		if o := c.objects[id]; o != nil {
			c.take(o)
			c.mu.Unlock()
			return o, nil
		}
		if w := c.opening[id]; w != nil {
			c.mu.Unlock()
			<-w.done
			if w.err != nil {
				return nil, w.err
			}
			continue
		}
		w := &opening{done: make(chan struct{})}
		c.opening[id] = w
		c.mu.Unlock()

		w.o, w.err = c.openObject(id)
		c.mu.Lock()
		delete(c.opening, id)
		if w.err == nil {
			w.o.refs = 1
			c.objects[id] = w.o
		}
		c.mu.Unlock()
		close(w.done)
		return w.o, w.err
	}
}

// take adds a user to an open object. The caller holds c.mu.
func (c *Cache) take(o *Object) {
	o.refs++
	if o.refs > 1 {
		return
	}
	for i, x := range c.idle {
		if x == o {
			c.idle = append(c.idle[:i], c.idle[i+1:]...)
			return
		}
	}
}

// Close ends one use of the object.
func (o *Object) Close() error {
	c := o.c
	var old *Object
	c.mu.Lock()
	o.refs--
	if o.refs == 0 {
		if c.objects[o.id] != o || c.closed {
			// It was removed meanwhile, and the cache does not know it any more.
			old = o
			if c.objects[o.id] == o {
				delete(c.objects, o.id)
			}
		} else if c.idle = append(c.idle, o); len(c.idle) > c.opt.Open {
			old = c.idle[0]
			c.idle = c.idle[1:]
			delete(c.objects, old.id)
		}
	}
	c.mu.Unlock()
	if old == nil {
		return nil
	}
	return old.free()
}

// closeIdle closes the objects that nobody uses, so that they can be evicted.
func (c *Cache) closeIdle() {
	c.mu.Lock()
	idle := c.idle
	c.idle = nil
	for _, o := range idle {
		delete(c.objects, o.id)
	}
	c.mu.Unlock()
	for _, o := range idle {
		_ = o.free()
	}
}

func (o *Object) free() error {
	err := munmap(o.m.b)
	o.m.b = nil
	return errors.Join(err, o.data.Close(), o.mapf.Close())
}

func (c *Cache) openObject(id objectID) (*Object, error) {
	path, err := c.path(id)
	if err != nil {
		return nil, err
	}
	release, err := c.lock()
	if err != nil {
		return nil, err
	}
	defer release()
	o, err := c.openFiles(path, id)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, errBadMap) {
		if err := c.createFiles(path, id.size); err != nil {
			return nil, err
		}
		o, err = c.openFiles(path, id)
	}
	return o, err
}

// openFiles opens an object that is there. The caller holds the create lock.
func (c *Cache) openFiles(path string, id objectID) (*Object, error) {
	mapf, m, err := c.disk.openMap(path+".map", id.size)
	if err != nil {
		return nil, err
	}
	o := &Object{c: c, id: id, mapf: mapf, m: m}
	o.data, err = c.disk.open(path, os.O_RDWR)
	if err == nil {
		err = c.disk.flock(mapf, unix.LOCK_SH)
	}
	if err != nil {
		_ = munmap(m.b)
		_ = mapf.Close()
		if o.data != nil {
			_ = o.data.Close()
		}
		return nil, err
	}
	return o, nil
}

// createFiles makes an empty object: first the data, then, in one step, the map. What is
// there under these names is the rest of a crash. The caller holds the create lock.
func (c *Cache) createFiles(path string, size int64) error {
	if err := c.disk.mkdir(filepath.Dir(path)); err != nil {
		return err
	}
	if err := c.removeFiles(path); err != nil {
		return err
	}
	data, err := c.disk.open(path, os.O_RDWR|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return err
	}
	err = c.disk.truncate(data, size)
	if err = errors.Join(err, data.Close()); err != nil {
		return err
	}
	return c.putMap(path, newMap(size, false, c.boot))
}

// putMap makes the map file beside path appear at once with this content.
func (c *Cache) putMap(path string, b []byte) error {
	f, err := c.newTmp()
	if err != nil {
		return err
	}
	if err := c.disk.writeAt(f, b, 0); err != nil {
		c.dropTmp(f)
		return err
	}
	if err := c.disk.rename(f.Name(), path+".map"); err != nil {
		c.dropTmp(f)
		return err
	}
	return f.Close()
}

// removeFiles removes an object's files, the map first: data without a map is nothing.
func (c *Cache) removeFiles(path string) error {
	if err := c.disk.remove(path + ".map"); err != nil {
		return err
	}
	return c.disk.remove(path)
}

// hold takes the shared lock on the data file for this process; drop gives it back.
func (o *Object) hold() error {
	o.shared.Lock()
	defer o.shared.Unlock()
	if o.shared.n == 0 {
		if err := o.c.disk.flock(o.data, unix.LOCK_SH); err != nil {
			return err
		}
	}
	o.shared.n++
	return nil
}

func (o *Object) drop() {
	o.shared.Lock()
	defer o.shared.Unlock()
	o.shared.n--
	if o.shared.n == 0 {
		_ = flock(o.data, unix.LOCK_UN)
	}
}

// Size is the object's length in bytes.
func (o *Object) Size() int64 { return o.id.size }

// Has says whether the chunk that starts at off is there.
func (o *Object) Has(off int64) bool {
	return off >= 0 && off < o.id.size && o.m.has(off/UnitBytes)
}

// ReadAt fills p with the chunk at off, or its beginning. What it gives is to be checked.
// Errors: ErrMissing, what the disk says.
func (o *Object) ReadAt(p []byte, off int64) error {
	if err := o.inside(p, off); err != nil {
		return err
	}
	u := off / UnitBytes
	for range 3 {
		losses := o.m.losses()
		if !o.m.has(u) {
			break
		}
		if err := o.c.disk.readAt(o.data, p, off); err != nil {
			return err
		}
		if o.m.losses() != losses { // what we read may have been punched out just then
			continue
		}
		o.m.touch(u, time.Now().Unix())
		return nil
	}
	return ErrMissing
}

// WriteAt keeps the chunk that starts at off, whose digest the caller has checked. One
// that is there already is left as it is.
// Errors: ErrFull, what the disk says; the chunk is then not kept, nothing else changes.
func (o *Object) WriteAt(p []byte, off int64) error {
	if err := o.inside(p, off); err != nil {
		return err
	}
	u := off / UnitBytes
	if o.m.has(u) {
		return nil
	}
	if o.c.full(int64(len(p))) {
		o.c.evictSoon()
		return ErrFull
	}
	if err := o.hold(); err != nil {
		return err
	}
	defer o.drop()
	if o.m.has(u) { // from here on nobody can seal what we change
		return nil
	}
	if err := o.c.disk.writeAt(o.data, p, off); err != nil {
		if errors.Is(err, unix.ENOSPC) {
			o.c.evictSoon()
		}
		return err
	}
	if err := o.c.disk.step("setbit", o.mapf.Name()); err != nil {
		return err
	}
	o.m.touch(u, time.Now().Unix())
	if o.m.set(u) {
		o.c.add(o.m.unitLen(u))
	}
	return nil
}

func (o *Object) inside(p []byte, off int64) error {
	if off < 0 || len(p) == 0 || len(p) > UnitBytes || off+int64(len(p)) > o.id.size {
		return fmt.Errorf("%d bytes at %d of %d: %w", len(p), off, o.id.size, os.ErrInvalid)
	}
	return nil
}

// Drop forgets the chunk at off, because it is not what it should be. A sealed object
// keeps it: whoever sees something else in it is wrong, or has the wrong digests.
func (o *Object) Drop(off int64) error {
	if off < 0 || off >= o.id.size {
		return os.ErrInvalid
	}
	if err := o.hold(); err != nil {
		return err
	}
	defer o.drop()
	if o.m.sealed(o.c.boot) {
		return nil
	}
	if err := o.c.disk.step("clearbit", o.mapf.Name()); err != nil {
		return err
	}
	o.m.lose()
	if u := off / UnitBytes; o.m.clear(u) {
		o.c.add(-o.m.unitLen(u))
	}
	return nil
}

// Complete says whether the whole object is there. Only objects of the kind "file"
// ever are, as their chunks start in every unit.
func (o *Object) Complete() bool { return o.m.count() == unitsOf(o.id.size) }

// Present is how many chunks of the object are there.
func (o *Object) Present() int64 { return o.m.count() }

// Remove takes an object out of the cache, even while others have it open: they find
// nothing in it any more. It is for content that was refuted.
func (c *Cache) Remove(key Key, size int64) error {
	id := objectID{key, size}
	path, err := c.path(id)
	if err != nil {
		return err
	}
	release, err := c.lock()
	if err != nil {
		return err
	}
	defer release()
	c.mu.Lock()
	delete(c.objects, id)
	for i, o := range c.idle {
		if o.id == id {
			c.idle = append(c.idle[:i], c.idle[i+1:]...)
			defer func() { _ = o.free() }()
			break
		}
	}
	c.mu.Unlock()
	f, m, err := c.disk.openMap(path+".map", size)
	if err == nil {
		m.lose()
		n := m.present()
		for i := range wordsOf(size) {
			atomic.StoreUint64(m.word64(mapHeader+8*i), 0)
		}
		c.add(-n)
		err = errors.Join(munmap(m.b), f.Close())
	} else if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, c.removeFiles(path))
}

// Present is how many chunks of an object are there; none of one that does not exist.
func (c *Cache) Present(key Key, size int64) int64 {
	id := objectID{key, size}
	path, err := c.path(id)
	if err != nil {
		return 0
	}
	b, err := os.ReadFile(path + ".map")
	if err != nil || len(b) != mapBytes(size) || checkMap(b, size) != nil {
		return 0
	}
	return bitmap{b, size}.count()
}
