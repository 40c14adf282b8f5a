package gzipx

import (
	"bytes"
	"context"
	"math/rand/v2"
	"testing"

	"github.com/shalefs/shalefs/index/codec"
)

// Every start of a block, with the whole window before it, is a checkpoint.
func TestBlockAt(t *testing.T) {
	plain := text(rand.New(rand.NewPCG(8, 1)), 150<<10)
	comp := synced(t, plain, 3001)
	d := inflaters.Get().(*inflater)
	defer d.release()
	if err := d.start(context.Background(), codec.Checkpoint{State: []byte{0}}, bytes.NewReader(comp)); err != nil {
		t.Fatal(err)
	}
	if err := d.header(); err != nil {
		t.Fatal(err)
	}
	d.kind = atBlock
	blocks := 0
	for d.kind != atTrailer {
		d.slide()
		if d.kind == atBlock {
			var window []byte
			out := d.outPos()
			if out > 0 {
				window = make([]byte, winBytes)
				n := min(winBytes, out)
				copy(window[winBytes-n:], plain[out-n:out])
			}
			cp, err := BlockAt(out, d.bitPos()>>3, uint8(d.bitPos()&7), window)
			if err != nil {
				t.Fatal(err)
			}
			n := min(5000, int64(len(plain))-out)
			got, err := decode(cp, bytes.NewReader(comp[cp.In:]), n)
			if err != nil || !bytes.Equal(got, plain[out:out+n]) {
				t.Fatalf("block at %d, bit %d: %v", out, d.bitPos()&7, err)
			}
			blocks++
		}
		var err error
		switch d.kind {
		case atBlock:
			err = d.blockHeader()
		case inDyn:
			err = d.symbols(&d.lit, &d.dist, d.op+dataBytes)
		case inFixed:
			err = d.symbols(&fixedLit, &fixedDist, d.op+dataBytes)
		case inStored:
			err = d.stored(d.op + dataBytes)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if blocks < 40 {
		t.Errorf("only %d blocks", blocks)
	}
	for _, tt := range []struct {
		out, in int64
		bit     uint8
		window  int
	}{{-1, 0, 0, 0}, {0, -1, 0, 0}, {0, 0, 8, 0}, {0, 0, 0, 100}} {
		if _, err := BlockAt(tt.out, tt.in, tt.bit, make([]byte, tt.window)); err == nil {
			t.Errorf("%+v: no error", tt)
		}
	}
}
