package dynlink

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
)

// The bounds of what an Object has.
const (
	MaxNeeded  = 256
	MaxName    = 1024 // bytes of a library's name, or of all directories together
	MaxRunPath = MaxName / 2
	MaxReads   = maxSegments + 1
)

// The bounds of what is read of a file.
const (
	maxSegments = 128
	maxDynamic  = 4096     // entries of the dynamic section
	maxTables   = 32 << 20 // bytes from the start of the file that are taken for tables

	// What runs before the program does: what initializes the object is at the beginning of its code, and the
	// constants of that at the beginning of theirs. The kernel reads around what it is asked for.
	codeStart = 448 << 10
	around    = 128 << 10
)

// ErrFormat is the error for a file that is no ELF object, or a broken one.
var ErrFormat = errors.New("no ELF object")

// An Object is what Read finds.
type Object struct {
	Interp  string   // path of the interpreter, or empty
	Needed  []string // names of the libraries, in the order in which they are opened
	RunPath []string // directories to look for them first; $ORIGIN stands as it is
	Reads   []Range  // parts of the file that relocating and initializing it reads
}

// A Range is the bytes [Off, End) of a file.
type Range struct{ Off, End int64 }

// IsObject says whether a file that begins with p may be an ELF object.
func IsObject(p []byte) bool { return len(p) >= identSize && bytes.HasPrefix(p, []byte("\x7fELF")) }

// Sizes and places of the structures (System V ABI, chapters 4 and 5), by class.
const (
	identSize = 16
	headSize  = 64 // of the larger class

	segLoad, segDynamic, segInterp = 1, 2, 3
	flagExec, flagWrite            = 1, 2

	tagNull, tagNeeded, tagPLTRelSize, tagStrTab = 0, 1, 2, 5
	tagRela, tagRelaSize, tagStrSize             = 7, 8, 10
	tagRPath, tagRel, tagRelSize, tagJmpRel      = 15, 17, 18, 23
	tagRunPath                                   = 29
	numTags                                      = 32
)

type segment struct {
	kind, flags       uint32
	off, addr, stored uint64
}

type reader struct {
	r    io.ReaderAt
	size int64
	le   binary.ByteOrder
	wide bool
}

// Read reads an object of size bytes. Errors: ErrFormat; those of r.
func Read(r io.ReaderAt, size int64) (*Object, error) {
	e := &reader{r: r, size: size}
	segments, err := e.segments()
	if err != nil {
		return nil, err
	}
	o := &Object{}
	var tables int64
	for _, s := range segments {
		switch s.kind {
		case segInterp:
			b, err := e.bytes(s.off, min(s.stored, MaxName))
			if err != nil {
				return nil, err
			}
			o.Interp, _, _ = strings.Cut(string(b), "\x00")
		case segDynamic:
			if tables, err = e.dynamic(o, s, segments); err != nil {
				return nil, err
			}
		}
	}
	if tables > 0 && tables <= maxTables {
		o.Reads = append(o.Reads, Range{0, min(tables+codeStart, size)})
	}
	for _, s := range segments {
		if s.kind != segLoad || s.stored == 0 || s.off >= uint64(size) {
			continue
		}
		off := int64(s.off)
		switch {
		case s.flags&flagWrite != 0:
			o.Reads = append(o.Reads, Range{off, int64(min(s.stored, uint64(size)-s.off)) + off})
		case s.flags&flagExec == 0 && off > tables:
			o.Reads = append(o.Reads, Range{max(off-around, 0), min(off+around, size)})
		}
	}
	return o, nil
}

// Dynamic returns where the dynamic section is of an object of size bytes that begins with head.
func Dynamic(head []byte, size int64) (r Range, ok bool) {
	e := &reader{r: bytes.NewReader(head), size: size}
	segments, err := e.segments()
	if err != nil {
		return Range{}, false
	}
	for _, s := range segments {
		if s.kind == segDynamic && s.off < uint64(size) {
			return Range{int64(s.off), int64(s.off + min(s.stored, uint64(size)-s.off))}, true
		}
	}
	return Range{}, false
}

