package lazy_test

import (
	"bytes"
	"context"
	"testing"

	"github.com/shalefs/shalefs/lazy/cache"
	"github.com/shalefs/shalefs/lazy/lazytest"
)

// ReadPresent gives what was read before, and asks for nothing.
func TestReadPresent(t *testing.T) {
	const size = 8 * mib
	r := newRig(t, rigOptions{
		layer: lazytest.LayerOptions{Size: size, Keep: true},
		cache: openCache(t, t.TempDir(), cache.Options{}),
	})
	ctx := context.Background()
	p := make([]byte, 1000)
	present := func(off int64) bool { return r.ReadPresent(ctx, 1, p, off, size) }
	if present(0) || len(r.blob.Requests()) != 0 {
		t.Errorf("nothing was read, but it is present, or was asked for: %v", r.blob.Requests())
	}
	r.want(0, 1000)
	// A reader has his bytes a moment before they are kept.
	eventually(t, "the flight is over", func() bool { return r.blob.Open() == 0 })
	r.blob.Reset()
	want := make([]byte, len(p))
	if _, err := r.ReadAt(ctx, want, 0); err != nil {
		t.Fatal(err)
	}
	if !present(0) || !bytes.Equal(p, want) {
		t.Error("what was read is not present, or other bytes")
	}
	if present(-1) || present(size-999) || r.ReadPresent(ctx, 1, nil, 0, size) {
		t.Error("present outside of the layer, or nothing present")
	}
	if n := len(r.blob.Requests()); n != 0 {
		t.Errorf("%d requests", n)
	}
	r.Record()
	if present(0) || len(r.Recorded()) != 0 {
		t.Errorf("present while reads are recorded, or recorded: %v", r.Recorded())
	}
}
