package rawx

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"github.com/shalefs/shalefs/index/codec"
)

// A recorder keeps what a scan shows it, and can stop it at a pause.
type recorder struct {
	data   []byte
	cps    []codec.Checkpoint
	snap   *codec.Snapshot
	stopAt int64
}

var errStop = errors.New("stop")

func (r *recorder) Data(p []byte, in int64) error {
	r.data = append(r.data, p...)
	return nil
}

func (r *recorder) Checkpoint(cp codec.Checkpoint) error {
	r.cps = append(r.cps, cp)
	return nil
}

func (r *recorder) Pause(snapshot func() (codec.Snapshot, error)) error {
	if r.stopAt == 0 || int64(len(r.data)) < r.stopAt {
		return nil
	}
	s, err := snapshot()
	r.snap = &s
	return errors.Join(err, errStop)
}

func content(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i * i >> 7)
	}
	return b
}

func TestScanDecode(t *testing.T) {
	for _, n := range []int{0, 1, 99, 100, 101, 200, 300001} {
		want := content(n)
		var rec recorder
		res, err := New().Scan(t.Context(), iotest.OneByteReader(bytes.NewReader(want)), codec.ScanOptions{SpanBytes: 100}, &rec)
		if err != nil || res != (codec.Result{In: int64(n), Out: int64(n)}) {
			t.Fatalf("%d bytes: result %+v, error %v", n, res, err)
		}
		if !bytes.Equal(rec.data, want) {
			t.Fatalf("%d bytes: wrong data", n)
		}
		if want := max(1, (n+99)/100); len(rec.cps) != want {
			t.Errorf("%d bytes: %d checkpoints, want %d", n, len(rec.cps), want)
		}
		for _, cp := range rec.cps {
			rest := want[cp.In:]
			var got []byte
			err := New().Decode(t.Context(), cp, bytes.NewReader(rest), int64(len(rest)), func(p []byte) error {
				got = append(got, p...)
				return nil
			})
			if err != nil || !bytes.Equal(got, rest) {
				t.Fatalf("decode from %d: error %v, %d bytes, want %d", cp.In, err, len(got), len(rest))
			}
		}
	}
}

func TestResume(t *testing.T) {
	want := bytes.Repeat(content(1<<20), 34)
	whole := recorder{}
	if _, err := New().Scan(t.Context(), bytes.NewReader(want), codec.ScanOptions{}, &whole); err != nil {
		t.Fatal(err)
	}
	rec := recorder{stopAt: 1}
	if _, err := New().Scan(t.Context(), bytes.NewReader(want), codec.ScanOptions{}, &rec); !errors.Is(err, errStop) {
		t.Fatalf("got %v, want the sink's error", err)
	}
	rec.stopAt = 0
	res, err := New().Resume(t.Context(), bytes.NewReader(want[rec.snap.In:]), *rec.snap, codec.ScanOptions{}, &rec)
	if err != nil || res.Out != int64(len(want)) {
		t.Fatalf("result %+v, error %v", res, err)
	}
	if !bytes.Equal(rec.data, whole.data) || len(rec.cps) != len(whole.cps) {
		t.Errorf("resumed scan: %d bytes, %d checkpoints; one scan: %d, %d", len(rec.data), len(rec.cps), len(whole.data), len(whole.cps))
	}
}

func TestErrors(t *testing.T) {
	var rec recorder
	if _, err := New().Scan(t.Context(), bytes.NewReader(content(5)), codec.ScanOptions{MaxOut: 4}, &rec); !errors.Is(err, codec.ErrTooLarge) {
		t.Errorf("over MaxOut: got %v", err)
	}
	if _, err := New().Scan(t.Context(), iotest.ErrReader(io.ErrUnexpectedEOF), codec.ScanOptions{}, &rec); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("cut reader: got %v", err)
	}
	if _, err := New().Resume(t.Context(), bytes.NewReader(nil), codec.Snapshot{In: 1, Out: 2}, codec.ScanOptions{}, &rec); err == nil {
		t.Error("a snapshot whose offsets differ was taken")
	}
	err := New().Decode(t.Context(), codec.Checkpoint{Out: 7, In: 7}, bytes.NewReader(content(3)), 4, func([]byte) error { return nil })
	var ce *codec.Error
	if !errors.As(err, &ce) || ce.In != 10 || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("cut stream: got %v", err)
	}
}
