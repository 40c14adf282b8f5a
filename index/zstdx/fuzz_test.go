package zstdx

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"github.com/shalefs/shalefs/index/codec"
)

// fuzzOpt keeps the work and the memory of one input small.
var fuzzOpt = codec.ScanOptions{SpanBytes: 1 << 10, MaxSpanBytes: 64 << 10, Overhang: 1 << 10, MaxWindow: 1 << 20, MaxOut: 1 << 20}

func seeds(f *testing.F) [][]byte {
	var all [][]byte
	for _, s := range streams(f) {
		if len(s) < 4<<10 {
			all = append(all, s)
		}
	}
	for i, size := range []int{300, 1500, 6000} {
		data := madeUp(int64(20+i), size)
		for _, l := range levels {
			all = append(all, compress(f, data, zstd.WithEncoderLevel(l), zstd.WithEncoderCRC(false)),
				encodeAll(f, data, zstd.WithEncoderLevel(l), zstd.WithEncoderCRC(i == 0)))
		}
		all = append(all, compress(f, data, zstd.WithWindowSize(1<<10)))
	}
	return all
}

// FuzzScan compares Scan with the stock decoder: the same bytes, or both refuse. Known
// differences are the limits of fuzzOpt, and that the stock decoder takes an offset of
// zero for one, where we, like libzstd, refuse the stream.
func FuzzScan(f *testing.F) {
	for _, s := range seeds(f) {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		c := &collect{}
		_, err := zstdCodec{}.Scan(context.Background(), bytes.NewReader(stream), fuzzOpt, c)
		plain := &collect{}
		_, plainErr := zstdCodec{plain: true}.Scan(context.Background(), bytes.NewReader(stream), fuzzOpt, plain)
		if fmt.Sprint(err) != fmt.Sprint(plainErr) || !bytes.Equal(c.out, plain.out) {
			t.Fatalf("Scan: %v, without assembly: %v, or other bytes", err, plainErr)
		}
		if errors.Is(err, codec.ErrTooLarge) || errors.Is(err, errZeroOffset) {
			return
		}
		want, stockErr := stock(stream)
		if (err == nil) != (stockErr == nil) {
			t.Fatalf("Scan: %v, stock decoder: %v", err, stockErr)
		}
		if err != nil {
			return
		}
		if !bytes.Equal(c.out, want) {
			t.Fatal("decoded bytes differ")
		}
		checkSpans(t, stream, c, fuzzOpt.Overhang)
		checkDictionaries(t, stream, c, fuzzOpt.Overhang)
		if d := cmp.Diff(c.cps, plain.cps); d != "" {
			t.Fatalf("checkpoints without assembly differ: %s", d)
		}
	})
}

// FuzzDecode gives Decode hostile checkpoints: no panic, and no more bytes than asked for.
func FuzzDecode(f *testing.F) {
	stream := compress(f, madeUp(22, 400<<10))
	for i, cp := range scan(f, zstdCodec{everyBlock: true}, stream, codec.ScanOptions{SpanBytes: 1}).cps {
		f.Add(cp.State, cp.Window, stream[cp.In:min(int64(len(stream)), cp.In+60<<10)], uint32(1000*i))
	}
	f.Fuzz(func(t *testing.T, st, window, stream []byte, n uint32) {
		want := int64(n % (1 << 20))
		var got [2][]byte
		var errs [2]error
		for i, c := range []zstdCodec{{}, {plain: true}} {
			errs[i] = c.Decode(context.Background(), codec.Checkpoint{Out: 1 << 30, State: st, Window: window},
				bytes.NewReader(stream), want, func(p []byte) error {
					got[i] = append(got[i], p...)
					return nil
				})
		}
		if n, err := int64(len(got[0])), errs[0]; n > want || err == nil && n != want {
			t.Fatalf("%d bytes of %d: %v", n, want, err)
		}
		if fmt.Sprint(errs[0]) != fmt.Sprint(errs[1]) || !bytes.Equal(got[0], got[1]) {
			t.Fatalf("%d bytes, %v; without assembly %d bytes, %v", len(got[0]), errs[0], len(got[1]), errs[1])
		}
	})
}

// FuzzResume gives Resume hostile snapshots.
func FuzzResume(f *testing.F) {
	stream := compress(f, madeUp(23, 500<<10), zstd.WithWindowSize(256<<10))
	c := zstdCodec{pause: 128 << 10}
	_, all := snapshots(f, c, stream, fuzzOpt)
	for _, s := range all {
		f.Add(s.sn.State, s.sn.Out, stream[s.sn.In:min(int64(len(stream)), s.sn.In+30<<10)])
	}
	f.Fuzz(func(t *testing.T, st []byte, out int64, stream []byte) {
		_, _ = c.Resume(context.Background(), bytes.NewReader(stream), codec.Snapshot{In: 10, Out: out, State: st}, fuzzOpt, &counter{})
	})
}
