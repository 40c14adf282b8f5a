package rawx

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"reflect"
	"testing"
	"testing/iotest"

	"github.com/shalefs/shalefs/index/codec"
)

// A record is a sink that keeps all it sees.
type record struct {
	out    bytes.Buffer
	ins    []int64
	cps    []codec.Checkpoint
	snaps  []codec.Snapshot
	cpsAt  []int
	insAt  []int
	failAt int // the call that fails, from 1 on
}

var errSink = errors.New("sink is full")

func (r *record) call() error {
	if r.failAt--; r.failAt == 0 {
		return errSink
	}
	return nil
}

func (r *record) Data(p []byte, in int64) error {
	r.out.Write(p)
	r.ins = append(r.ins, in)
	return r.call()
}

func (r *record) Checkpoint(cp codec.Checkpoint) error {
	r.cps = append(r.cps, cp)
	return r.call()
}

func (r *record) Pause(snapshot func() (codec.Snapshot, error)) error {
	s, err := snapshot()
	if err != nil {
		return err
	}
	r.snaps = append(r.snaps, s)
	r.cpsAt = append(r.cpsAt, len(r.cps))
	r.insAt = append(r.insAt, len(r.ins))
	return r.call()
}

func content(n int) []byte {
	b := make([]byte, n)
	// Read of ChaCha8 gives no error.
	_, _ = rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

func TestScan(t *testing.T) {
	ctx := context.Background()
	for _, n := range []int{0, 1, dataBytes - 1, dataBytes, dataBytes + 1, DefaultSpanBytes, 2*DefaultSpanBytes + 1, pauseBytes + 3*dataBytes + 5} {
		for _, span := range []int64{0, 100000, 3 * pauseBytes} {
			if n > 4*DefaultSpanBytes && span != 0 {
				continue // to save time
			}
			plain := content(n)
			opt := codec.ScanOptions{SpanBytes: span, MaxOut: int64(n)}
			rec := &record{}
			res, err := New().Scan(ctx, bytes.NewReader(plain), opt, rec)
			if want := (codec.Result{In: int64(n), Out: int64(n)}); err != nil || res != want {
				t.Fatalf("%d bytes: got %+v, %v, want %+v", n, res, err, want)
			}
			if !bytes.Equal(rec.out.Bytes(), plain) {
				t.Fatalf("%d bytes: the data differs", n)
			}
			if span == 0 {
				span = DefaultSpanBytes
			}
			if want := max(1, (int64(n)+span-1)/span); int64(len(rec.cps)) != want {
				t.Errorf("%d bytes, spans of %d: got %d checkpoints, want %d", n, span, len(rec.cps), want)
			}
			for i, cp := range rec.cps {
				if want := (codec.Checkpoint{Out: int64(i) * span, In: int64(i) * span}); !reflect.DeepEqual(cp, want) {
					t.Errorf("checkpoint %d: got %+v, want %+v", i, cp, want)
				}
			}
			checkReader(t, plain, opt, rec)
			checkResume(t, plain, opt, rec)
		}
	}
}

func checkReader(t *testing.T, plain []byte, opt codec.ScanOptions, want *record) {
	t.Helper()
	got := &record{}
	r := iotest.DataErrReader(iotest.HalfReader(bytes.NewReader(plain)))
	if _, err := New().Scan(context.Background(), r, opt, got); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got.cps, want.cps) || !reflect.DeepEqual(got.ins, want.ins) {
		t.Errorf("%d bytes: a scan depends on the reader's pieces", len(plain))
	}
}

func checkResume(t *testing.T, plain []byte, opt codec.ScanOptions, want *record) {
	t.Helper()
	if len(want.snaps) < len(plain)/(32<<20) {
		t.Errorf("%d bytes: only %d pauses", len(plain), len(want.snaps))
	}
	for i, snap := range want.snaps {
		got := &record{}
		res, err := New().Resume(context.Background(), bytes.NewReader(plain[snap.In:]), snap, opt, got)
		if err != nil || res.Out != int64(len(plain)) {
			t.Fatalf("snapshot at %d: %+v, %v", snap.Out, res, err)
		}
		cps, ins := want.cps[want.cpsAt[i]:], want.ins[want.insAt[i]:]
		if len(got.cps)+len(cps) > 0 && !reflect.DeepEqual(got.cps, cps) || len(got.ins)+len(ins) > 0 && !reflect.DeepEqual(got.ins, ins) {
			t.Errorf("snapshot at %d: checkpoints %v, want %v; data to %v, want %v", snap.Out, got.cps, cps, got.ins, ins)
		}
		if !bytes.Equal(got.out.Bytes(), plain[snap.Out:]) {
			t.Errorf("snapshot at %d: the data differs", snap.Out)
		}
	}
}