// bytes reads n bytes, all of which must be there.
func (e *reader) bytes(off, n uint64) ([]byte, error) {
	if off > uint64(e.size) || n > uint64(e.size)-off {
		return nil, fmt.Errorf("%w: %d bytes at %d of %d", ErrFormat, n, off, e.size)
	}
	b := make([]byte, n)
	k, err := e.r.ReadAt(b, int64(off))
	if k == len(b) {
		err = nil
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return b, err
}

// word reads a number as wide as an address.
func (e *reader) word(b []byte) uint64 {
	if e.wide {
		return e.le.Uint64(b)
	}
	return uint64(e.le.Uint32(b))
}

// segments reads the program headers.
func (e *reader) segments() ([]segment, error) {
	h, err := e.bytes(0, min(headSize, uint64(e.size)))
	if err != nil {
		return nil, err
	}
	if !IsObject(h) || len(h) < 52 {
		return nil, ErrFormat
	}
	switch h[5] {
	case 1:
		e.le = binary.LittleEndian
	case 2:
		e.le = binary.BigEndian
	default:
		return nil, fmt.Errorf("%w: byte order %d", ErrFormat, h[5])
	}
	var at uint64
	var each, n int
	switch {
	case h[4] == 1:
		at, each, n = uint64(e.le.Uint32(h[28:])), int(e.le.Uint16(h[42:])), int(e.le.Uint16(h[44:]))
	case h[4] == 2 && len(h) == headSize:
		e.wide = true
		at, each, n = e.le.Uint64(h[32:]), int(e.le.Uint16(h[54:])), int(e.le.Uint16(h[56:]))
	default:
		return nil, fmt.Errorf("%w: class %d", ErrFormat, h[4])
	}
	least := 32
	if e.wide {
		least = 56
	}
	if n == 0 {
		return nil, nil
	}
	if n > maxSegments || each < least {
		return nil, fmt.Errorf("%w: %d segments of %d bytes", ErrFormat, n, each)
	}
	b, err := e.bytes(at, uint64(n*each))
	if err != nil {
		return nil, err
	}
	out := make([]segment, n)
	for i := range out {
		p := b[i*each:]
		if e.wide {
			out[i] = segment{e.le.Uint32(p), e.le.Uint32(p[4:]), e.le.Uint64(p[8:]), e.le.Uint64(p[16:]), e.le.Uint64(p[32:])}
		} else {
			out[i] = segment{e.le.Uint32(p), e.le.Uint32(p[24:]), uint64(e.le.Uint32(p[4:])), uint64(e.le.Uint32(p[8:])), uint64(e.le.Uint32(p[16:]))}
		}
	}
	return out, nil
}

// dynamic reads the dynamic section, and returns where the tables end that it names.
func (e *reader) dynamic(o *Object, s segment, segments []segment) (tables int64, err error) {
	each := uint64(8)
	if e.wide {
		each = 16
	}
	b, err := e.bytes(s.off, min(s.stored, maxDynamic*each)/each*each)
	if err != nil {
		return 0, err
	}
	var value [numTags]uint64
	var needed []uint64
	for ; len(b) > 0; b = b[each:] {
		tag, v := e.word(b), e.word(b[each/2:])
		if tag == tagNull {
			break
		}
		if tag == tagNeeded && len(needed) < MaxNeeded {
			needed = append(needed, v)
		} else if tag < numTags {
			value[tag] = v
		}
	}
	for _, t := range [][2]int{{tagStrTab, tagStrSize}, {tagRela, tagRelaSize}, {tagRel, tagRelSize}, {tagJmpRel, tagPLTRelSize}} {
		if off, ok := place(segments, value[t[0]]); ok && value[t[1]] < uint64(e.size) {
			tables = max(tables, min(int64(off+value[t[1]]), e.size))
		}
	}
	strs, ok := place(segments, value[tagStrTab])
	if !ok {
		return tables, nil
	}
	str := func(at uint64) (string, error) {
		if at >= value[tagStrSize] || at > uint64(e.size) {
			return "", fmt.Errorf("%w: string at %d of %d", ErrFormat, at, value[tagStrSize])
		}
		if strs+at >= uint64(e.size) {
			return "", fmt.Errorf("%w: string at %d", ErrFormat, strs+at)
		}
		b, err := e.bytes(strs+at, min(MaxName, uint64(e.size)-strs-at))
		if err != nil {
			return "", err
		}
		s, _, _ := strings.Cut(string(b), "\x00")
		return s, nil
	}
	for _, at := range needed {
		name, err := str(at)
		if err != nil {
			return 0, err
		}
		o.Needed = append(o.Needed, name)
	}
	dirs := value[tagRunPath]
	if dirs == 0 {
		dirs = value[tagRPath]
	}
	if dirs != 0 {
		list, err := str(dirs)
		if err != nil {
			return 0, err
		}
		for _, d := range strings.Split(list, ":") {
			if d != "" {
				o.RunPath = append(o.RunPath, d)
			}
		}
	}
	return tables, nil
}

// place is where in the file an address is; ok is false if it is nowhere.
func place(segments []segment, addr uint64) (off uint64, ok bool) {
	for _, s := range segments {
		if s.kind == segLoad && addr >= s.addr && addr-s.addr < s.stored {
			return addr - s.addr + s.off, s.off <= 1<<62 && s.stored <= 1<<62
		}
	}
	return 0, false
}
