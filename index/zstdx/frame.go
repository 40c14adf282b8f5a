package zstdx

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/shalefs/shalefs/index/codec"
)

const (
	frameMagic     = 0xFD2FB528
	skippableMagic = 0x184D2A50 // the low four bits are free
)

// A frame is what a frame header says (RFC 8878, 3.1.1.1).
type frame struct {
	window   int64 // bytes
	size     int64 // content size in bytes, or -1
	checksum bool
}

// blockMax is the largest block of the frame, in decoded bytes.
func (f frame) blockMax() int { return int(min(f.window, maxBlock)) }

// nextFrame skips skippable frames and reads the header of the next frame.
// start is the offset of its magic number. At the end of the stream it is io.EOF.
func nextFrame(in *input, maxWindow int64) (f frame, start int64, err error) {
	for {
		start = in.pos
		b, err := in.bytes(4)
		if err != nil {
			return f, start, err
		}
		magic := binary.LittleEndian.Uint32(b)
		if magic == frameMagic {
			f, err = frameHeader(in, maxWindow)
			return f, start, noEOF(err)
		}
		if magic&^15 != skippableMagic {
			return f, start, errMagic
		}
		if b, err = in.bytes(4); err != nil {
			return f, start, noEOF(err)
		}
		if err := in.skip(int64(binary.LittleEndian.Uint32(b))); err != nil {
			return f, start, noEOF(err)
		}
	}
}

// frameHeader reads what follows the magic number.
func frameHeader(in *input, maxWindow int64) (frame, error) {
	b, err := in.bytes(1)
	if err != nil {
		return frame{}, err
	}
	d := b[0]
	single := d&0x20 != 0
	f := frame{size: -1, checksum: d&4 != 0}
	if d&8 != 0 {
		return f, errReserved
	}
	if !single {
		if b, err = in.bytes(1); err != nil {
			return f, err
		}
		base := int64(1) << (10 + b[0]>>3)
		f.window = base + base/8*int64(b[0]&7)
	}
	if n := [4]int{0, 1, 2, 4}[d&3]; n > 0 {
		if b, err = in.bytes(n); err != nil {
			return f, err
		}
		if little(b) != 0 {
			return f, errDictionary
		}
	}
	n := [4]int{0, 2, 4, 8}[d>>6]
	if n == 0 && single {
		n = 1
	}
	if n > 0 {
		if b, err = in.bytes(n); err != nil {
			return f, err
		}
		v := little(b)
		if n == 2 {
			v += 256
		}
		if v >= 1<<62 {
			return f, fmt.Errorf("content of %d bytes: %w", v, codec.ErrTooLarge)
		}
		f.size = int64(v)
	}
	if single {
		f.window = f.size
	}
	if f.window > maxWindow {
		return f, fmt.Errorf("window of %d bytes, limit %d: %w", f.window, maxWindow, codec.ErrTooLarge)
	}
	return f, nil
}

// little reads a little-endian number of up to 8 bytes.
func little(b []byte) uint64 {
	var v uint64
	for i := len(b) - 1; i >= 0; i-- {
		v = v<<8 | uint64(b[i])
	}
	return v
}

// noEOF turns an end of the stream into an unexpected one.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// The block types (RFC 8878, 3.1.1.2.2).
const (
	blockRaw = iota
	blockRLE
	blockCompressed
	blockReserved
)

// A blockHeader is the three bytes before each block.
type blockHeader struct {
	last bool
	kind uint8
	size int // of the content: decoded bytes of blockRLE, stored bytes of the others
}

func parseBlockHeader(b []byte) blockHeader {
	v := little(b[:3])
	return blockHeader{last: v&1 != 0, kind: uint8(v >> 1 & 3), size: int(v >> 3)}
}

// stored is the number of bytes in the stream after the header.
func (h blockHeader) stored() int {
	if h.kind == blockRLE {
		return 1
	}
	return h.size
}

// check refuses a block that the frame does not allow, before it is read.
func (h blockHeader) check(blockMax int) error {
	if h.kind == blockReserved {
		return errReserved
	}
	if h.size > blockMax {
		return errBlockSize
	}
	return nil
}
