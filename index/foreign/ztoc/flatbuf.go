package ztoc

import (
	"encoding/binary"

	"github.com/shalefs/shalefs/index/foreign"
)

// A buffer reads a FlatBuffer: little-endian, all references relative.
//
//	table:  i32 distance back to its vtable, then the fields' values
//	vtable: u16 its length, u16 the table's length, u16 per field: the value's place in the table, 0 if absent
//	string, vector: u32 number of elements, then these; referred to by u32 distance forward
//
// Offsets in hostile buffers may point anywhere and many at one place, so every read is checked,
// the first error is kept and reads after it give zeros, and the bytes that are given out are
// counted against a budget.
type buffer struct {
	b      []byte
	err    error
	budget int64 // bytes of strings and elements of vectors that may still be given out
}

// A table is the place of a table in its buffer; 0 is none.
type table int64

func (f *buffer) fail() {
	if f.err == nil {
		f.err = foreign.Invalidf("FlatBuffer")
	}
}

// at returns n bytes at the offset.
func (f *buffer) at(off int64, n int64) []byte {
	if f.err != nil || off < 0 || n < 0 || off > int64(len(f.b))-n {
		f.fail()
		return nil
	}
	return f.b[off : off+n]
}

func (f *buffer) u16(off int64) int64 {
	if b := f.at(off, 2); b != nil {
		return int64(binary.LittleEndian.Uint16(b))
	}
	return 0
}

func (f *buffer) u32(off int64) int64 {
	if b := f.at(off, 4); b != nil {
		return int64(binary.LittleEndian.Uint32(b))
	}
	return 0
}

func (f *buffer) root() table { return table(f.u32(0)) }

// field returns the place of a table's value, or 0 if it is absent.
func (f *buffer) field(t table, i int64) int64 {
	if t == 0 || f.err != nil {
		return 0
	}
	vtable := int64(t) - int64(int32(f.u32(int64(t))))
	if 4+2*i+2 > f.u16(vtable) {
		return 0
	}
	off := f.u16(vtable + 4 + 2*i)
	if off == 0 {
		return 0
	}
	return int64(t) + off
}

func (f *buffer) int64(t table, i int64) int64 {
	off := f.field(t, i)
	if off == 0 {
		return 0
	}
	if b := f.at(off, 8); b != nil {
		return int64(binary.LittleEndian.Uint64(b))
	}
	return 0
}

func (f *buffer) int32(t table, i int64) int64 {
	if off := f.field(t, i); off != 0 {
		return f.u32(off)
	}
	return 0
}

// byteOr returns a byte, or def if it is absent.
func (f *buffer) byteOr(t table, i int64, def byte) byte {
	off := f.field(t, i)
	if off == 0 {
		return def
	}
	if b := f.at(off, 1); b != nil {
		return b[0]
	}
	return def
}

// table returns the table that a field refers to.
func (f *buffer) table(t table, i int64) table {
	off := f.field(t, i)
	if off == 0 {
		return 0
	}
	return table(off + f.u32(off))
}

// vector returns place and number of a vector's elements of size bytes.
func (f *buffer) vector(t table, i int64, size int64) (off, n int64) {
	ref := f.field(t, i)
	if ref == 0 {
		return 0, 0
	}
	off = ref + f.u32(ref)
	n = f.u32(off)
	f.at(off+4, n*size)
	if f.budget -= n * size; f.budget < 0 {
		f.fail()
	}
	if f.err != nil {
		return 0, 0
	}
	return off + 4, n
}

// element returns the place that element k of a vector of references refers to.
func (f *buffer) element(off, k int64) int64 {
	at := off + 4*k
	return at + f.u32(at)
}

func (f *buffer) string(t table, i int64) string {
	off, n := f.vector(t, i, 1)
	return string(f.at(off, n))
}

// text returns the string at a place.
func (f *buffer) text(off int64) string {
	n := f.u32(off)
	if f.budget -= n; f.budget < 0 {
		f.fail()
	}
	return string(f.at(off+4, n))
}
