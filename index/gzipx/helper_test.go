package gzipx

import (
	"bytes"
	"context"
	"io"
	"testing"

	"github.com/shalefs/shalefs/index/codec"
)

// A record is a sink that keeps all it sees.
type record struct {
	out   bytes.Buffer
	cps   []codec.Checkpoint
	data  []datum
	snaps []codec.Snapshot
	// outAt[i] and cpsAt[i] say what was seen before snaps[i].
	outAt, cpsAt, dataAt []int

	noOut, snap bool
}

type datum struct{ out, in int64 }

func (r *record) Data(p []byte, in int64) error {
	if !r.noOut {
		r.out.Write(p)
	}
	end := int64(len(p))
	if len(r.data) > 0 {
		end += r.data[len(r.data)-1].out
	}
	r.data = append(r.data, datum{end, in})
	return nil
}

func (r *record) Checkpoint(cp codec.Checkpoint) error {
	r.cps = append(r.cps, cp)
	return nil
}

func (r *record) Pause(snapshot func() (codec.Snapshot, error)) error {
	if !r.snap {
		return nil
	}
	s, err := snapshot()
	if err != nil {
		return err
	}
	r.snaps = append(r.snaps, s)
	r.outAt = append(r.outAt, r.out.Len())
	r.cpsAt = append(r.cpsAt, len(r.cps))
	r.dataAt = append(r.dataAt, len(r.data))
	return nil
}

func scan(t testing.TB, comp []byte, opt codec.ScanOptions) (*record, codec.Result) {
	t.Helper()
	rec := &record{snap: true}
	res, err := New().Scan(context.Background(), bytes.NewReader(comp), opt, rec)
	if err != nil {
		t.Fatal(err)
	}
	return rec, res
}

func decode(cp codec.Checkpoint, r io.Reader, n int64) ([]byte, error) {
	var out []byte
	err := New().Decode(context.Background(), cp, r, n, func(p []byte) error {
		out = append(out, p...)
		return nil
	})
	return out, err
}
