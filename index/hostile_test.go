package index

import (
	"bytes"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	digest "github.com/opencontainers/go-digest"

	"github.com/shalefs/shalefs/index/tarx"
	"github.com/shalefs/shalefs/lazy"
)

// reseal makes all checksums of a file right again, as far as its header can be read.
func reseal(b []byte) {
	if len(b) < headerFixed {
		return
	}
	n := int(le.Uint32(b[12:]))
	if n < headerFixed || n > len(b) {
		return
	}
	h := header{flags: le.Uint32(b[20:])}
	sections := int(h.last())
	table := n - sections*sectionBytes
	if table < headerFixed {
		return
	}
	for i := range sections {
		row := b[table+i*sectionBytes:]
		off, length := le.Uint64(row[8:]), le.Uint64(row[16:])
		if off <= uint64(len(b)) && length <= uint64(len(b))-off {
			le.PutUint32(row[4:], crc(b[off:off+length]))
		}
	}
	le.PutUint32(b[16:], 0)
	le.PutUint32(b[16:], crc(b[:n]))
}

// sealEntries makes the checksums of the entries' records right.
func sealEntries(l *Layer) {
	var e tarx.Entry
	for i := range l.NumEntries() {
		if sum, err := l.decodeEntry(i, &e); err == nil {
			le.PutUint32(l.section(secEntries)[i*entryBytes+44:], sum)
		}
	}
}

