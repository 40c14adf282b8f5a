package gzipx

import (
	"encoding/binary"
	"errors"
	"io"
)

// The state of a checkpoint, in bytes:
//
//	0      bits 0-2: kind; 3: the block is the member's last; 4-6: bit offset in the byte In
//	1...   uvarint: bytes of history before Out in the member, at most 32768 (not for atMember)
//	       inDyn: uvarint: number of bits of the code's description, then these, from bit 0 on
//	       inStored: uint16, little endian: bytes that are left of the block
//
// atTrailer is never written: a checkpoint is at a symbol, at a block's header
// (after an empty or a stored block) or at a member.

// maxHeaderBits is the longest description of a code: 14 bits, 19 lengths of 3
// and 316 symbols of 7 bits with up to 7 more.
const maxHeaderBits = 14 + 19*3 + (maxLit+maxDist)*14

var errState = errors.New("invalid checkpoint state")

// appendState appends the state at the present place.
func (d *inflater) appendState(b []byte) []byte {
	first := byte(d.kind) | byte(d.bitPos()&7)<<4
	if d.last && d.kind != atMember {
		first |= 1 << 3
	}
	b = append(b, first)
	if d.kind == atMember {
		return b
	}
	b = binary.AppendUvarint(b, uint64(min(d.op-d.hist, winBytes)))
	switch d.kind {
	case inDyn:
		b = binary.AppendUvarint(b, uint64(d.hdrN))
		b = append(b, d.hdr...)
	case inStored:
		b = binary.LittleEndian.AppendUint16(b, uint16(d.left))
	}
	return b
}

// loadState sets the decoder, which is reset and stands at the byte In, to a
// state. The window is the caller's to fill.
func (d *inflater) loadState(b []byte) error {
	if len(b) == 0 {
		return errState
	}
	first := b[0]
	d.kind = kind(first & 7)
	d.last = first>>3&1 != 0
	skip := uint(first >> 4)
	b = b[1:]
	if d.kind == atMember {
		if first != 0 || len(b) != 0 {
			return errState
		}
		d.hist = d.op
		return nil
	}
	hist, n := binary.Uvarint(b)
	if n <= 0 || hist > winBytes || skip > 7 {
		return errState
	}
	d.hist = d.op - int(hist)
	b = b[n:]
	switch d.kind {
	case inDyn:
		if err := d.loadCode(b); err != nil {
			return err
		}
	case inStored:
		if len(b) != 2 || skip != 0 {
			return errState
		}
		d.left = int(binary.LittleEndian.Uint16(b))
		if d.left == 0 {
			return errState
		}
	case atBlock, inFixed:
		if len(b) != 0 {
			return errState
		}
	default:
		return errState
	}
	if skip > 0 {
		if _, err := d.take(skip); err != nil {
			return err
		}
	}
	return nil
}

// loadCode makes the tables from a kept description of a code.
func (d *inflater) loadCode(b []byte) error {
	bits, n := binary.Uvarint(b)
	if n <= 0 || bits > maxHeaderBits || uint64(len(b)-n) != (bits+7)/8 {
		return errState
	}
	// The description is read as the stream it once was part of, by swapping the input.
	stream := d.input
	d.input = input{ctx: stream.ctx, buf: b[n:], end: len(b) - n, err: io.EOF, keep: -1}
	err := d.dynamicHeader()
	used := d.bitPos()
	d.input = stream
	if err != nil || used != int64(bits) {
		return errState
	}
	return nil
}
