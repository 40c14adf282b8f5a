package zstdx

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/shalefs/shalefs/index/codec"
)

// saved is a snapshot with what the sink had seen by then.
type saved struct {
	sn  codec.Snapshot
	out int
	cps int
	end int
}

// snapshots scans and takes a snapshot at every pause.
func snapshots(t testing.TB, c zstdCodec, stream []byte, opt codec.ScanOptions) (*collect, []saved) {
	t.Helper()
	var all []saved
	sink := &collect{}
	sink.pause = func(snapshot func() (codec.Snapshot, error)) error {
		sn, err := snapshot()
		all = append(all, saved{sn, len(sink.out), len(sink.cps), len(sink.ends)})
		return err
	}
	if _, err := c.Scan(context.Background(), bytes.NewReader(stream), opt, sink); err != nil {
		t.Fatal(err)
	}
	return sink, all
}

// TestResume stops at every pause and goes on: together the sink has seen what one scan shows.
func TestResume(t *testing.T) {
	small := madeUp(9, 500<<10)
	for name, stream := range map[string][]byte{
		"one frame": compress(t, small),
		"frames":    bytes.Join([][]byte{compress(t, small), skippable(1, small[:99]), encodeAll(t, small[:200<<10]), compress(t, small)}, nil),
	} {
		t.Run(name, func(t *testing.T) {
			c := zstdCodec{pause: 100 << 10}
			opt := codec.ScanOptions{SpanBytes: 64 << 10, MaxSpanBytes: 256 << 10, Overhang: 64 << 10}
			want, all := snapshots(t, c, stream, opt)
			if len(all) < 4 {
				t.Fatalf("only %d pauses", len(all))
			}
			for i, s := range all {
				if s.sn.Out != int64(s.out) {
					t.Fatalf("snapshot %d: Out %d, %d bytes seen", i, s.sn.Out, s.out)
				}
				got := &collect{out: bytes.Clone(want.out[:s.out]), cps: want.cps[:s.cps:s.cps], ends: want.ends[:s.end:s.end]}
				res, err := c.Resume(context.Background(), bytes.NewReader(stream[s.sn.In:]), s.sn, opt, got)
				if err != nil {
					t.Fatalf("snapshot %d: %v", i, err)
				}
				if res.In != int64(len(stream)) || res.Out != int64(len(want.out)) {
					t.Errorf("snapshot %d: result %+v", i, res)
				}
				if !bytes.Equal(got.out, want.out) || !cmp.Equal(want.ends, got.ends, cmp.AllowUnexported(blockEnd{})) {
					t.Errorf("snapshot %d: data differ", i)
				}
				if d := cmp.Diff(want.cps, got.cps); d != "" {
					t.Errorf("snapshot %d: checkpoints differ: %s", i, d)
				}
			}
		})
	}
}

// TestResumeBad gives Resume every cut of a snapshot.
func TestResumeBad(t *testing.T) {
	stream := compress(t, madeUp(9, 700<<10))
	c := zstdCodec{pause: 250 << 10}
	opt := codec.ScanOptions{SpanBytes: 64 << 10, MaxSpanBytes: 128 << 10}
	_, all := snapshots(t, c, stream, opt)
	s := all[len(all)-1].sn
	for n := 0; n < len(s.State); n += 1 + n/3 {
		cut := s
		cut.State = s.State[:n]
		_, err := c.Resume(context.Background(), bytes.NewReader(stream[s.In:]), cut, opt, &counter{})
		if e := (&codec.Error{}); !errors.As(err, &e) || !errors.Is(err, errSnapshot) && !errors.Is(err, errCheckpoint) {
			t.Fatalf("%d of %d bytes: %v", n, len(s.State), err)
		}
	}
}