func smallIndex(tb testing.TB) []byte {
	tb.Helper()
	b, err := Build(tb.Context(), newBlob(gzipped(tb, sampleTar(tb, 10, 1<<20+70_000))), Want{}, BuildOptions{SpanBytes: 200_000})
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// TestFlippedBits: a flipped bit anywhere in an index file is found: at once, by the
// entry it is in, or by the check of the content; nothing wrong comes out.
func TestFlippedBits(t *testing.T) {
	stream := sampleTar(t, 10, 1<<20+70_000)
	blob := newBlob(gzipped(t, stream))
	good, err := Build(t.Context(), blob, Want{}, BuildOptions{SpanBytes: 200_000})
	if err != nil {
		t.Fatal(err)
	}
	want, err := OpenBytes(good)
	if err != nil {
		t.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(1, 9))
	for range fewer(300) {
		bad := bytes.Clone(good)
		at := rnd.IntN(len(bad))
		bad[at] ^= 1 << rnd.IntN(8)
		l, err := OpenBytes(bad)
		if err != nil {
			if !errors.Is(err, lazy.ErrCorrupt) && !errors.Is(err, ErrVersion) {
				t.Errorf("flip at %d: %v", at, err)
			}
			continue
		}
		if err := l.Verify(); err == nil && !inPadding(want, at) {
			t.Errorf("flip at %d is not found by Verify", at)
		}
		var a, b tarx.Entry
		for i := range l.NumEntries() {
			if err := l.Entry(i, &a); err != nil {
				if !errors.Is(err, lazy.ErrCorrupt) {
					t.Errorf("flip at %d: %v", at, err)
				}
				continue
			}
			if err := want.Entry(i, &b); err != nil {
				t.Fatal(err)
			}
			if a.Digest == ([32]byte{}) {
				b.Digest = a.Digest // a damaged digest is not known, not wrong
			}
			if what := differ(&a, &b); what != "" {
				t.Errorf("flip at %d: entry %d: %s", at, i, what)
			}
		}
		r := &spanReader{src: l, blob: blob}
		for range 3 {
			off := rnd.Int64N(int64(len(stream)) - 1000)
			p := make([]byte, 1000)
			if _, err := r.ReadAt(t.Context(), p, off); err == nil && !bytes.Equal(p, stream[off:off+1000]) {
				t.Errorf("flip at %d: wrong bytes at %d", at, off)
			}
		}
	}
}

// inPadding says whether an offset is between two sections.
func inPadding(l *Layer, at int) bool {
	if at < l.h.len() {
		return false
	}
	for _, p := range l.h.sections {
		if int64(at) >= p.off && int64(at) < p.off+p.len {
			return false
		}
	}
	return true
}

// TestHostile: an index whose checksums are right but whose values are not, is refused.
func TestHostile(t *testing.T) {
	good := smallIndex(t)
	regular := func(l *Layer) int {
		var e tarx.Entry
		for i := range l.NumEntries() {
			if err := l.Entry(i, &e); err == nil && e.Kind == tarx.Regular && e.Stored > 0 {
				return i
			}
		}
		t.Fatal("no file")
		return 0
	}
	for _, c := range []struct {
		name   string
		change func(l *Layer)
	}{
		{"content outside the tar", func(l *Layer) { put48(l.section(secEntries)[regular(l)*entryBytes+32:], l.h.tarSize) }},
		{"content larger than the tar", func(l *Layer) { put48(l.section(secEntries)[regular(l)*entryBytes+38:], maxOffset-1) }},
		{"path outside the heap", func(l *Layer) { le.PutUint32(l.section(secEntries)[entryBytes:], math.MaxUint32) }},
		{"unknown kind", func(l *Layer) { le.PutUint16(l.section(secEntries)[12:], 15<<12) }},
		{"xattrs outside the heap", func(l *Layer) { le.PutUint32(l.section(secEntries)[8:], math.MaxUint32) }},
		{"sparse map outside the heap", func(l *Layer) { le.PutUint32(l.section(secEntries)[regular(l)*entryBytes+4:], 77) }},
		{"nanoseconds", func(l *Layer) { le.PutUint32(l.section(secEntries)[20:], 1e9) }},
		{"first segment not at 0", func(l *Layer) { put48(l.section(secSegments), 1) }},
		{"segments in disorder", func(l *Layer) { put48(l.section(secSegments)[segmentBytes:], 0) }},
		{"segment of no entry", func(l *Layer) { le.PutUint32(l.section(secSegments)[segmentBytes+12:], 1<<30) }},
		{"chunks do not fit", func(l *Layer) { le.PutUint32(l.section(secSegments)[segmentBytes+8:], 7) }},
		{"first span not at 0", func(l *Layer) { le.PutUint32(l.section(secSpans), 1) }},
		{"span after its chunk", func(l *Layer) { put48(l.section(secSpans)[spanBytes+8:], l.h.tarSize) }},
		{"span outside the blob", func(l *Layer) { put48(l.section(secSpans)[spanBytes+24:], l.h.blobSize+1) }},
		{"window too long", func(l *Layer) { le.PutUint32(l.section(secSpans)[44:], 1<<31) }},
		{"windows overlap", func(l *Layer) { put48(l.section(secSpans)[spanBytes+32:], 0) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := bytes.Clone(good)
			l, err := OpenBytes(b)
			if err != nil {
				t.Fatal(err)
			}
			c.change(l)
			sealEntries(l)
			reseal(b)
			err = allEntries(b)
			if !errors.Is(err, lazy.ErrCorrupt) {
				t.Errorf("error %v", err)
			}
		})
	}
	if err := allEntries(good); err != nil {
		t.Errorf("unchanged: %v", err)
	}
}

func allEntries(b []byte) error {
	l, err := OpenBytes(b)
	if err != nil {
		return err
	}
	var e tarx.Entry
	for i := range l.NumEntries() {
		if err := l.Entry(i, &e); err != nil {
			return err
		}
	}
	return nil
}

// TestOtherLayer: FMT-14, DIG-14: an index of another layer is refused.
func TestOtherLayer(t *testing.T) {
	l, err := OpenBytes(smallIndex(t))
	if err != nil {
		t.Fatal(err)
	}
	other := digest.FromString("other")
	if err := l.For(l.Blob(), l.BlobSize(), l.DiffID()); err != nil {
		t.Error(err)
	}
	for _, err := range []error{
		l.For(other, l.BlobSize(), l.DiffID()),
		l.For(l.Blob(), l.BlobSize()+1, l.DiffID()),
		l.For(l.Blob(), l.BlobSize(), other),
	} {
		if !errors.Is(err, ErrMismatch) {
			t.Errorf("error %v", err)
		}
	}
}

// TestCutFile: an index file that is cut, before it is opened or after, gives errors.
func TestCutFile(t *testing.T) {
	b := smallIndex(t)
	path := filepath.Join(t.TempDir(), "index")
	for _, n := range []int{0, 1, headerFixed - 1, headerFixed, 4095, 4096, len(b) - 1} {
		if err := os.WriteFile(path, b[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		if l, err := Open(path); !errors.Is(err, lazy.ErrCorrupt) {
			t.Errorf("cut to %d: %v, %v", n, l, err)
		}
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	var e tarx.Entry
	if err := l.Entry(0, &e); !errors.Is(err, lazy.ErrCorrupt) {
		t.Errorf("entry: %v", err)
	}
	if err := l.Verify(); !errors.Is(err, lazy.ErrCorrupt) {
		t.Errorf("verify: %v", err)
	}
	span := l.Span(l.SpanOf(l.ChunkAt(l.Size() - 1)))
	_, _, _, _ = l.Object(span.First)
	_, _ = l.InEnd(span.First), l.Warnings()
	if err := l.Decode(t.Context(), 0, 1, bytes.NewReader(b), nil); !errors.Is(err, lazy.ErrCorrupt) {
		t.Errorf("decode: %v", err)
	}
	if err := l.Check(t.Context(), 0, nil); !errors.Is(err, lazy.ErrCorrupt) {
		t.Errorf("check: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

// TestCompare: an index that lies about an entry or a digest is told from one that does not.
func TestCompare(t *testing.T) {
	good := smallIndex(t)
	ours, err := OpenBytes(good)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		change func(l *Layer)
		same   bool
	}{
		{"nothing", func(l *Layer) {}, true},
		{"other span parameters", func(l *Layer) { l.h.spanParam++; copy(l.b, l.h.encode()) }, true},
		{"mode", func(l *Layer) { l.section(secEntries)[2*entryBytes+12] ^= 1 }, false},
		{"owner", func(l *Layer) { l.section(secEntries)[24]++ }, false},
		{"time", func(l *Layer) { l.section(secEntries)[14]++ }, false},
		{"a name", func(l *Layer) { l.section(secPaths)[5] ^= 1 }, false},
		{"size", func(l *Layer) { l.section(secEntries)[2*entryBytes+38]-- }, false},
		{"file digest", func(l *Layer) {
			s := l.section(secFileSums)[2*fileSumBytes:]
			s[0]++
			le.PutUint32(s[32:], crc(s[:32]))
		}, false},
		{"chunk digest", func(l *Layer) { l.section(secChunkSums)[40]++ }, false},
		{"large file's digest", func(l *Layer) { l.section(secSegments)[segmentBytes+20]++ }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := bytes.Clone(good)
			l, err := OpenBytes(b)
			if err != nil {
				t.Fatal(err)
			}
			c.change(l)
			sealEntries(l)
			reseal(b)
			if l, err = OpenBytes(b); err != nil {
				t.Fatal(err)
			}
			if err := Compare(l, ours); (err == nil) != c.same || err != nil && !errors.Is(err, ErrDiffer) {
				t.Errorf("error %v", err)
			}
		})
	}
}

// FuzzOpen: whatever the bytes are, opening and using them ends in errors, not in
// panics, and what an index says of chunks and spans holds together.
func FuzzOpen(f *testing.F) {
	f.Add(smallIndex(f))
	raw, err := Build(f.Context(), newBlob(sampleTar(f, 3)), Want{}, BuildOptions{})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	walk, _, err := FromWalk(f.Context(), newBlob(sampleTar(f, 3)), tarx.WalkOptions{})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(walk)
	f.Fuzz(func(t *testing.T, b []byte) {
		reseal(b)
		l, err := OpenBytes(b)
		if err != nil {
			return
		}
		sealEntries(l)
		var e tarx.Entry
		for i := range l.NumEntries() {
			l.Needs(i)
			if err := l.Entry(i, &e); err == nil && e.Kind == tarx.Regular && (e.Off < 0 || e.Stored < 0 || e.Off+e.Stored > l.Size()) {
				t.Fatalf("entry %d lies outside: %+v", i, e)
			}
		}
		l.Warnings()
		l.Info()
		if l.Chunks() > 10_000 {
			return
		}
		checkLayout(t, l)
		for i := range min(l.Spans(), 5) {
			s := l.Span(i)
			_ = l.InEnd(s.Last - 1)
			_, _, _, _ = l.Object(s.First)
			last := min(s.Last, s.First+4)
			_ = l.Decode(t.Context(), i, last, bytes.NewReader(b), func(p []byte) error { return nil })
			_ = l.Check(t.Context(), s.First, b[:min(len(b), 100)])
		}
	})
}