func TestDecode(t *testing.T) {
	plain := content(300000)
	for _, at := range []int64{0, 1, 100000} {
		for _, n := range []int64{-1, 0, 1, dataBytes, dataBytes + 1, 200000} {
			var got []byte
			err := New().Decode(context.Background(), codec.Checkpoint{Out: at, In: at}, bytes.NewReader(plain[at:]), n, func(p []byte) error {
				got = append(got, p...)
				return nil
			})
			if want := plain[at : at+max(0, n)]; err != nil || !bytes.Equal(got, want) {
				t.Errorf("%d bytes at %d: %v, got %d", n, at, err, len(got))
			}
		}
	}
}

func TestErrors(t *testing.T) {
	ctx := context.Background()
	plain := content(200000)
	drop := func([]byte) error { return nil }
	cp := codec.Checkpoint{}
	var e *codec.Error
	if err := New().Decode(ctx, cp, bytes.NewReader(plain), 200001, drop); !errors.As(err, &e) || err.Error() != "tar stream, offset 200000: unexpected EOF" {
		t.Errorf("too short: got %v", err)
	}
	for _, cp := range []codec.Checkpoint{{In: 1}, {In: -1, Out: -1}, {State: []byte{0}}, {Window: []byte{0}}} {
		if err := New().Decode(ctx, cp, bytes.NewReader(plain), 1, drop); !errors.As(err, &e) {
			t.Errorf("checkpoint %+v: got %v", cp, err)
		}
	}
	for _, snap := range []codec.Snapshot{{}, {In: 1, State: []byte{0}}, {In: 9, Out: 9, State: []byte{8}}, {In: -1, Out: -1, State: []byte{0}}, {State: []byte{0, 0}}} {
		if _, err := New().Resume(ctx, bytes.NewReader(plain), snap, codec.ScanOptions{}, &record{}); !errors.As(err, &e) {
			t.Errorf("snapshot %+v: got %v", snap, err)
		}
	}
	if _, err := New().Scan(ctx, bytes.NewReader(plain), codec.ScanOptions{MaxOut: 199999}, &record{}); !errors.Is(err, codec.ErrTooLarge) {
		t.Errorf("too large: got %v", err)
	}
	errRead := errors.New("the wire broke")
	r := io.MultiReader(bytes.NewReader(plain), iotest.ErrReader(errRead))
	if _, err := New().Scan(ctx, r, codec.ScanOptions{}, &record{}); !errors.Is(err, errRead) {
		t.Errorf("reader: got %v", err)
	}
	if err := New().Decode(ctx, cp, iotest.ErrReader(errRead), 1, drop); !errors.Is(err, errRead) {
		t.Errorf("reader: got %v from Decode", err)
	}
	for call := 1; call <= 5; call++ { // a checkpoint and four pieces
		if _, err := New().Scan(ctx, bytes.NewReader(plain), codec.ScanOptions{}, &record{failAt: call}); !errors.Is(err, errSink) {
			t.Errorf("call %d of the sink: got %v", call, err)
		}
	}
	if err := New().Decode(ctx, cp, bytes.NewReader(plain), 1, func([]byte) error { return errSink }); !errors.Is(err, errSink) {
		t.Errorf("emit: got %v", err)
	}
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := New().Scan(canceled, bytes.NewReader(plain), codec.ScanOptions{}, &record{}); !errors.Is(err, context.Canceled) {
		t.Errorf("ctx: got %v", err)
	}
	if err := New().Decode(canceled, cp, bytes.NewReader(plain), 1, drop); !errors.Is(err, context.Canceled) {
		t.Errorf("ctx: got %v from Decode", err)
	}
}
