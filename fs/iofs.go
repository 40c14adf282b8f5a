package fs

import (
	"context"
	"errors"
	"io"
	iofs "io/fs"
	"time"

	"github.com/shalefs/shalefs/index/tarx"
)

// FS returns the tree as an io/fs.FS: symlinks are followed inside the root, and
// ReadLink and Lstat are there. Entries whose names io/fs does not allow (not UTF-8)
// are listed but cannot be opened. FileInfo.Sys gives an Attr.
func (t *Tree) FS(c Content) iofs.FS {
	return &treeFS{t, c}
}

type treeFS struct {
	t *Tree
	c Content
}

var (
	_ iofs.ReadDirFS  = (*treeFS)(nil)
	_ iofs.StatFS     = (*treeFS)(nil)
	_ iofs.ReadLinkFS = (*treeFS)(nil)
)

func (f *treeFS) resolve(op, name string, nofollow bool) (Ino, error) {
	if !iofs.ValidPath(name) {
		return 0, &iofs.PathError{Op: op, Path: name, Err: iofs.ErrInvalid}
	}
	ino, err := f.t.Resolve(name, nofollow)
	if err != nil {
		if errors.Is(err, ErrNotDirectory) {
			err = iofs.ErrNotExist
		}
		return 0, &iofs.PathError{Op: op, Path: name, Err: err}
	}
	return ino, nil
}

// Open opens a file or directory.
func (f *treeFS) Open(name string) (iofs.File, error) {
	ino, err := f.resolve("open", name, false)
	if err != nil {
		return nil, err
	}
	info := fileInfo{baseName(name), f.t.Attr(ino)}
	if info.IsDir() {
		return &openDir{fs: f, info: info}, nil
	}
	return &openFile{fs: f, info: info}, nil
}

// Stat follows symlinks.
func (f *treeFS) Stat(name string) (iofs.FileInfo, error) {
	return f.stat("stat", name, false)
}

// Lstat does not follow a symlink in the last part.
func (f *treeFS) Lstat(name string) (iofs.FileInfo, error) {
	return f.stat("lstat", name, true)
}

func (f *treeFS) stat(op, name string, nofollow bool) (iofs.FileInfo, error) {
	ino, err := f.resolve(op, name, nofollow)
	if err != nil {
		return nil, err
	}
	return fileInfo{baseName(name), f.t.Attr(ino)}, nil
}

// ReadLink returns a symlink's target as it is.
func (f *treeFS) ReadLink(name string) (string, error) {
	ino, err := f.resolve("readlink", name, true)
	if err != nil {
		return "", err
	}
	target, err := f.t.Readlink(ino)
	if err != nil {
		return "", &iofs.PathError{Op: "readlink", Path: name, Err: err}
	}
	return target, nil
}

// ReadDir lists a directory, sorted by name.
func (f *treeFS) ReadDir(name string) ([]iofs.DirEntry, error) {
	ino, err := f.resolve("readdir", name, false)
	if err != nil {
		return nil, err
	}
	if f.t.Attr(ino).Kind != tarx.Directory {
		return nil, &iofs.PathError{Op: "readdir", Path: name, Err: ErrNotDirectory}
	}
	return f.list(ino, 0, f.t.Len(ino)), nil
}

func (f *treeFS) list(dir Ino, from, n int) []iofs.DirEntry {
	list := make([]iofs.DirEntry, 0, n)
	f.t.ReadDir(dir, from, func(_ int, name string, ino Ino) bool {
		if len(list) == n {
			return false
		}
		list = append(list, iofs.FileInfoToDirEntry(fileInfo{name, f.t.Attr(ino)}))
		return true
	})
	return list
}

func baseName(path string) string {
	_, base := split(path)
	return base
}

// A fileInfo is an Attr with a name.
type fileInfo struct {
	name string
	attr Attr
}

