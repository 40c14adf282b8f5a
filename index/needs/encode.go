package needs

import (
	"encoding/binary"
	"errors"

	"github.com/shalefs/shalefs/index/needs/dynlink"
	"github.com/shalefs/shalefs/index/needs/pyimport"
)

// The kinds of records.
const (
	kindObject = 1
	kindModule = 2
)

// MaxRecord bounds the record of one file, in bytes.
const MaxRecord = 320 << 10

// ErrRecord is the error for bytes that are no record.
var ErrRecord = errors.New("no record of what a file needs")

// Append appends the record of n to b: a byte for the kind, then numbers as uvarints and strings and
// lists behind their lengths.
func Append(b []byte, n *Needs) []byte {
	if o := n.Object; o != nil {
		b = appendString(append(b, kindObject), o.Interp)
		b = appendStrings(appendStrings(b, o.Needed), o.RunPath)
		b = binary.AppendUvarint(b, uint64(len(o.Reads)))
		for _, r := range o.Reads {
			b = binary.AppendUvarint(binary.AppendUvarint(b, uint64(r.Off)), uint64(r.End-r.Off))
		}
		return b
	}
	b = binary.AppendUvarint(append(b, kindModule), uint64(len(n.Imports)))
	for _, i := range n.Imports {
		b = appendString(binary.AppendUvarint(b, uint64(i.Level)), i.Name)
		b = appendStrings(b, i.From)
	}
	return b
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendStrings(b []byte, list []string) []byte {
	b = binary.AppendUvarint(b, uint64(len(list)))
	for _, s := range list {
		b = appendString(b, s)
	}
	return b
}

// Decode reads a record, which may have no more of anything than Of finds in a file. Errors: ErrRecord.
func Decode(b []byte) (*Needs, error) {
	if len(b) == 0 || len(b) > MaxRecord {
		return nil, ErrRecord
	}
	d := decoder{b: b[1:]}
	n := &Needs{}
	switch b[0] {
	case kindObject:
		n.Object = &dynlink.Object{Interp: d.string(dynlink.MaxName), Needed: d.strings(dynlink.MaxNeeded, dynlink.MaxName),
			RunPath: d.strings(dynlink.MaxRunPath, dynlink.MaxName)}
		for range d.count(2, dynlink.MaxReads) {
			off, size := d.number(), d.number()
			n.Object.Reads = append(n.Object.Reads, dynlink.Range{Off: off, End: off + size})
		}
	case kindModule:
		for range d.count(3, pyimport.MaxNames) {
			n.Imports = append(n.Imports, pyimport.Import{Level: int(min(d.number(), maxLevel)), Name: d.string(MaxRecord),
				From: d.strings(pyimport.MaxNames, MaxRecord)})
		}
	default:
		return nil, ErrRecord
	}
	if d.bad || len(d.b) > 0 {
		return nil, ErrRecord
	}
	return n, nil
}

const (
	maxNumber = 1 << 48 // offsets in files
	maxLevel  = 1 << 10
)

// A decoder reads a record; what it gives after an error is zero.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) number() int64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 || v > maxNumber {
		d.bad, d.b = true, nil
		return 0
	}
	d.b = d.b[n:]
	return int64(v)
}

// count reads how many items follow, at most so many, each of which has this many bytes at least.
func (d *decoder) count(least, most int) int {
	n := d.number()
	if n > int64(min(len(d.b)/least, most)) {
		d.bad, d.b = true, nil
		return 0
	}
	return int(n)
}

func (d *decoder) string(most int) string {
	n := d.count(1, most)
	s := string(d.b[:n])
	d.b = d.b[n:]
	return s
}

func (d *decoder) strings(most, length int) []string {
	var out []string
	for range d.count(1, most) {
		out = append(out, d.string(length))
	}
	return out
}
