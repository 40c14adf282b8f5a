package cache

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A found is an object or a document as a walk over the directory sees it.
type found struct {
	path    string // of the data
	id      objectID
	doc     bool
	bytes   int64
	units   int64
	lastUse int64 // seconds since 1970
}

// scan lists all objects and documents.
func (c *Cache) scan() ([]found, error) {
	var all []found
	for _, kind := range []string{"tar", "file"} {
		err := c.eachFile(filepath.Join(c.root, kind), func(dir, name string) error {
			base, ok := strings.CutSuffix(name, ".map")
			if !ok {
				return nil
			}
			id, ok := parsePath(kind, base)
			if !ok {
				return nil
			}
			f := found{path: filepath.Join(dir, base), id: id}
			b, err := os.ReadFile(filepath.Join(dir, name))
			if errors.Is(err, os.ErrNotExist) {
				return nil
			}
			if err == nil && len(b) == mapBytes(id.size) && checkMap(b, id.size) == nil {
				m := bitmap{b, id.size}
				f.bytes, f.units, f.lastUse = m.present(), m.count(), m.lastUse()
			}
			all = append(all, f)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	err := c.eachFile(filepath.Join(c.root, "doc"), func(dir, name string) error {
		st, err := os.Lstat(filepath.Join(dir, name))
		if err == nil {
			all = append(all, found{path: filepath.Join(dir, name), doc: true, bytes: st.Size(), lastUse: st.ModTime().Unix()})
		}
		return nil
	})
	return all, err
}

// eachFile calls f for the files of the directories in dir.
func (c *Cache) eachFile(dir string, f func(dir, name string) error) error {
	subs, err := c.disk.readDir(dir)
	if err != nil {
		return err
	}
	for _, s := range subs {
		if !s.IsDir() {
			continue
		}
		sub := filepath.Join(dir, s.Name())
		files, err := c.disk.readDir(sub)
		if err != nil {
			return err
		}
		for _, e := range files {
			if err := f(sub, e.Name()); err != nil {
				return err
			}
		}
	}
	return nil
}

// tmpBytes removes what dead processes left among the temporary files and adds up the
// blocks of the others.
func (c *Cache) tmpBytes() (int64, error) {
	dir := filepath.Join(c.root, "tmp")
	list, err := c.disk.readDir(dir)
	if err != nil {
		return 0, err
	}
	var n int64
	for _, e := range list {
		kept, err := c.tmpFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return 0, err
		}
		n += kept
	}
	return n, nil
}

func (c *Cache) tmpFile(path string) (int64, error) {
	release, err := c.lock()
	if err != nil {
		return 0, err
	}
	defer release()
	f, err := c.disk.open(path, os.O_RDWR)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.Close() }()
	if flock(f, unix.LOCK_EX|unix.LOCK_NB) == nil {
		return 0, c.disk.remove(path)
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return 0, err
	}
	return st.Blocks * 512, nil
}

// orphans removes data files without a map: a crash came between the two.
func (c *Cache) orphans() error {
	for _, kind := range []string{"tar", "file"} {
		err := c.eachFile(filepath.Join(c.root, kind), func(dir, name string) error {
			if strings.HasSuffix(name, ".map") {
				return nil
			}
			path := filepath.Join(dir, name)
			if _, err := os.Lstat(path + ".map"); !errors.Is(err, os.ErrNotExist) {
				return nil
			}
			release, err := c.lock()
			if err != nil {
				return err
			}
			defer release()
			if _, err := os.Lstat(path + ".map"); !errors.Is(err, os.ErrNotExist) {
				return nil
			}
			return c.disk.remove(path)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// removeIdle removes an object that no process has open; it reports whether it did.
func (c *Cache) removeIdle(f found) (bool, error) {
	release, err := c.lock()
	if err != nil {
		return false, err
	}
	defer release()
	m, err := c.disk.open(f.path+".map", os.O_RDWR)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer func() { _ = m.Close() }()
	if err := c.disk.flock(m, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		if errors.Is(err, unix.EWOULDBLOCK) {
			return false, nil
		}
		return false, err
	}
	b := make([]byte, mapBytes(f.id.size))
	if _, err := m.ReadAt(b, 0); err != nil && err != io.EOF {
		return false, err
	}
	if checkMap(b, f.id.size) == nil {
		c.add(-bitmap{b, f.id.size}.present())
	}
	return true, c.removeFiles(f.path)
}

// removeDoc removes a document, if it was not used since it was found.
func (c *Cache) removeDoc(f found) (bool, error) {
	st, err := os.Lstat(f.path)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if st.ModTime().Unix() != f.lastUse {
		return false, nil
	}
	if err := c.disk.remove(f.path); err != nil {
		return false, err
	}
	c.add(-f.bytes)
	return true, nil
}

func age(f found) time.Duration { return time.Since(time.Unix(f.lastUse, 0)) }
