package cache

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/zeebo/blake3"
	"golang.org/x/sys/unix"
)

// A File is the file of a sealed object, for readers who cannot check what they read.
// As long as it is open, nothing in it changes and nothing is evicted from it.
type File struct {
	*os.File
	o *Object
}

// File hands out the file of an object that is sealed. Seal makes it so.
// The object must stay open as long as the file.
// Errors: ErrMissing if it is not sealed.
func (o *Object) File() (*File, error) {
	if !o.m.sealed(o.c.boot) {
		return nil, ErrMissing
	}
	if err := o.hold(); err != nil {
		return nil, err
	}
	if !o.m.sealed(o.c.boot) || !o.Complete() {
		o.drop()
		return nil, ErrMissing
	}
	f, err := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", o.data.Fd()), os.O_RDONLY, 0)
	if err != nil {
		o.drop()
		return nil, err
	}
	return &File{f, o}, nil
}

// Close gives the file back.
func (f *File) Close() error {
	err := f.File.Close()
	f.o.drop()
	return err
}

// Sealed says whether File would hand out the object's file.
func (o *Object) Sealed() bool { return o.m.sealed(o.c.boot) }

// Seal hashes an object of kind "file" that is complete and, if its digest is its name,
// seals it for this boot. One that is sealed already costs nothing.
// Errors: ErrMissing if it is not complete, or lost something meanwhile; ErrDamaged,
// after which all of it is dropped; ctx.Err(); what the disk says.
func (o *Object) Seal(ctx context.Context) error {
	if o.id.key.Kind != "file" {
		return ErrMissing
	}
	if o.m.sealed(o.c.boot) {
		return nil
	}
	losses := o.m.losses()
	if !o.Complete() {
		return ErrMissing
	}
	err := o.hash(ctx)
	if errors.Is(err, ErrDamaged) {
		return errors.Join(err, o.clearAll(losses))
	}
	if err != nil {
		return err
	}
	release, err := o.alone(0)
	if err != nil {
		return err
	}
	defer release()
	if o.m.losses() != losses || !o.Complete() {
		return ErrMissing
	}
	if err := o.c.disk.step("seal", o.mapf.Name()); err != nil {
		return err
	}
	o.m.seal(o.c.boot)
	return nil
}

// hash compares the object's content with its name.
func (o *Object) hash(ctx context.Context) error {
	h := blake3.New()
	buf := make([]byte, 4*UnitBytes)
	for off := int64(0); off < o.id.size; {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := min(int64(len(buf)), o.id.size-off)
		err := o.c.disk.readAt(o.data, buf[:n], off)
		if errors.Is(err, io.EOF) {
			return fmt.Errorf("file %s ends before %d: %w", o.id.key.Name, off+n, ErrDamaged)
		}
		if err != nil {
			return err
		}
		_, _ = h.Write(buf[:n])
		off += n
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != o.id.key.Name {
		return fmt.Errorf("file %s has blake3 %s: %w", o.id.key.Name, got, ErrDamaged)
	}
	return nil
}

// clearAll forgets everything in the object, unless it changed since losses was read.
// Errors: unix.EWOULDBLOCK if the file is handed out.
func (o *Object) clearAll(losses uint32) error {
	release, err := o.alone(unix.LOCK_NB)
	if err != nil {
		return err
	}
	defer release()
	if o.m.losses() != losses {
		return nil
	}
	o.m.lose()
	for u := range unitsOf(o.id.size) {
		if o.m.clear(u) {
			o.c.add(-o.m.unitLen(u))
		}
	}
	return nil
}

// alone takes the data file's lock for the caller alone: nobody writes, nobody has the
// file. how is 0 or unix.LOCK_NB.
func (o *Object) alone(how int) (release func(), err error) {
	f, err := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", o.data.Fd()), os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	if err := o.c.disk.flock(f, unix.LOCK_EX|how); err != nil {
		_ = f.Close()
		return nil, err
	}
	return func() { _ = f.Close() }, nil
}
