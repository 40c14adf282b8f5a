package ztoc

import (
	"encoding/binary"
)

// A fbValue writes a value of a field: it puts its 4 or 8 bytes into the table's slot, and
// what it refers to behind the table.
type fbValue interface{ isValue() }

type (
	fbString string
	fbBytes  []byte
	fbLong   int64
	fbInt    int32
	fbByte   byte
	fbTable  map[int]fbValue // by field number
	fbList   []fbValue       // of strings or tables
)

func (fbString) isValue() {}
func (fbBytes) isValue()  {}
func (fbLong) isValue()   {}
func (fbInt) isValue()    {}
func (fbByte) isValue()   {}
func (fbTable) isValue()  {}
func (fbList) isValue()   {}

// flatBuffer writes a buffer with the root table, simply: each table after its vtable, what it
// refers to after it, each field in 8 bytes.
func flatBuffer(root fbTable) []byte {
	b := make([]byte, 4)
	at := fbAppend(&b, root)
	binary.LittleEndian.PutUint32(b, uint32(at))
	return b
}

// fbAppend writes a value that is referred to, and returns its place.
func fbAppend(b *[]byte, v fbValue) int {
	le := binary.LittleEndian
	switch v := v.(type) {
	case fbString:
		return fbAppend(b, fbBytes(v))
	case fbBytes:
		at := len(*b)
		*b = le.AppendUint32(*b, uint32(len(v)))
		*b = append(*b, v...)
		return at
	case fbList:
		at := len(*b)
		*b = le.AppendUint32(*b, uint32(len(v)))
		*b = append(*b, make([]byte, 4*len(v))...)
		for i, x := range v {
			slot := at + 4 + 4*i
			to := fbAppend(b, x) // may move the buffer
			le.PutUint32((*b)[slot:], uint32(to-slot))
		}
		return at
	case fbTable:
		fields := 0
		for i := range v {
			fields = max(fields, i+1)
		}
		vtable := len(*b)
		*b = le.AppendUint16(*b, uint16(4+2*fields))
		*b = le.AppendUint16(*b, uint16(4+8*fields))
		for i := range fields {
			off := 0
			if v[i] != nil {
				off = 4 + 8*i
			}
			*b = le.AppendUint16(*b, uint16(off))
		}
		at := len(*b)
		*b = le.AppendUint32(*b, uint32(at-vtable))
		*b = append(*b, make([]byte, 8*fields)...)
		for i := range fields {
			slot := at + 4 + 8*i
			switch x := v[i].(type) {
			case nil:
			case fbLong:
				le.PutUint64((*b)[slot:], uint64(x))
			case fbInt:
				le.PutUint32((*b)[slot:], uint32(x))
			case fbByte:
				(*b)[slot] = byte(x)
			default:
				to := fbAppend(b, x) // may move the buffer
				le.PutUint32((*b)[slot:], uint32(to-slot))
			}
		}
		return at
	}
	panic("value cannot be referred to")
}

// point writes a checkpoint.
func point(in, out int64, bits byte, window byte) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(in))
	b = binary.LittleEndian.AppendUint64(b, uint64(out))
	b = append(b, bits)
	for range windowBytes {
		b = append(b, window)
	}
	return b
}

// points writes the checkpoints of a layer: count as stated, then those given.
func points(count int, ps ...[]byte) fbBytes {
	b := binary.LittleEndian.AppendUint32(nil, uint32(count))
	b = binary.LittleEndian.AppendUint64(b, 4<<20)
	for _, p := range ps {
		b = append(b, p...)
	}
	return b
}
