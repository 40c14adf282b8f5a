package gzipx

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/shalefs/shalefs/index/codec"
)

const (
	inBytes = 192 << 10 // size of the input buffer

	// keepBytes bounds the compressed bytes that are kept for the proof of a
	// checkpoint. 32 KiB of output need hardly more than 32 KiB, but a hostile
	// stream can spin them out with empty blocks.
	keepBytes = 128 << 10

	// inSlack is how many bytes of input the fast loop wants to have.
	inSlack = 16
)

// An input reads a stream by bits. Its position is exact: bytes in the bit buffer
// are not gone.
type input struct {
	ctx context.Context
	r   io.Reader

	buf  []byte
	pos  int   // next byte of buf
	end  int   // end of what was read into buf
	base int64 // offset in the stream of buf[0]
	err  error // what the reader said at last; it counts when bytes are missing

	bits uint64 // the next bits, lowest first; those over n are zero
	n    uint   // number of bits, at most 63

	keep int // bytes of buf from here on are kept by fill; -1 if none
}

func (in *input) reset(ctx context.Context, r io.Reader, base int64) {
	if in.buf == nil {
		in.buf = make([]byte, inBytes)
	}
	*in = input{ctx: ctx, r: r, buf: in.buf, base: base, keep: -1}
}

// bitPos is the offset in the stream of the next bit, in bits.
func (in *input) bitPos() int64 { return (in.base+int64(in.pos))<<3 - int64(in.n) }

// bytePos is the number of bytes of the stream that are used, wholly or in part.
func (in *input) bytePos() int64 { return (in.bitPos() + 7) >> 3 }

// fill reads more bytes. It returns an error if there are none.
func (in *input) fill() error {
	if in.err == nil {
		in.err = in.ctx.Err()
	}
	if in.err != nil {
		return in.missing(in.err)
	}
	if len(in.buf)-in.end < inBytes/4 {
		from := in.pos
		if in.keep >= 0 {
			if in.pos-in.keep > keepBytes {
				in.keep = -1
			} else {
				from = in.keep
				in.keep = 0
			}
		}
		copy(in.buf, in.buf[from:in.end])
		in.pos -= from
		in.end -= from
		in.base += int64(from)
	}
	for range 100 {
		n, err := in.r.Read(in.buf[in.end:])
		if n < 0 || n > len(in.buf)-in.end {
			return errors.New("reader returned an impossible count")
		}
		in.end += n
		in.err = err
		if n > 0 {
			return nil
		}
		if err != nil {
			return in.missing(err)
		}
	}
	in.err = io.ErrNoProgress
	return in.err
}

// missing makes the error of a stream that ends too early.
func (in *input) missing(err error) error {
	if errors.Is(err, io.EOF) {
		return in.broken(io.ErrUnexpectedEOF)
	}
	return err
}

// broken makes the error of a stream that breaks the format here.
func (in *input) broken(err error) error {
	return &codec.Error{Codec: name, In: in.bytePos(), Err: err}
}

func (in *input) brokenf(format string, args ...any) error {
	return in.broken(fmt.Errorf(format, args...))
}

// load moves whole bytes to the bit buffer, as many as are there and fit, and
// leaves n at 56 or more if there are enough.
func (in *input) load() {
	for in.n < 56 && in.pos < in.end {
		in.bits |= uint64(in.buf[in.pos]) << (in.n & 63)
		in.pos++
		in.n += 8
	}
}

// need makes at least n bits available, n at most 56.
func (in *input) need(n uint) error {
	for in.n < n {
		in.load()
		if in.n >= n {
			break
		}
		if err := in.fill(); err != nil {
			return err
		}
	}
	return nil
}

// drop takes n bits, which are there.
func (in *input) drop(n uint) {
	in.bits >>= n & 63
	in.n -= n
}

// take gives the next n bits, n at most 32.
func (in *input) take(n uint) (uint32, error) {
	if err := in.need(n); err != nil {
		return 0, err
	}
	v := uint32(in.bits & (1<<(n&63) - 1))
	in.drop(n)
	return v, nil
}

// align drops the bits up to the next byte and gives the whole bytes of the bit
// buffer back, so that buf[pos] is the next byte.
func (in *input) align() {
	in.drop(in.n & 7)
	in.pos -= int(in.n >> 3)
	in.bits, in.n = 0, 0
}

// The methods below read bytes; they stand at a byte, after align.

// ensure makes at least n bytes available at buf[pos], n small.
func (in *input) ensure(n int) error {
	for in.end-in.pos < n {
		if err := in.fill(); err != nil {
			return err
		}
	}
	return nil
}

// u8, u16 and u32 take a number.
func (in *input) u8() (byte, error) {
	if err := in.ensure(1); err != nil {
		return 0, err
	}
	in.pos++
	return in.buf[in.pos-1], nil
}

func (in *input) u16() (uint16, error) {
	if err := in.ensure(2); err != nil {
		return 0, err
	}
	in.pos += 2
	return binary.LittleEndian.Uint16(in.buf[in.pos-2:]), nil
}

func (in *input) u32() (uint32, error) {
	if err := in.ensure(4); err != nil {
		return 0, err
	}
	in.pos += 4
	return binary.LittleEndian.Uint32(in.buf[in.pos-4:]), nil
}
