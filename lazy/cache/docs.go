package cache

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// maxDoc bounds a document that GetDoc reads into memory, in bytes.
const maxDoc = 1 << 30

// DocPath is where the document of that kind (a short word: "manifest", "index") and name
// (any string) is kept. Programs that map a document open this path; the file under
// it is replaced, never changed.
func (c *Cache) DocPath(kind, name string) string {
	e := url.PathEscape(name)
	if e == "" || len(e) > 200 || strings.HasPrefix(e, ".") {
		e = fmt.Sprintf("%%%x", sha256.Sum256([]byte(name)))
	}
	return filepath.Join(c.root, "doc", kind, e)
}

// GetDoc reads a document. It is the caller who checks it.
// Errors: ErrMissing, what the disk says.
func (c *Cache) GetDoc(kind, name string) ([]byte, error) {
	path := c.DocPath(kind, name)
	f, err := c.disk.open(path, os.O_RDONLY)
	if errors.Is(err, os.ErrNotExist) {
		return nil, ErrMissing
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() || st.Size() > maxDoc {
		return nil, fmt.Errorf("%s: not a document", path)
	}
	b := make([]byte, st.Size())
	if len(b) > 0 {
		if err := c.disk.readAt(f, b, 0); err != nil {
			return nil, err
		}
	}
	c.touchDoc(path, st)
	return b, nil
}

// UseDoc notes that a document was used by somebody who read it through DocPath.
func (c *Cache) UseDoc(kind, name string) {
	path := c.DocPath(kind, name)
	if st, err := os.Lstat(path); err == nil {
		c.touchDoc(path, st)
	}
}

// touchDoc notes the use of a document, once an hour.
func (c *Cache) touchDoc(path string, st os.FileInfo) {
	if now := time.Now(); now.Sub(st.ModTime()) > time.Hour {
		_ = os.Chtimes(path, now, now)
	}
}

// PutDoc stores a document, in the place of one with the same name. Either all of it
// is there afterwards or nothing changed, also when the power fails.
// Errors: ErrFull, what the disk says.
func (c *Cache) PutDoc(kind, name string, b []byte) error {
	d, err := c.NewDoc(kind, name)
	if err != nil {
		return err
	}
	if _, err := d.Write(b); err != nil {
		d.Abort()
		return err
	}
	return d.Commit()
}

// RemoveDoc removes a document; one that is not there is no error.
func (c *Cache) RemoveDoc(kind, name string) error {
	path := c.DocPath(kind, name)
	st, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := c.disk.remove(path); err != nil {
		return err
	}
	c.add(-st.Size())
	return nil
}

// Docs lists the names of the documents of a kind, as far as they are known: a very
// long name is kept as a digest only and left out.
func (c *Cache) Docs(kind string) ([]string, error) {
	list, err := c.disk.readDir(filepath.Join(c.root, "doc", kind))
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range list {
		if n, err := url.PathUnescape(e.Name()); err == nil && filepath.Base(c.DocPath(kind, n)) == e.Name() {
			names = append(names, n)
		}
	}
	return names, nil
}

// A Doc is a document that is being written. Its methods may not run in parallel.
type Doc struct {
	c    *Cache
	f    *os.File
	path string
	size int64
}

// NewDoc starts a document that is too large to be held in memory. It ends with
// Commit or Abort.
func (c *Cache) NewDoc(kind, name string) (*Doc, error) {
	path := c.DocPath(kind, name)
	if err := c.disk.mkdir(filepath.Dir(path)); err != nil {
		return nil, err
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
	return &Doc{c: c, f: f, path: path}, nil
}

// Write appends p.
func (d *Doc) Write(p []byte) (int, error) {
	if d.c.full(int64(len(p))) {
		d.c.evictSoon()
		return 0, ErrFull
	}
	if err := d.c.disk.writeAt(d.f, p, d.size); err != nil {
		return 0, err
	}
	d.size += int64(len(p))
	d.c.add(int64(len(p)))
	return len(p), nil
}

// WriteAt changes what was written, as a header whose content is known at the end.
func (d *Doc) WriteAt(p []byte, off int64) (int, error) {
	if off < 0 || off+int64(len(p)) > d.size {
		return 0, os.ErrInvalid
	}
	if err := d.c.disk.writeAt(d.f, p, off); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Commit makes the document appear under its name.
func (d *Doc) Commit() error {
	if err := d.c.disk.sync(d.f); err != nil {
		d.Abort()
		return err
	}
	var old int64
	if st, err := os.Lstat(d.path); err == nil {
		old = st.Size()
	}
	if err := d.c.disk.rename(d.f.Name(), d.path); err != nil {
		d.Abort()
		return err
	}
	d.c.add(-old)
	return d.f.Close()
}

// Abort throws away what was written.
func (d *Doc) Abort() {
	d.c.add(-d.size)
	d.c.dropTmp(d.f)
}
