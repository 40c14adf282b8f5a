package cache

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"os"
	"sync/atomic"
	"time"
	"unsafe"
)

// UnitBytes is the length of the piece of an object that one bit stands for: a chunk
// is at most this long, and no two chunks of an object start in the same unit.
const UnitBytes = 64 << 10

// The map file, in the machine's byte order (the cache is not carried elsewhere):
//
//	 0  8  magic "shalemap"
//	 8  4  version, 1
//	12  4  UnitBytes
//	16  8  size of the object
//	24  8  last use, seconds since 1970
//	32 16  boot in which the whole object was hashed
//	48  4  sealed: 1 if it was and nothing was taken away since
//	52  4  losses: grows whenever bits are cleared
//	56  8  zero
//	64     presence bits, in words of 8 bytes
//	       reference bits, as many: set by reads, cleared by the evictor
const (
	mapMagic  = "shalemap"
	mapHeader = 64
)

// maxSize bounds an object: 2^46 bytes make a map of 256 MiB.
const maxSize = 1 << 46

func unitsOf(size int64) int64 { return (size + UnitBytes - 1) / UnitBytes }
func wordsOf(size int64) int   { return int((unitsOf(size) + 63) / 64) }
func mapBytes(size int64) int  { return mapHeader + 16*wordsOf(size) }

// newMap is the content of a map file for an empty object, or a complete one.
func newMap(size int64, complete bool, boot [16]byte) []byte {
	b := make([]byte, mapBytes(size))
	copy(b, mapMagic)
	binary.NativeEndian.PutUint32(b[8:], 1)
	binary.NativeEndian.PutUint32(b[12:], UnitBytes)
	binary.NativeEndian.PutUint64(b[16:], uint64(size))
	binary.NativeEndian.PutUint64(b[24:], uint64(time.Now().Unix()))
	if complete {
		copy(b[32:48], boot[:])
		binary.NativeEndian.PutUint32(b[48:], 1)
		m := bitmap{b: b, size: size}
		for u := range unitsOf(size) {
			m.set(u)
		}
	}
	return b
}

var errBadMap = errors.New("not a map of this object")

// checkMap says whether b begins like a map file of an object of that size.
func checkMap(b []byte, size int64) error {
	if len(b) < mapHeader || string(b[:8]) != mapMagic || binary.NativeEndian.Uint32(b[8:]) != 1 ||
		binary.NativeEndian.Uint32(b[12:]) != UnitBytes || binary.NativeEndian.Uint64(b[16:]) != uint64(size) {
		return errBadMap
	}
	return nil
}

// A bitmap is a map file in memory, shared with other processes when it is mapped.
type bitmap struct {
	b    []byte
	size int64
}

func (m bitmap) word64(off int) *uint64 { return (*uint64)(unsafe.Pointer(&m.b[off])) }
func (m bitmap) word32(off int) *uint32 { return (*uint32)(unsafe.Pointer(&m.b[off])) }

func (m bitmap) bit(u int64) (*uint64, uint64) {
	return m.word64(mapHeader + 8*int(u/64)), 1 << (u % 64)
}

func (m bitmap) ref(u int64) (*uint64, uint64) {
	return m.word64(mapHeader + 8*wordsOf(m.size) + 8*int(u/64)), 1 << (u % 64)
}

func (m bitmap) has(u int64) bool {
	w, bit := m.bit(u)
	return atomic.LoadUint64(w)&bit != 0
}

// set and clear report whether the bit changed.
func (m bitmap) set(u int64) bool {
	w, bit := m.bit(u)
	return atomic.OrUint64(w, bit)&bit == 0
}

func (m bitmap) clear(u int64) bool {
	w, bit := m.bit(u)
	return atomic.AndUint64(w, ^bit)&bit != 0
}

// touch notes that a unit was read: an instant of it for the object, a bit for the unit.
func (m bitmap) touch(u int64, now int64) {
	if w, bit := m.ref(u); atomic.LoadUint64(w)&bit == 0 {
		atomic.OrUint64(w, bit)
	}
	if w := m.word64(24); atomic.LoadUint64(w) != uint64(now) {
		atomic.StoreUint64(w, uint64(now))
	}
}

// unref clears a unit's reference bit and reports whether it was set.
func (m bitmap) unref(u int64) bool {
	w, bit := m.ref(u)
	return atomic.AndUint64(w, ^bit)&bit != 0
}

// count is the number of presence bits that are set.
func (m bitmap) count() int64 {
	n := 0
	for i := range wordsOf(m.size) {
		n += bits.OnesCount64(atomic.LoadUint64(m.word64(mapHeader + 8*i)))
	}
	return int64(n)
}

// present is the number of bytes that count against the cache's limit.
func (m bitmap) present() int64 {
	n := m.count() * UnitBytes
	if u := unitsOf(m.size); u > 0 && m.has(u-1) {
		n -= u*UnitBytes - m.size
	}
	return n
}

func (m bitmap) unitLen(u int64) int64 { return min(UnitBytes, m.size-u*UnitBytes) }

func (m bitmap) lastUse() int64 { return int64(atomic.LoadUint64(m.word64(24))) }

func (m bitmap) sealed(boot [16]byte) bool {
	return atomic.LoadUint32(m.word32(48)) == 1 && bytes.Equal(m.b[32:48], boot[:])
}

func (m bitmap) seal(boot [16]byte) {
	atomic.StoreUint32(m.word32(48), 0)
	copy(m.b[32:48], boot[:])
	atomic.StoreUint32(m.word32(48), 1)
}

// lose is called before bits are cleared, and once more before blocks are punched out:
// who reads while nothing was lost reads what the bits promise.
func (m bitmap) lose() {
	atomic.AddUint32(m.word32(52), 1)
	atomic.StoreUint32(m.word32(48), 0)
}

func (m bitmap) losses() uint32 { return atomic.LoadUint32(m.word32(52)) }

// openMap opens and maps the map file of an object of that size.
// Errors: os.ErrNotExist, errBadMap, what the disk says.
func (d disk) openMap(path string, size int64) (*os.File, bitmap, error) {
	f, err := d.open(path, os.O_RDWR)
	if err != nil {
		return nil, bitmap{}, err
	}
	m, err := d.mapFile(f, size)
	if err != nil {
		_ = f.Close()
		return nil, bitmap{}, fmt.Errorf("%s: %w", path, err)
	}
	return f, m, nil
}

func (d disk) mapFile(f *os.File, size int64) (bitmap, error) {
	st, err := f.Stat()
	if err != nil {
		return bitmap{}, err
	}
	if st.Size() != int64(mapBytes(size)) {
		return bitmap{}, errBadMap
	}
	b, err := d.mmap(f, mapBytes(size))
	if err != nil {
		return bitmap{}, err
	}
	if err := checkMap(b, size); err != nil {
		return bitmap{}, errors.Join(err, munmap(b))
	}
	return bitmap{b, size}, nil
}
