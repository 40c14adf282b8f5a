package gzipx

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/shalefs/shalefs/index/codec"
)

// Decode gives exactly n bytes, for any n, in pieces of at most 64 KiB, and does
// not mind an error of the reader after the bytes it needs.
func TestDecodeLengths(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	plain := mixed(rng, 300<<10)
	comp := members(t, plain, 140<<10)
	rec, _ := scan(t, comp, codec.ScanOptions{SpanBytes: MinSpanBytes})
	errAfter := errors.New("after the last byte")
	for _, cp := range rec.cps {
		left := int64(len(plain)) - cp.Out
		for _, n := range []int64{0, 1, 2, 257, 32 << 10, 64<<10 - 1, 64 << 10, 64<<10 + 1, left} {
			n = min(n, left)
			for _, r := range []io.Reader{
				io.MultiReader(bytes.NewReader(comp[cp.In:]), iotest.ErrReader(errAfter)),
				iotest.HalfReader(bytes.NewReader(comp[cp.In:])),
			} {
				var got []byte
				err := New().Decode(context.Background(), cp, r, n, func(p []byte) error {
					if len(p) == 0 || len(p) > 64<<10 {
						t.Errorf("a piece of %d bytes", len(p))
					}
					got = append(got, p...)
					return nil
				})
				if err != nil || !bytes.Equal(got, plain[cp.Out:cp.Out+n]) {
					t.Fatalf("checkpoint at %d, %d bytes: %v, got %d bytes", cp.Out, n, err, len(got))
				}
			}
		}
		if _, err := decode(cp, bytes.NewReader(comp[cp.In:]), left+1); !errors.Is(err, io.ErrUnexpectedEOF) && err == nil {
			t.Errorf("checkpoint at %d: more bytes than there are: %v", cp.Out, err)
		}
	}
}

// Decode does not read on when it has what it needs.
func TestDecodeReadsLittle(t *testing.T) {
	plain := random(rand.New(rand.NewPCG(4, 4)), 700<<10)
	comp := gz(t, plain, 6)
	rec, _ := scan(t, comp, codec.ScanOptions{SpanBytes: 128 << 10})
	for _, cp := range rec.cps {
		r := bytes.NewReader(comp[cp.In:])
		if _, err := decode(cp, r, 4096); err != nil {
			t.Fatal(err)
		}
		if used := len(comp) - int(cp.In) - r.Len(); used > 4096+inBytes {
			t.Errorf("read %d bytes for 4096", used)
		}
	}
}

func TestDecodeInParallel(t *testing.T) {
	plain := mixed(rand.New(rand.NewPCG(5, 5)), 300<<10)
	comp := gz(t, plain, 6)
	rec, _ := scan(t, comp, codec.ScanOptions{SpanBytes: MinSpanBytes})
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for j := range rec.cps {
				cp := rec.cps[(j+i)%len(rec.cps)]
				n := min(100000, int64(len(plain))-cp.Out)
				got, err := decode(cp, bytes.NewReader(comp[cp.In:]), n)
				if err != nil || !bytes.Equal(got, plain[cp.Out:cp.Out+n]) {
					t.Errorf("checkpoint at %d: %v", cp.Out, err)
				}
			}
		})
	}
	wg.Wait()
}

// Decode leaves the checkpoint as it is.
func TestDecodeKeepsCheckpoint(t *testing.T) {
	comp := gz(t, text(rand.New(rand.NewPCG(6, 6)), 200<<10), 6)
	rec, _ := scan(t, comp, codec.ScanOptions{SpanBytes: MinSpanBytes})
	for _, cp := range rec.cps {
		state, window := bytes.Clone(cp.State), bytes.Clone(cp.Window)
		if _, err := decode(cp, bytes.NewReader(comp[cp.In:]), 100); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(state, cp.State) || !bytes.Equal(window, cp.Window) {
			t.Errorf("the checkpoint at %d has changed", cp.Out)
		}
	}
}

func TestBadState(t *testing.T) {
	for name, cp := range map[string]codec.Checkpoint{
		"no state":                {},
		"member, bit offset":      {State: []byte{0x10}},
		"member, more":            {State: []byte{0, 0}},
		"kind 5":                  {State: []byte{5, 0}},
		"kind 7":                  {State: []byte{7, 0}},
		"bit offset 8":            {State: []byte{0x81, 0}},
		"no history":              {State: []byte{1}},
		"long history":            {State: []byte{1, 0x81, 0x80, 0x02}},
		"block, more":             {State: []byte{1, 0, 0}},
		"stored, nothing left":    {State: []byte{4, 0, 0, 0}},
		"stored, bit offset":      {State: []byte{0x14, 0, 1, 0}},
		"stored, cut":             {State: []byte{4, 0, 1}},
		"dynamic, no code":        {State: []byte{2, 0}},
		"dynamic, cut code":       {State: []byte{2, 0, 20, 1, 2}},
		"dynamic, endless code":   {State: []byte{2, 0, 0xff, 0xff, 0xff, 0xff, 0x0f, 1, 2}},
		"dynamic, no such code":   {State: []byte{2, 0, 17, 0, 0, 0}},
		"negative offset":         {In: -1, State: []byte{0}},
		"offset beyond any":       {In: 1<<63 - 1, State: []byte{0}},
		"window method":           {State: []byte{1, 0}, Window: []byte{9}},
		"window of runs, cut":     {State: []byte{1, 0}, Window: []byte{1, 2}},
		"window of runs, no end":  {State: []byte{1, 0}, Window: []byte{1, 0, 1}},
		"window of runs, no data": {State: []byte{1, 0}, Window: []byte{1, 0, 1, 0, 0}},
		"window of runs, gap":     {State: []byte{1, 0}, Window: []byte{1, 0x80, 0x80, 2, 1, 0, 0, 'x'}},
		"window not zstd":         {State: []byte{1, 0}, Window: []byte{2, 1, 2, 3}},
	} {
		_, err := decode(cp, bytes.NewReader(make([]byte, 100)), 10)
		var e *codec.Error
		if !errors.As(err, &e) || !errors.Is(err, errState) && !errors.Is(err, errWindow) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
