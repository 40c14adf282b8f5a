package index

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"testing"

	"github.com/shalefs/shalefs/index/foreign"
	"github.com/shalefs/shalefs/index/tarx"
	"github.com/shalefs/shalefs/lazy"
)

// A seekable is a gzip layer with places in it, as a ztoc tells them.
type seekable struct {
	blob   *memBlob
	stream []byte
	x      foreign.Index
}

// newSeekable packs a tar with a place every 300,000 bytes. size is what the ztoc says
// of the tar's length.
func newSeekable(t *testing.T, stream []byte, size int) *seekable {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	s := &seekable{stream: stream, x: foreign.Index{Exact: true, Size: int64(size), Seeks: []foreign.Seek{{}}}}
	for at := 0; at < len(stream); at += 300_000 {
		if at > 0 && at < size {
			window := bytes.Clone(stream[at-32<<10 : at])
			s.x.Seeks = append(s.x.Seeks, foreign.Seek{Out: int64(at), In: int64(b.Len()), Window: window})
		}
		if _, err := w.Write(stream[at:min(len(stream), at+300_000)]); err != nil {
			t.Fatal(err)
		}
		if err := w.Flush(); err != nil { // after it a block's header begins at a whole byte
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	s.blob = newBlob(b.Bytes())
	return s
}

// open makes the index of the ztoc, and the one of a pass.
func (s *seekable) open(t *testing.T) (theirs, ours *Layer) {
	t.Helper()
	ours = build(t, s.blob, Want{}, BuildOptions{})
	s.x.Entries = nil
	for i := range ours.NumEntries() {
		var e tarx.Entry
		if err := ours.Entry(i, &e); err != nil {
			t.Fatal(err)
		}
		s.x.Entries = append(s.x.Entries, e)
	}
	file, err := FromForeign(s.blob, "gzip", &s.x)
	if err != nil {
		t.Fatal(err)
	}
	if theirs, err = OpenBytes(file); err != nil {
		t.Fatal(err)
	}
	return theirs, ours
}

// readAll reads the stream up to the index's end.
func (s *seekable) readAll(t *testing.T, l *Layer) ([]byte, error) {
	t.Helper()
	r := &spanReader{src: l, blob: s.blob}
	b := make([]byte, l.Size())
	n, err := r.ReadAt(t.Context(), b, 0)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return b[:n], err
}

// TestForgedWindow (DIG-15, FMT-14): what a forged window gave before the layer was read whole is
// found by the check behind it, and nothing of it is read after.
func TestForgedWindow(t *testing.T) {
	stream := sampleTar(t, 300, 1<<20, 2<<20)
	s := newSeekable(t, stream, len(stream))
	for i := range s.x.Seeks[1:] {
		for k := range s.x.Seeks[i+1].Window {
			s.x.Seeks[i+1].Window[k] ^= 1
		}
	}
	l, ours := s.open(t)
	if got, err := s.readAll(t, l); err != nil || bytes.Equal(got, stream) {
		t.Fatalf("a forged window changes nothing (%v)", err)
	}
	if err := Compare(l, ours); err != nil {
		t.Errorf("the entries tell the truth: %v", err)
	}
	if err := l.BindTo(ours); !errors.Is(err, ErrDiffer) || l.Bound() {
		t.Errorf("bound to a layer that reads otherwise: %v", err)
	}
	// Nothing was read before: what comes after is checked.
	l, _ = s.open(t)
	if err := l.BindTo(ours); err != nil {
		t.Fatal(err)
	}
	if _, err := s.readAll(t, l); !errors.Is(err, lazy.ErrCorrupt) {
		t.Errorf("read through a forged window: %v", err)
	}
}

// TestAnswersDiffer: a chunk that is another one when it is read again is refused.
func TestAnswersDiffer(t *testing.T) {
	stream := sampleTar(t, 30, 1<<20)
	l, _ := newSeekable(t, stream, len(stream)).open(t)
	c := l.Chunk(3)
	p := bytes.Clone(stream[c.Off:][:c.Len])
	if err := l.Check(t.Context(), 3, p); err != nil {
		t.Fatal(err)
	}
	p[7]++
	var sum *SumError
	if err := l.Check(t.Context(), 3, p); !errors.As(err, &sum) || sum.Off != c.Off {
		t.Errorf("another answer: %v", err)
	}
}

// TestPaddedTar (FMT-14): a ztoc leaves out what follows the two blocks at a tar's end; GNU tar and
// others write zeros up to a whole record. That is no lie, and all is checked once it is bound.
func TestPaddedTar(t *testing.T) {
	stream := sampleTar(t, 40, 1<<20)
	for _, zeros := range []int{512, 10 << 10, 700 << 10} {
		long := append(bytes.Clone(stream), make([]byte, zeros)...)
		for _, before := range []bool{false, true} {
			s := newSeekable(t, long, len(stream))
			l, ours := s.open(t)
			read := func() {
				t.Helper()
				got, err := s.readAll(t, l)
				if err != nil || !bytes.Equal(got, stream) {
					t.Fatalf("%d zeros: other bytes, %v", zeros, err)
				}
			}
			if before {
				read()
			}
			if err := Compare(l, ours); err != nil {
				t.Errorf("%d zeros: %v", zeros, err)
			}
			if err := l.BindTo(ours); err != nil || !l.HasDigests() {
				t.Errorf("%d zeros: bound, digests %v: %v", zeros, l.HasDigests(), err)
			}
			read()
			last := l.Chunks() - 1
			if err := l.Check(t.Context(), last, make([]byte, l.Chunk(last).Len-1)); !errors.Is(err, lazy.ErrCorrupt) {
				t.Errorf("%d zeros: a short last chunk: %v", zeros, err)
			}
			if _, _, _, ok := l.Object(last); ok && l.Chunk(last).Len != ours.Chunk(last).Len {
				t.Errorf("%d zeros: half a chunk has a name in the cache", zeros)
			}
		}
	}
	// A ztoc that says more than there is does not pass.
	s := newSeekable(t, stream, len(stream)+512)
	if l, ours := s.open(t); !errors.Is(Compare(l, ours), ErrDiffer) {
		t.Error("a tar that is too long passes")
	}
}
