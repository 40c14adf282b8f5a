package gzipx

import (
	"context"
	"errors"
	"io"
	"sync"

	"github.com/shalefs/shalefs/index/codec"
)

// emitBytes is the longest piece that decode emits.
const emitBytes = 64 << 10

// inflaters are decoders with their buffers.
var inflaters = sync.Pool{New: func() any { return new(inflater) }}

// release drops what belongs to others and gives the decoder back.
func (d *inflater) release() {
	d.input.reset(context.Background(), eofReader{}, 0)
	d.mark = nil
	inflaters.Put(d)
}

// start sets the decoder to a checkpoint; r stands at cp.In.
func (d *inflater) start(ctx context.Context, cp codec.Checkpoint, r io.Reader) error {
	d.input.reset(ctx, r, cp.In)
	d.resetOutput(cp.Out)
	if cp.In < 0 || cp.In > maxOffset || cp.Out < 0 || cp.Out > maxOffset {
		return d.broken(errState)
	}
	if err := unpackWindow(d.out[:winBytes], cp.Window); err != nil {
		return d.broken(err)
	}
	if err := d.loadState(cp.State); err != nil {
		if errors.Is(err, errState) {
			err = d.broken(err)
		}
		return err
	}
	return nil
}

// decode produces the next n bytes.
func (d *inflater) decode(n int64, emit func([]byte) error) error {
	for n > 0 {
		switch d.kind {
		case atMember:
			if err := d.header(); err != nil {
				return err
			}
			d.kind = atBlock
			d.hist = d.op
			continue
		case atTrailer:
			if _, _, err := d.trailer(); err != nil {
				return err
			}
			d.kind = atMember
			continue
		}
		if err := d.ctx.Err(); err != nil {
			return err
		}
		if d.op > outBytes-emitBytes {
			d.slide()
		}
		from := d.op
		if err := d.run(from + int(min(n, emitBytes-maxMatch))); err != nil {
			return err
		}
		p := d.out[from:d.op]
		p = p[:min(n, int64(len(p)))]
		n -= int64(len(p))
		if len(p) == 0 {
			continue
		}
		if err := emit(p); err != nil {
			return err
		}
	}
	return nil
}

// An eofReader is an empty stream.
type eofReader struct{}

func (eofReader) Read([]byte) (int, error) { return 0, io.EOF }
