package index

import (
	"errors"
	"testing"

	"github.com/shalefs/shalefs/index/tarx"
	"github.com/shalefs/shalefs/lazy"
)

// TestFromWalk: a tar whose headers were walked reads as one that was indexed, but
// nothing of it has a digest, and nothing is kept.
func TestFromWalk(t *testing.T) {
	stream := sampleTar(t, 50, 1<<20, 3<<20)
	blob := newBlob(stream)
	b, stats, err := FromWalk(t.Context(), blob, tarx.WalkOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if stats.Requests == 0 || stats.Bytes >= int64(len(stream))/2 {
		t.Errorf("%d requests, %d bytes of %d", stats.Requests, stats.Bytes, len(stream))
	}
	l, err := OpenBytes(b)
	if err != nil {
		t.Fatal(err)
	}
	if l.Bound() || l.HasDigests() || l.Format() != "tar" {
		t.Errorf("bound %v, digests %v, format %s", l.Bound(), l.HasDigests(), l.Format())
	}
	checkLayout(t, l)
	checkReads(t, l, blob, stream, 50)
	if _, _, _, ok := l.Object(0); ok {
		t.Error("a chunk that nothing binds has a name in the cache")
	}
	ours := build(t, blob, Want{}, BuildOptions{})
	if err := Compare(l, ours); err != nil {
		t.Error(err)
	}
	// DIG-15: once it is bound, what is read is checked.
	if err := l.BindTo(ours); err != nil {
		t.Error(err)
	}
	if !l.Bound() || !l.HasDigests() {
		t.Errorf("bound %v, digests %v", l.Bound(), l.HasDigests())
	}
	checkReads(t, l, blob, stream, 20)
	if err := l.Check(t.Context(), 0, make([]byte, l.Chunk(0).Len)); !errors.Is(err, lazy.ErrCorrupt) {
		t.Errorf("wrong bytes after binding: %v", err)
	}
	if _, _, _, ok := l.Object(0); !ok {
		t.Error("a chunk that is bound has no name in the cache")
	}
	if _, _, err := FromWalk(t.Context(), newBlob(stream[:3<<20]), tarx.WalkOptions{}); !errors.Is(err, ErrLayer) {
		t.Errorf("cut tar: %v", err)
	}
}

// TestFromFile: an artifact's blob, unread.
func TestFromFile(t *testing.T) {
	data := make([]byte, 300_000)
	for i := range data {
		data[i] = byte(i >> 8)
	}
	blob := newBlob(data)
	b, err := FromFile(blob)
	if err != nil {
		t.Fatal(err)
	}
	l, err := OpenBytes(b)
	if err != nil {
		t.Fatal(err)
	}
	checkLayout(t, l)
	checkReads(t, l, blob, data, 20)
	ours := build(t, blob, Want{File: true}, BuildOptions{})
	if err := Compare(l, ours); err != nil {
		t.Error(err)
	}
}
