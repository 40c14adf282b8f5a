package cache

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// A Temp is content whose key is known only at its end: a large file during the pass
// that builds an index. It ends with Commit or Abort.
type Temp struct {
	c       *Cache
	f       *os.File
	size    int64
	written atomic.Int64
}

// NewTemp starts content of a known size.
// Errors: ErrFull if there is no room for it, what the disk says.
func (c *Cache) NewTemp(size int64) (*Temp, error) {
	if size <= 0 || size > maxSize {
		return nil, os.ErrInvalid
	}
	if c.full(size) {
		c.evictSoon()
		return nil, ErrFull
	}
	release, err := c.lock()
	if err != nil {
		return nil, err
	}
	defer release()
	f, err := c.newTmp()
	if err != nil {
		return nil, err
	}
	if err := c.disk.truncate(f, size); err != nil {
		c.dropTmp(f)
		return nil, err
	}
	c.add(size)
	return &Temp{c: c, f: f, size: size}, nil
}

// WriteAt writes a part. Every byte must be written before Commit, once.
func (t *Temp) WriteAt(p []byte, off int64) (int, error) {
	if off < 0 || off+int64(len(p)) > t.size {
		return 0, fmt.Errorf("%d bytes at %d of %d: %w", len(p), off, t.size, os.ErrInvalid)
	}
	if err := t.c.disk.writeAt(t.f, p, off); err != nil {
		return 0, err
	}
	t.written.Add(int64(len(p)))
	return len(p), nil
}

// Commit makes the content the object of that key, complete and sealed: the caller has
// computed the key from the very bytes it wrote. If the object is there already, what
// it lacks is filled in. After Commit the Temp is gone, whatever it returns.
func (t *Temp) Commit(key Key) error {
	c := t.c
	path, err := c.path(objectID{key, t.size})
	if err == nil && t.written.Load() != t.size {
		err = fmt.Errorf("%d of %d bytes written: %w", t.written.Load(), t.size, io.ErrUnexpectedEOF)
	}
	if err != nil {
		t.Abort()
		return err
	}
	placed, err := t.place(path)
	if err != nil || placed {
		if err != nil {
			t.Abort()
			return err
		}
		return t.f.Close() // counted since NewTemp
	}
	err = t.fill(key)
	t.Abort()
	return err
}

// place renames the file to its place, unless somebody has the object open.
func (t *Temp) place(path string) (bool, error) {
	c := t.c
	release, err := c.lock()
	if err != nil {
		return false, err
	}
	defer release()
	m, err := c.disk.open(path+".map", os.O_RDWR)
	if err == nil {
		defer func() { _ = m.Close() }()
		if err := c.disk.flock(m, unix.LOCK_EX|unix.LOCK_NB); err != nil {
			if errors.Is(err, unix.EWOULDBLOCK) {
				return false, nil
			}
			return false, err
		}
		b := make([]byte, mapBytes(t.size))
		if _, err := m.ReadAt(b, 0); err == nil && checkMap(b, t.size) == nil {
			c.add(-bitmap{b, t.size}.present())
		}
	} else if !errors.Is(err, os.ErrNotExist) {
		return false, err
	}
	if err := c.disk.mkdir(filepath.Dir(path)); err != nil {
		return false, err
	}
	if err := c.removeFiles(path); err != nil {
		return false, err
	}
	if err := c.disk.rename(t.f.Name(), path); err != nil {
		return false, err
	}
	if err := c.putMap(path, newMap(t.size, true, c.boot)); err != nil {
		_ = os.Remove(path)
		return false, err
	}
	return true, nil
}

// fill writes into an object that is in use what it lacks.
func (t *Temp) fill(key Key) error {
	o, err := t.c.Object(key, t.size)
	if err != nil {
		return err
	}
	defer func() { _ = o.Close() }()
	buf := make([]byte, UnitBytes)
	for off := int64(0); off < t.size; off += UnitBytes {
		if o.Has(off) {
			continue
		}
		b := buf[:min(UnitBytes, t.size-off)]
		if err := t.c.disk.readAt(t.f, b, off); err != nil {
			return err
		}
		if err := o.WriteAt(b, off); err != nil {
			return err
		}
	}
	return nil
}

// Abort throws the content away.
func (t *Temp) Abort() {
	t.c.add(-t.size)
	t.c.dropTmp(t.f)
}