func (i fileInfo) Name() string        { return i.name }
func (i fileInfo) Size() int64         { return i.attr.Size }
func (i fileInfo) Mode() iofs.FileMode { return i.attr.FileMode() }
func (i fileInfo) ModTime() time.Time  { return time.Unix(i.attr.MTime, int64(i.attr.MTimeNano)) }
func (i fileInfo) IsDir() bool         { return i.attr.Kind == tarx.Directory }
func (i fileInfo) Sys() any            { return i.attr }
func (i fileInfo) String() string      { return iofs.FormatFileInfo(i) }

// FileMode is the kind and the permissions in the form of io/fs.
func (a Attr) FileMode() iofs.FileMode {
	m := iofs.FileMode(a.Perm & 0o777)
	if a.Perm&0o4000 != 0 {
		m |= iofs.ModeSetuid
	}
	if a.Perm&0o2000 != 0 {
		m |= iofs.ModeSetgid
	}
	if a.Perm&0o1000 != 0 {
		m |= iofs.ModeSticky
	}
	return m | kindModes[a.Kind]
}

var kindModes = [...]iofs.FileMode{
	tarx.Regular:   0,
	tarx.Directory: iofs.ModeDir,
	tarx.Symlink:   iofs.ModeSymlink,
	tarx.Char:      iofs.ModeDevice | iofs.ModeCharDevice,
	tarx.Block:     iofs.ModeDevice,
	tarx.Fifo:      iofs.ModeNamedPipe,
}

// An openDir is an open directory; it is a place in the listing.
type openDir struct {
	fs   *treeFS
	info fileInfo
	pos  int
}

var _ iofs.ReadDirFile = (*openDir)(nil)

func (d *openDir) Stat() (iofs.FileInfo, error) { return d.info, nil }
func (d *openDir) Close() error                 { return nil }

func (d *openDir) Read([]byte) (int, error) {
	return 0, &iofs.PathError{Op: "read", Path: d.info.name, Err: errors.New("is a directory")}
}

func (d *openDir) ReadDir(n int) ([]iofs.DirEntry, error) {
	left := d.fs.t.Len(d.info.attr.Ino) - d.pos
	if n > 0 && left == 0 {
		return nil, io.EOF
	}
	if n <= 0 || n > left {
		n = left
	}
	list := d.fs.list(d.info.attr.Ino, d.pos, n)
	d.pos += n
	return list, nil
}

// An openFile is an open file; reads of what is not a regular file say so.
type openFile struct {
	fs   *treeFS
	info fileInfo
	pos  int64
}

var (
	_ io.ReaderAt = (*openFile)(nil)
	_ io.Seeker   = (*openFile)(nil)
)

func (f *openFile) Stat() (iofs.FileInfo, error) { return f.info, nil }
func (f *openFile) Close() error                 { return nil }

func (f *openFile) Read(p []byte) (int, error) {
	n, err := f.ReadAt(p, f.pos)
	f.pos += int64(n)
	if n > 0 && errors.Is(err, io.EOF) {
		err = nil
	}
	return n, err
}

// ReadAt is here because io/fs has no ctx; whoever wants to cancel uses Content.
func (f *openFile) ReadAt(p []byte, off int64) (int, error) {
	if f.info.attr.Kind != tarx.Regular {
		return 0, &iofs.PathError{Op: "read", Path: f.info.name, Err: ErrNotRegular}
	}
	if off < 0 {
		return 0, &iofs.PathError{Op: "read", Path: f.info.name, Err: iofs.ErrInvalid}
	}
	if len(p) == 0 {
		return 0, nil
	}
	if off >= f.info.attr.Size {
		return 0, io.EOF
	}
	return f.fs.c.ReadAt(context.Background(), f.info.attr.Ino, p, off)
}

func (f *openFile) Seek(off int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		off += f.pos
	case io.SeekEnd:
		off += f.info.attr.Size
	}
	if off < 0 || whence < 0 || whence > io.SeekEnd {
		return 0, &iofs.PathError{Op: "seek", Path: f.info.name, Err: iofs.ErrInvalid}
	}
	f.pos = off
	return off, nil
}
