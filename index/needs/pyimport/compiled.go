package pyimport

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// headSize is the size of what stands before the code in a .pyc file: magic number, flags, and two
// words about the source (PEP 552).
const headSize = 16

// IsCompiled says whether a file that begins with p may be a compiled module.
func IsCompiled(p []byte) bool {
	return len(p) >= headSize && p[2] == '\r' && p[3] == '\n' && dialectOf(p) != nil
}

// A dialect is what differs between versions of Python.
type dialect struct {
	from, to uint16 // magic numbers
	numbers  int    // how many 32-bit numbers a code object begins with

	extended, constant, small, load byte // EXTENDED_ARG, LOAD_CONST, LOAD_SMALL_INT (0 for none), IMPORT_NAME
}

// dialects are the versions from 3.8 to 3.14, with the magic numbers that were used while
// each was made (Include/internal/pycore_magic_number.h of CPython); for 3.13 and
// later, which numbered their instructions anew, only that of the release.
var dialects = []dialect{
	{3413, 3439, 6, 144, 100, 0, 108}, // 3.8 to 3.10
	{3495, 3531, 5, 144, 100, 0, 108}, // 3.11, 3.12
	{3571, 3571, 5, 71, 83, 0, 75},    // 3.13
	{3627, 3627, 5, 69, 82, 94, 73},   // 3.14
}

func dialectOf(p []byte) *dialect {
	magic := binary.LittleEndian.Uint16(p)
	for i := range dialects {
		if d := &dialects[i]; d.from <= magic && magic <= d.to {
			return d
		}
	}
	return nil
}

// Compiled returns what a compiled module imports, in the order of its code. b is the whole
// file. Errors: ErrFormat.
func Compiled(b []byte) ([]Import, error) {
	if !IsCompiled(b) || len(b) > MaxSize {
		return nil, ErrFormat
	}
	m := &unmarshaller{d: dialectOf(b), b: b[headSize:], refs: make([]value, 0, len(b)/64)}
	m.value(0)
	if m.bad || m.module == nil {
		return nil, fmt.Errorf("%w: wrong at byte %d", ErrFormat, len(b)-len(m.b))
	}
	return m.module.imports(m.d), nil
}

// code is as much of the module's code object as is needed.
type code struct {
	text          []byte
	consts, names []value
}

// imports finds the instructions that import. Before each of them two constants are loaded: the
// level and the names that are wanted from the module.
func (c *code) imports(d *dialect) []Import {
	var out list
	var level, from value // the two loaded last
	arg := 0
	for p := c.text; len(p) >= 2; p = p[2:] {
		op := p[0]
		arg = arg<<8 | int(p[1])
		switch {
		case op == d.extended:
			arg &= 1<<24 - 1
			continue
		case op == d.constant:
			level, from = from, at(c.consts, arg)
		case op == d.small && d.small != 0:
			level, from = from, value{kind: number, n: int64(arg)}
		case op == d.load:
			if n := at(c.names, arg); n.kind == text && level.kind == number && level.n >= 0 && level.n < maxDepth {
				size := len(n.s)
				for _, name := range from.items[:min(len(from.items), MaxNames)] {
					size += len(name.s)
				}
				if !out.fits(1+len(from.items), size) {
					return out.imports
				}
				i := Import{Level: int(level.n), Name: string(n.s)}
				for _, name := range from.items {
					if name.kind == text {
						i.From = append(i.From, string(name.s))
					}
				}
				out.imports = append(out.imports, i)
			}
		}
		arg = 0
	}
	return out.imports
}

func at(vs []value, i int) value {
	if i < len(vs) {
		return vs[i]
	}
	return value{}
}

// The kinds of values that are of interest here.
const (
	other = iota
	text
	number
	tuple
)

// A value is an object of the marshal format, as far as it is of interest here.
type value struct {
	kind  int
	s     []byte // of a text, or a string of bytes
	n     int64
	items []value
}

// An unmarshaller reads the marshal format (Python/marshal.c of CPython), whose objects can refer to
// earlier ones by number.
type unmarshaller struct {
	d      *dialect
	b      []byte
	refs   []value
	count  int   // objects so far
	module *code // the outermost code object
	bad    bool
}

// The bounds of a module.
const (
	maxDepth  = 200     // how deep objects may lie in each other
	maxValues = 1 << 17 // how many there may be
)

// take returns the next n bytes.
func (m *unmarshaller) take(n int64) []byte {
	if n < 0 || n > int64(len(m.b)) {
		m.bad = true
		return nil
	}
	p := m.b[:n]
	m.b = m.b[n:]
	return p
}

func (m *unmarshaller) byte() int64 {
	if p := m.take(1); p != nil {
		return int64(p[0])
	}
	return 0
}

func (m *unmarshaller) long() int64 {
	if p := m.take(4); p != nil {
		return int64(int32(binary.LittleEndian.Uint32(p)))
	}
	return 0
}

// value reads one object at this depth.
func (m *unmarshaller) value(depth int) value {
	kind := m.byte()
	if m.count++; m.bad || depth > maxDepth || m.count > maxValues {
		m.bad = true
		return value{}
	}
	ref := -1
	if kind&0x80 != 0 {
		ref = len(m.refs)
		m.refs = append(m.refs, value{})
	}
	v := m.object(byte(kind&0x7f), depth)
	if ref >= 0 {
		m.refs[ref] = v
	}
	return v
}

func (m *unmarshaller) object(kind byte, depth int) value {
	switch kind {
	case 'N', 'F', 'T', 'S', '.', '0': // without content
		return value{}
	case 'i':
		return value{kind: number, n: m.long()}
	case 'I', 'g':
		m.take(8)
	case 'y':
		m.take(16)
	case 'f':
		m.take(m.byte())
	case 'x':
		m.take(m.byte())
		m.take(m.byte())
	case 'l':
		n := m.long()
		m.take(2 * max(n, -n))
	case 's', 't', 'u', 'a', 'A':
		return value{kind: text, s: m.take(m.long())}
	case 'z', 'Z':
		return value{kind: text, s: m.take(m.byte())}
	case 'r':
		if i := m.long(); i >= 0 && i < int64(len(m.refs)) {
			return m.refs[i]
		}
		m.bad = true
	case ')':
		return m.items(m.byte(), depth)
	case '(', '[', '<', '>':
		return m.items(m.long(), depth)
	case ':':
		return m.items(3, depth)
	case '{':
		for !m.bad && !bytes.HasPrefix(m.b, []byte("0")) {
			m.value(depth + 1)
			m.value(depth + 1)
		}
		m.take(1)
	case 'c':
		m.code(depth)
	default:
		m.bad = true
	}
	return value{}
}

func (m *unmarshaller) items(n int64, depth int) value {
	if n < 0 || n > int64(len(m.b)) { // each takes a byte at least
		m.bad = true
		return value{}
	}
	v := value{kind: tuple, items: make([]value, 0, min(n, 256))}
	for range n {
		if m.bad {
			break
		}
		v.items = append(v.items, m.value(depth+1))
	}
	return v
}

// code reads a code object: numbers, code, constants, names, then five objects that say how variables and the
// code itself are called, a number, and one or two tables.
func (m *unmarshaller) code(depth int) {
	m.take(4 * int64(m.d.numbers))
	c := &code{text: m.value(depth + 1).s, consts: m.value(depth + 1).items, names: m.value(depth + 1).items}
	if depth == 0 {
		m.module = c
		return // what follows is of no interest
	}
	for range 5 {
		m.value(depth + 1)
	}
	m.long()
	m.value(depth + 1)
	if m.d.numbers == 5 {
		m.value(depth + 1)
	}
}
