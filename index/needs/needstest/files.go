// Package needstest makes files that need others, for tests.
package needstest

import (
	"encoding/binary"
	"strings"
)

// Where the parts of an Object are.
const (
	strs = 8 << 10
	// Writable is how many bytes before its end an object's writable segment begins, with its dynamic section.
	Writable = 56 << 10
	// Least is the size of the smallest object.
	Least = 128 << 10
)

// Object makes an ELF object of size bytes that needs libraries: a segment of tables, and a writable one at its end.
func Object(size int, interp, runPath string, needed ...string) []byte {
	dynamic := size - Writable
	b := make([]byte, size)
	le := binary.LittleEndian
	copy(b, "\x7fELF\x02\x01\x01")
	le.PutUint64(b[32:], 64)
	le.PutUint16(b[54:], 56)
	n := 0
	segment := func(kind, flags uint32, off, size int) {
		p := b[64+56*n:]
		le.PutUint32(p, kind)
		le.PutUint32(p[4:], flags)
		le.PutUint64(p[8:], uint64(off))
		le.PutUint64(p[16:], uint64(off))
		le.PutUint64(p[32:], uint64(size))
		n++
		le.PutUint16(b[56:], uint16(n))
	}
	segment(1, 4, 0, dynamic)
	segment(1, 6, dynamic, Writable)
	segment(2, 6, dynamic, 4096)
	if interp != "" {
		copy(b[4096:], interp)
		segment(3, 4, 4096, len(interp)+1)
	}
	at, next := 0, 1
	entry := func(tag, v int) {
		le.PutUint64(b[dynamic+at:], uint64(tag))
		le.PutUint64(b[dynamic+at+8:], uint64(v))
		at += 16
	}
	str := func(s string) int {
		copy(b[strs+next:], s)
		next += len(s) + 1
		return next - len(s) - 1
	}
	for _, s := range needed {
		entry(1, str(s))
	}
	if runPath != "" {
		entry(29, str(runPath))
	}
	entry(5, strs)
	entry(10, next)
	return b
}

// Compiled makes a compiled module of Python 3.11 that imports names: absolute ones, or with dots before them.
func Compiled(names ...string) []byte {
	long := func(n int) []byte { return binary.LittleEndian.AppendUint32(nil, uint32(n)) }
	str := func(s string) []byte { return append([]byte{'z', byte(len(s))}, s...) }
	var text, consts, list []byte
	for i, n := range names {
		bare := strings.TrimLeft(n, ".")
		consts = append(append(append(consts, 'i'), long(len(n)-len(bare))...), 'N')
		list = append(list, str(bare)...)
		text = append(text, 100, byte(2*i), 100, byte(2*i+1), 108, byte(i)) // LOAD_CONST, LOAD_CONST, IMPORT_NAME
	}
	b := append([]byte{0xa7, 0x0d, '\r', '\n'}, make([]byte, 12)...)
	b = append(append(b, 'c'), make([]byte, 20)...)
	b = append(append(append(b, 's'), long(len(text))...), text...)
	b = append(append(append(b, '('), long(2*len(names))...), consts...)
	return append(append(append(b, '('), long(len(names))...), list...)
}
