package layout

import (
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"os"
	"path/filepath"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"
)

// A Dir is the Store of an image layout directory. It is a Pusher too.
type Dir struct {
	*fileStore
	dir string
}

var (
	_ Store  = (*Dir)(nil)
	_ Pusher = (*Dir)(nil)
)

// OpenLayout opens a layout directory. ref says what of it Resolve finds; its Path is
// used in messages only. Errors: ErrNotFound, ErrInvalid, ErrUnsupported (LAY-1).
func OpenLayout(dir string, ref Reference) (*Dir, error) {
	return OpenLayoutLimits(dir, ref, Limits{})
}

// OpenLayoutLimits is OpenLayout with other limits.
func OpenLayoutLimits(dir string, ref Reference, limits Limits) (*Dir, error) {
	if ref.Path == "" {
		ref.Path = dir
	}
	s, err := newFileStore(dirFiles(dir), ref, limits)
	if err != nil {
		return nil, err
	}
	return &Dir{fileStore: s, dir: dir}, nil
}

// dirFiles are the Files of a directory.
type dirFiles string

// open opens a regular file: no link, no device, and without waiting for a FIFO (LAY-12).
func (d dirFiles) open(name string) (*os.File, os.FileInfo, error) {
	path := filepath.Join(string(d), filepath.FromSlash(name))
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	switch {
	case errors.Is(err, iofs.ErrNotExist):
		return nil, nil, fmt.Errorf("%s: %w", name, ErrNotFound)
	case errors.Is(err, unix.ELOOP):
		return nil, nil, fmt.Errorf("%s is a symbolic link, not a regular file: %w", name, ErrInvalid)
	case errors.Is(err, unix.ENXIO):
		return nil, nil, fmt.Errorf("%s is not a regular file: %w", name, ErrInvalid)
	case err != nil:
		return nil, nil, err
	}
	fi, err := f.Stat()
	if err == nil && !fi.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file: %w", name, ErrInvalid)
	}
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return f, fi, nil
}

func (d dirFiles) ReadFile(name string, limit int64) ([]byte, error) {
	f, fi, err := d.open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if fi.Size() > limit {
		return nil, tooLarge(name, fi.Size(), limit)
	}
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = tooLarge(name, int64(len(b)), limit)
	}
	return b, err
}

func (d dirFiles) OpenBlob(name string, desc ocispec.Descriptor) (Blob, error) {
	f, fi, err := d.open(name)
	if err != nil {
		return nil, err
	}
	if fi.Size() != desc.Size {
		err := &DigestError{Want: desc.Digest, WantSize: desc.Size, GotSize: fi.Size()}
		return nil, errors.Join(err, f.Close())
	}
	return NewFileBlob(f, 0, desc.Size, desc.Digest, true)
}

func (d dirFiles) Close() error { return nil }
