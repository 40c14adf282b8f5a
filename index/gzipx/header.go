package gzipx

import (
	"errors"
	"hash/crc32"
	"io"
)

const name = "gzip"

// The flags of a member's header (RFC 1952, 2.3.1). The reserved ones are
// ignored, as the decoders do that layers meet elsewhere.
const (
	flagHeaderCRC = 1 << 1
	flagExtra     = 1 << 2
	flagName      = 1 << 3
	flagComment   = 1 << 4
)

// atEnd reports whether the stream is over: there are no more bytes, or they are not
// a member. It takes nothing. A beginning of the two magic bytes counts as a
// member, which is then cut.
func (in *input) atEnd() (bool, error) {
	if in.end == in.pos {
		if err := in.fill(); err != nil {
			if errors.Is(err, io.ErrUnexpectedEOF) && errors.Is(in.err, io.EOF) {
				return true, nil
			}
			return false, err
		}
	}
	if in.buf[in.pos] != 0x1f {
		return true, nil
	}
	if err := in.ensure(2); err != nil {
		return false, err
	}
	return in.buf[in.pos+1] != 0x8b, nil
}

// trailing reads the rest of the stream and counts it.
func (in *input) trailing() (int64, error) {
	var n int64
	for {
		n += int64(in.end - in.pos)
		in.pos = in.end
		if err := in.fill(); err != nil {
			if errors.Is(err, io.ErrUnexpectedEOF) && errors.Is(in.err, io.EOF) {
				return n, nil
			}
			return n, err
		}
	}
}

// header reads the header of a member.
func (in *input) header() error {
	if err := in.ensure(10); err != nil {
		return err
	}
	h := in.buf[in.pos : in.pos+10]
	if h[0] != 0x1f || h[1] != 0x8b {
		return in.brokenf("no gzip member here")
	}
	if h[2] != 8 {
		return in.brokenf("compression method %d", h[2])
	}
	flags := h[3]
	sum := crc32.ChecksumIEEE(h)
	in.pos += 10
	if flags&flagExtra != 0 {
		if err := in.ensure(2); err != nil {
			return err
		}
		sum = crc32.Update(sum, crc32.IEEETable, in.buf[in.pos:in.pos+2])
		n, err := in.u16()
		if err != nil {
			return err
		}
		for left := int(n); left > 0; {
			if err := in.ensure(1); err != nil {
				return err
			}
			m := min(left, in.end-in.pos)
			sum = crc32.Update(sum, crc32.IEEETable, in.buf[in.pos:in.pos+m])
			in.pos += m
			left -= m
		}
	}
	for _, f := range []byte{flagName, flagComment} {
		for more := flags&f != 0; more; {
			c, err := in.u8()
			if err != nil {
				return err
			}
			sum = crc32.Update(sum, crc32.IEEETable, in.buf[in.pos-1:in.pos])
			more = c != 0
		}
	}
	if flags&flagHeaderCRC != 0 {
		want, err := in.u16()
		if err != nil {
			return err
		}
		if uint16(sum) != want {
			return in.brokenf("header checksum %04x, want %04x", uint16(sum), want)
		}
	}
	return nil
}

// trailer reads the trailer of a member: the CRC-32 and the length of its data,
// modulo 2^32.
func (in *input) trailer() (crc, size uint32, err error) {
	if crc, err = in.u32(); err != nil {
		return 0, 0, err
	}
	size, err = in.u32()
	return crc, size, err
}
