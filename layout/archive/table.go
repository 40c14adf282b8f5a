package archive

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/shalefs/shalefs/layout"
)

// An entry is a name of the archive.
type entry struct {
	kind byte   // tar.TypeReg, TypeSymlink, TypeLink; others cannot be read
	off  int64  // offset of the content in the file
	size int64  // length of the content in bytes
	link string // cleaned target of a link, relative to the archive
}

// A table is the content of an archive by name: the Files of a layout in it. It owns the file.
type table struct {
	f       *os.File
	entries map[string]entry
}

var _ layout.Files = (*table)(nil)

// scan reads the headers of a tar. The last entry of a name counts (LAY-16).
func scan(ctx context.Context, f *os.File, maxEntries int) (*table, error) {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	fi, err := f.Stat()
	if err != nil {
		return nil, err
	}
	t := &table{f: f, entries: map[string]entry{}}
	r := tar.NewReader(f) // it seeks over contents, and reads nothing ahead
	for n := 0; ; n++ {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		h, err := r.Next()
		if err == io.EOF {
			return t, nil
		}
		off, serr := f.Seek(0, io.SeekCurrent)
		if serr != nil {
			return nil, serr
		}
		if err != nil {
			return nil, fmt.Errorf("tar, offset %d: %w (%w)", off, err, layout.ErrInvalid)
		}
		if n >= maxEntries {
			return nil, fmt.Errorf("more than %d entries: %w", maxEntries, layout.ErrTooLarge)
		}
		if err := t.add(h, off, fi.Size()); err != nil {
			return nil, err
		}
	}
}

func (t *table) add(h *tar.Header, off, fileSize int64) error {
	name, err := cleanName(h.Name)
	if err != nil {
		return err
	}
	e := entry{kind: h.Typeflag, off: off, size: h.Size}
	switch {
	case isSparse(h):
		e.kind = tar.TypeGNUSparse
	case h.Typeflag == tar.TypeReg:
		if h.Size > fileSize-off {
			return fmt.Errorf("tar, offset %d: %q is cut: %w", off, h.Name, layout.ErrInvalid)
		}
	case h.Typeflag == tar.TypeSymlink:
		e.link = cleanLink(path.Dir(name), h.Linkname)
	case h.Typeflag == tar.TypeLink:
		e.link = cleanLink("", h.Linkname)
	}
	t.entries[name] = e
	return nil
}

func isSparse(h *tar.Header) bool {
	if h.Typeflag == tar.TypeGNUSparse {
		return true
	}
	for k := range h.PAXRecords {
		if strings.HasPrefix(k, "GNU.sparse.") {
			return true
		}
	}
	return false
}

// cleanName brings the name of an entry to the form of the table; ".." is refused (LAY-16).
func cleanName(name string) (string, error) {
	for part := range strings.SplitSeq(name, "/") {
		if part == ".." {
			return "", fmt.Errorf("entry %q has a part \"..\": %w", name, layout.ErrInvalid)
		}
	}
	return strings.TrimPrefix(path.Clean("/"+name), "/"), nil
}

// cleanLink is where a link in dir points, inside the archive.
func cleanLink(dir, target string) string {
	if strings.HasPrefix(target, "/") {
		dir = ""
	}
	return strings.TrimPrefix(path.Join("/", dir, target), "/")
}

func (t *table) has(name string) bool {
	_, ok := t.entries[name]
	return ok
}

// regular finds a regular file. follow allows one step over a link (LAY-18); a hard link is
// only another name of a file, and is always followed.
func (t *table) regular(name string, follow bool) (entry, error) {
	e, ok := t.entries[name]
	if !ok {
		return entry{}, fmt.Errorf("%q: %w", name, layout.ErrNotFound)
	}
	if e.kind == tar.TypeLink || follow && e.kind == tar.TypeSymlink {
		to, ok := t.entries[e.link]
		if !ok {
			return entry{}, fmt.Errorf("%q links to %q: %w", name, e.link, layout.ErrNotFound)
		}
		if to.kind != tar.TypeReg {
			return entry{}, fmt.Errorf("%q links to %q, which is not a regular file: %w", name, e.link, layout.ErrInvalid)
		}
		return to, nil
	}
	switch e.kind {
	case tar.TypeReg:
		return e, nil
	case tar.TypeGNUSparse:
		return entry{}, fmt.Errorf("%q is stored as a sparse file: %w", name, layout.ErrUnsupported)
	}
	return entry{}, fmt.Errorf("%q is not a regular file: %w", name, layout.ErrInvalid)
}

func (t *table) ReadFile(name string, limit int64) ([]byte, error) {
	e, err := t.regular(name, false)
	if err != nil {
		return nil, err
	}
	return t.read(name, e, limit)
}

func (t *table) read(name string, e entry, limit int64) ([]byte, error) {
	if e.size > limit {
		return nil, fmt.Errorf("%q has %d bytes, the limit is %d: %w", name, e.size, limit, layout.ErrTooLarge)
	}
	b := make([]byte, e.size)
	if _, err := t.f.ReadAt(b, e.off); err != nil && (err != io.EOF || e.size > 0) {
		return nil, fmt.Errorf("%q: %w", name, errors.Join(err, layout.ErrInvalid))
	}
	return b, nil
}

func (t *table) OpenBlob(name string, desc ocispec.Descriptor) (layout.Blob, error) {
	e, err := t.regular(name, false)
	if err != nil {
		return nil, err
	}
	return t.blob(e, desc)
}

func (t *table) blob(e entry, desc ocispec.Descriptor) (layout.Blob, error) {
	if e.size != desc.Size {
		return nil, &layout.DigestError{Want: desc.Digest, WantSize: desc.Size, GotSize: e.size}
	}
	return layout.NewFileBlob(t.f, e.off, e.size, desc.Digest, false)
}

func (t *table) Close() error { return t.f.Close() }
