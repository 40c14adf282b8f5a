package cache

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// A Fault is called before each operation on the disk, with the operation's name and
// the file. An error takes the operation's place; with ErrShort a write is done by
// half and then fails. It is for tests.
type Fault func(op, path string) error

var (
	// ErrShort makes a write end in the middle when a Fault returns it.
	ErrShort = errors.New("injected short write")
	// ErrSkip makes a sync do nothing and succeed when a Fault returns it.
	ErrSkip = errors.New("injected skip")
)

// disk is the only place where the package touches the filesystem.
type disk struct{ fault Fault }

func (d disk) step(op, path string) error {
	if d.fault == nil {
		return nil
	}
	return d.fault(op, path)
}

func (d disk) open(path string, flag int) (*os.File, error) {
	if err := d.step("open", path); err != nil {
		return nil, err
	}
	return os.OpenFile(path, flag|unix.O_NOFOLLOW, 0o600)
}

func (d disk) mkdir(path string) error {
	if err := d.step("mkdir", path); err != nil {
		return err
	}
	return os.MkdirAll(path, 0o700)
}

func (d disk) readAt(f *os.File, p []byte, off int64) error {
	if err := d.step("read", f.Name()); err != nil {
		return err
	}
	_, err := f.ReadAt(p, off)
	return err
}

func (d disk) writeAt(f *os.File, p []byte, off int64) error {
	err := d.step("write", f.Name())
	if errors.Is(err, ErrShort) {
		_, werr := f.WriteAt(p[:len(p)/2], off)
		return errors.Join(io.ErrShortWrite, werr)
	}
	if err != nil {
		return err
	}
	_, err = f.WriteAt(p, off)
	return err
}

func (d disk) truncate(f *os.File, size int64) error {
	if err := d.step("truncate", f.Name()); err != nil {
		return err
	}
	return f.Truncate(size)
}

func (d disk) sync(f *os.File) error {
	if err := d.step("sync", f.Name()); err != nil {
		if errors.Is(err, ErrSkip) {
			return nil
		}
		return err
	}
	return f.Sync()
}

func (d disk) rename(from, to string) error {
	if err := d.step("rename", to); err != nil {
		return err
	}
	return os.Rename(from, to)
}

// remove deletes a file; one that is not there is no error.
func (d disk) remove(path string) error {
	if err := d.step("remove", path); err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

func (d disk) readDir(path string) ([]os.DirEntry, error) {
	if err := d.step("readdir", path); err != nil {
		return nil, err
	}
	l, err := os.ReadDir(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	return l, err
}

func (d disk) punch(f *os.File, off, n int64) error {
	if err := d.step("punch", f.Name()); err != nil {
		return err
	}
	return unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, off, n)
}

// mmap maps the first n bytes of f, shared and writable. The file must be that long
// and have blocks for all of it.
func (d disk) mmap(f *os.File, n int) ([]byte, error) {
	if err := d.step("mmap", f.Name()); err != nil {
		return nil, err
	}
	return unix.Mmap(int(f.Fd()), 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
}

// flock takes a lock (unix.LOCK_SH, LOCK_EX, with LOCK_NB or without).
func (d disk) flock(f *os.File, how int) error {
	if err := d.step("flock", f.Name()); err != nil {
		return err
	}
	return flock(f, how)
}

// flock is retried when a signal comes in between: the Go runtime sends many.
func flock(f *os.File, how int) error {
	for {
		err := unix.Flock(int(f.Fd()), how)
		if err != unix.EINTR {
			return err
		}
	}
}

// exclusive opens the file at path, which is made if it is not there, and takes it
// for itself alone; the function it returns gives it back.
func (d disk) exclusive(path string, how int) (release func(), err error) {
	f, err := d.open(path, os.O_RDWR|os.O_CREATE)
	if err != nil {
		return nil, err
	}
	if err := d.flock(f, unix.LOCK_EX|how); err != nil {
		_ = f.Close()
		return nil, err
	}
	return func() { _ = f.Close() }, nil
}
