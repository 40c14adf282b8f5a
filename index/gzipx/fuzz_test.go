package gzipx

import (
	"bytes"
	stdgzip "compress/gzip"
	"context"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/shalefs/shalefs/index/codec"
)

const fuzzOut = 4 << 20 // most output of a fuzz case

func seeds(f *testing.F) [][]byte {
	rng := rand.New(rand.NewPCG(1, 2))
	// Small, for the mutations to find the places that count; the repetitive ones are
	// long enough, unpacked, to hold checkpoints.
	words := text(rng, 600)
	long := bytes.Repeat(text(rng, 300), 300)
	return [][]byte{
		gz(f, words, 6), gz(f, words, 0), gz(f, words, stdgzip.HuffmanOnly), gz(f, nil, 6), synced(f, words, 150),
		members(f, words, 300), gz(f, make([]byte, 300000), 6), oneBlock(words, inDyn), oneBlock(words, inFixed),
		withHeader(gz(f, words, 9), 30), gz(f, long, 1), gz(f, long, 9), synced(f, long, 40000),
	}
}

// FuzzScan holds a scan against the stock decoder, and its checkpoints against the
// scan.
func FuzzScan(f *testing.F) {
	for _, s := range seeds(f) {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, comp []byte) {
		opt := codec.ScanOptions{SpanBytes: MinSpanBytes, MaxOut: fuzzOut}
		rec := &record{}
		res, err := New().Scan(context.Background(), bytes.NewReader(comp), opt, rec)
		stream := comp
		if err == nil {
			stream = comp[:res.In] // the stock decoder does not like what comes after
		}
		want, stockErr := stdDecode(stream)
		if err == nil && stockErr != nil {
			t.Fatalf("accepted, but the stock decoder says: %v", stockErr)
		}
		if err != nil && stockErr == nil && len(want) <= fuzzOut {
			t.Fatalf("refused, but the stock decoder does not: %v", err)
		}
		if err != nil {
			if got := rec.out.Bytes(); !bytes.HasPrefix(want, got) && !bytes.HasPrefix(got, want) {
				t.Fatalf("wrong data before an error")
			}
			return
		}
		if !bytes.Equal(rec.out.Bytes(), want) {
			t.Fatalf("the data differs")
		}
		for _, cp := range rec.cps {
			n := int64(len(want)) - cp.Out
			got, err := decode(cp, bytes.NewReader(comp[cp.In:]), n)
			if err != nil || !bytes.Equal(got, want[cp.Out:]) {
				t.Fatalf("checkpoint at %d: %v", cp.Out, err)
			}
		}
	})
}

func stdDecode(comp []byte) ([]byte, error) {
	zr, err := stdgzip.NewReader(bytes.NewReader(comp))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(zr, fuzzOut+1))
}

// FuzzDecode decodes from checkpoints of anyone's making: it may fail, or give
// wrong bytes, but no more than asked for.
func FuzzDecode(f *testing.F) {
	for _, s := range seeds(f) {
		rec := &record{}
		if _, err := New().Scan(context.Background(), bytes.NewReader(s), codec.ScanOptions{SpanBytes: MinSpanBytes}, rec); err != nil {
			f.Fatal(err)
		}
		for _, cp := range rec.cps {
			f.Add(cp.State, cp.Window, s[cp.In:])
		}
	}
	f.Fuzz(func(t *testing.T, state, window, comp []byte) {
		cp := codec.Checkpoint{Out: 1000, In: 10, State: state, Window: window}
		n := int64(0)
		err := New().Decode(context.Background(), cp, bytes.NewReader(comp), 1<<20, func(p []byte) error {
			n += int64(len(p))
			return nil
		})
		if n > 1<<20 || err == nil && n != 1<<20 {
			t.Errorf("%d bytes, %v", n, err)
		}
	})
}

// FuzzResume goes on from snapshots of anyone's making, which must not panic, and
// whatever checkpoints come of it must be good for the data that came of it.
func FuzzResume(f *testing.F) {
	for _, s := range seeds(f) {
		rec := &record{snap: true}
		if _, err := New().Scan(context.Background(), bytes.NewReader(s), codec.ScanOptions{SpanBytes: MinSpanBytes}, rec); err != nil {
			f.Fatal(err)
		}
		for _, snap := range rec.snaps {
			f.Add(snap.In, snap.Out, snap.State, s[snap.In:])
		}
	}
	f.Fuzz(func(t *testing.T, in, out int64, state, comp []byte) {
		snap := codec.Snapshot{In: in, Out: out, State: state}
		rec := &record{}
		opt := codec.ScanOptions{SpanBytes: MinSpanBytes}
		if out >= 0 && out < 1<<60 {
			opt.MaxOut = out + fuzzOut
		}
		if _, err := New().Resume(context.Background(), bytes.NewReader(comp), snap, opt, rec); err != nil {
			return
		}
		for _, cp := range rec.cps {
			want := rec.out.Bytes()[cp.Out-out:]
			got, err := decode(cp, bytes.NewReader(comp[cp.In-in:]), int64(len(want)))
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("checkpoint at %d: %v", cp.Out, err)
			}
		}
	})
}
