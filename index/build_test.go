package index

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"testing"

	digest "github.com/opencontainers/go-digest"
	"github.com/zeebo/blake3"

	"github.com/shalefs/shalefs/index/codec"
	"github.com/shalefs/shalefs/index/tarx"
	"github.com/shalefs/shalefs/layout"
)

// TestReads: reads of any range through the index are the bytes of the tar.
func TestReads(t *testing.T) {
	stream := sampleTar(t, 200, 1<<20-1, 1<<20, 2<<20+17)
	for _, f := range []struct {
		name string
		blob []byte
	}{{"tar", stream}, {"gzip", gzipped(t, stream)}, {"zstd", zstded(t)(stream)}} {
		t.Run(f.name, func(t *testing.T) {
			blob := newBlob(f.blob)
			l := build(t, blob, Want{DiffID: digest.FromBytes(stream)}, BuildOptions{})
			if l.Format() != f.name || l.Size() != int64(len(stream)) || !l.Bound() {
				t.Fatalf("format %s, size %d, bound %v", l.Format(), l.Size(), l.Bound())
			}
			checkLayout(t, l)
			checkEntries(t, l, stream)
			checkReads(t, l, blob, stream, fewer(60))
		})
	}
}

// checkLayout: chunks and spans follow one another without gap.
func checkLayout(t *testing.T, l *Layer) {
	t.Helper()
	var off int64
	for i := range l.Chunks() {
		c := l.Chunk(i)
		if c.Off != off || c.Len < 1 || c.Len > 64<<10 || l.ChunkAt(off) != i || l.ChunkAt(off+int64(c.Len)-1) != i {
			t.Fatalf("chunk %d is %+v after %d", i, c, off)
		}
		off += int64(c.Len)
	}
	if off != l.Size() {
		t.Fatalf("chunks end at %d of %d", off, l.Size())
	}
	next := 0
	for i := range l.Spans() {
		s := l.Span(i)
		if s.First != next || s.Last <= s.First || l.SpanOf(s.First) != i || l.SpanOf(s.Last-1) != i {
			t.Fatalf("span %d is %+v after chunk %d", i, s, next)
		}
		next = s.Last
	}
	if next != l.Chunks() {
		t.Fatalf("spans end at chunk %d of %d", next, l.Chunks())
	}
}

// checkEntries compares the entries with what archive/tar reads.
func checkEntries(t *testing.T, l *Layer, stream []byte) {
	t.Helper()
	r := tar.NewReader(bytes.NewReader(stream))
	var e tarx.Entry
	for i := range l.NumEntries() {
		h, err := r.Next()
		if err != nil {
			t.Fatalf("entry %d: %v", i, err)
		}
		if err := l.Entry(i, &e); err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if e.Kind == tarx.Regular {
			if e.Size != h.Size || e.Digest != blake3.Sum256(content) || !bytes.Equal(stream[e.Off:e.Off+e.Stored], content) {
				t.Errorf("%s: size %d, digest %x", e.Path, e.Size, e.Digest)
			}
		}
		if e.Kind == tarx.Hardlink || e.Kind == tarx.Whiteout || e.Kind == tarx.Opaque {
			if e.Link != h.Linkname {
				t.Errorf("%s: link %q, header %q", e.Path, e.Link, h.Linkname)
			}
			continue
		}
		if e.MTime != h.ModTime.Unix() || int(e.MTimeNano) != h.ModTime.Nanosecond() || int(e.UID) != h.Uid || int(e.GID) != h.Gid ||
			int64(e.Mode) != h.Mode&0o7777 || int64(e.Major) != h.Devmajor || int64(e.Minor) != h.Devminor {
			t.Errorf("%s: %+v, header %+v", e.Path, e, h)
		}
		if e.Kind == tarx.Symlink && e.Link != h.Linkname {
			t.Errorf("%s: link %q, header %q", e.Path, e.Link, h.Linkname)
		}
	}
	if _, err := r.Next(); !errors.Is(err, io.EOF) {
		t.Errorf("archive/tar has more: %v", err)
	}
}

func checkReads(t *testing.T, l *Layer, blob layout.Blob, stream []byte, n int) {
	t.Helper()
	rnd := rand.New(rand.NewPCG(3, 4))
	r := &spanReader{src: l, blob: blob}
	for range n {
		off := rnd.Int64N(int64(len(stream)))
		p := make([]byte, min(rnd.Int64N(200_000)+1, int64(len(stream))-off))
		if _, err := r.ReadAt(t.Context(), p, off); err != nil {
			t.Fatalf("read of %d at %d: %v", len(p), off, err)
		}
		if !bytes.Equal(p, stream[off:off+int64(len(p))]) {
			t.Fatalf("read of %d at %d: wrong bytes", len(p), off)
		}
	}
}

// TestDeterminism: how the stream comes and how many processors there are changes nothing.
func TestDeterminism(t *testing.T) {
	stream := sampleTar(t, 200, 1<<20, 2<<20)
	for _, b := range [][]byte{stream, gzipped(t, stream), zstded(t)(stream)} {
		var first []byte
		for _, procs := range []int{1, runtime.GOMAXPROCS(0)} {
			for _, piece := range []int{0, 10_007} {
				old := runtime.GOMAXPROCS(procs)
				blob := newBlob(b)
				blob.piece = piece
				got, err := Build(t.Context(), blob, Want{}, BuildOptions{})
				runtime.GOMAXPROCS(old)
				if err != nil {
					t.Fatal(err)
				}
				if first == nil {
					first = got
				}
				if !bytes.Equal(got, first) {
					t.Errorf("%d processors, pieces of %d: other bytes", procs, piece)
				}
			}
		}
	}
}

// memSaver keeps all states.
type memSaver struct {
	states [][]byte
	load   []byte
}

var errStop = errors.New("stop")

func (s *memSaver) Load() ([]byte, error) { return s.load, nil }
func (s *memSaver) Save(b []byte) error   { s.states = append(s.states, bytes.Clone(b)); return nil }
func (s *memSaver) Clear() error          { return nil }

// TestResume: a build that goes on from any saved state gives the same bytes.
func TestResume(t *testing.T) {
	stream := sampleTar(t, 300, 18<<20, 2<<20, 16<<20)
	blobs := map[string][]byte{"tar": stream}
	if fewer(5) == 5 { // the goroutines are the same for all, the decoders are slow
		blobs["gzip"], blobs["zstd"] = gzipped(t, stream), zstded(t)(stream)
	}
	for name, b := range blobs {
		t.Run(name, func(t *testing.T) {
			blob := newBlob(b)
			saver := &memSaver{}
			want, err := Build(t.Context(), blob, Want{}, BuildOptions{Saver: saver, SaveBytes: 1 << 20})
			if err != nil {
				t.Fatal(err)
			}
			if len(saver.states) == 0 {
				t.Fatal("no state was saved")
			}
			for i, st := range saver.states[:min(fewer(3), len(saver.states))] {
				got, err := Build(t.Context(), blob, Want{}, BuildOptions{Saver: &memSaver{load: st}})
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(got, want) {
					t.Errorf("from state %d of %d: other bytes", i, len(saver.states))
				}
			}
			// A state that is broken is not used.
			st := bytes.Clone(saver.states[0])
			st[len(st)/2] ^= 1
			got, err := Build(t.Context(), blob, Want{}, BuildOptions{Saver: &memSaver{load: st}})
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("from a broken state: %v", err)
			}
		})
	}
}

// TestBadLayer: DIG-1, DIG-13, FMT-21: a layer that is not what it should be is refused.
func TestBadLayer(t *testing.T) {
	stream := sampleTar(t, 100, 1<<20)
	packed := gzipped(t, stream)
	flip := func(b []byte, at int) *memBlob {
		m := newBlob(b)
		m.b = bytes.Clone(b)
		m.b[at] ^= 0x10
		return m
	}
	short := newBlob(packed)
	short.b = nil
	cut := newBlob(stream[:len(stream)/2+100])
	for _, c := range []struct {
		name string
		blob layout.Blob
		want Want
		errs []error
	}{
		{"flipped bit in gzip", flip(packed, len(packed)/2), Want{}, []error{ErrLayer, layout.ErrDigest}},
		{"flipped bit in content", flip(stream, len(stream)-1<<20), Want{}, []error{ErrLayer, layout.ErrDigest}},
		{"flipped bit in tar header", flip(stream, 700), Want{}, []error{ErrLayer, layout.ErrDigest}},
		{"flipped bit in trailer", flip(packed, len(packed)-3), Want{}, []error{ErrLayer, layout.ErrDigest}},
		{"other diffID", newBlob(packed), Want{DiffID: digest.FromString("x")}, []error{ErrLayer, layout.ErrDigest}},
		{"other diffID of tar", newBlob(stream), Want{DiffID: digest.FromString("x")}, []error{ErrLayer, layout.ErrDigest}},
		{"cut gzip", newBlob(packed[:len(packed)-100]), Want{}, []error{ErrLayer}},
		{"cut tar", cut, Want{}, []error{ErrLayer}},
		{"cut tar in gzip", newBlob(gzipped(t, cut.b)), Want{}, []error{ErrLayer}},
		{"no layer", newBlob([]byte("hello, this is not a layer")), Want{}, []error{layout.ErrUnsupported}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, err := Build(t.Context(), c.blob, c.want, BuildOptions{})
			for _, want := range c.errs {
				if !errors.Is(err, want) {
					t.Errorf("error %v is not %v", err, want)
				}
			}
			if b != nil {
				t.Error("bytes beside an error")
			}
		})
	}
}

// TestEmptyLayer: FMT-4: no bytes, or zeros, are a layer without entries.
func TestEmptyLayer(t *testing.T) {
	for name, b := range map[string][]byte{"none": {}, "zeros": make([]byte, 1024), "gzip": gzipped(t, make([]byte, 1024)), "gzip of none": gzipped(t, nil)} {
		t.Run(name, func(t *testing.T) {
			l := build(t, newBlob(b), Want{}, BuildOptions{})
			if l.NumEntries() != 0 {
				t.Errorf("%d entries", l.NumEntries())
			}
			checkLayout(t, l)
		})
	}
}

// TestExpands: ERR-7: a layer that decodes to far more than it is, is refused by name.
func TestExpands(t *testing.T) {
	for _, c := range []struct{ ratio, blob, want int64 }{
		{0, 10 << 20, 2000 << 20},
		{0, 100, 1 << 30},
		{1, 10 << 30, 10 << 30},
		{10, 1 << 47, maxOffset},
	} {
		opt := BuildOptions{MaxRatio: c.ratio}.withDefaults()
		if got := opt.limits(c.blob).MaxOut; got != c.want {
			t.Errorf("ratio %d, blob of %d: limit %d, want %d", c.ratio, c.blob, got, c.want)
		}
	}
	p := &pass{blob: newBlob([]byte("x")), scanOpt: codec.ScanOptions{MaxOut: 100}}
	err := p.explain(&codec.Error{Codec: "gzip", Err: codec.ErrTooLarge})
	if !errors.Is(err, ErrExpands) {
		t.Errorf("error %v", err)
	}
}

// TestInterrupt: a build ends with the error of its context, and without goroutines.
func TestInterrupt(t *testing.T) {
	stream := sampleTar(t, 100, 4<<20)
	ctx, cancel := context.WithCancel(t.Context())
	opt := BuildOptions{Progress: func(done, total int64) { cancel() }}
	if _, err := Build(ctx, newBlob(gzipped(t, stream)), Want{}, opt); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

// TestTreeSum: the digest of large files is blake3, also over a saved state.
func TestTreeSum(t *testing.T) {
	data := text(rand.New(rand.NewPCG(5, 6)), 300_000)
	for _, n := range []int{0, 1, 63, 64, 65, 1023, 1024, 1025, 2048, 16383, 16384, 16385, 32768, 49153, 65536, 131072, 262144, 300_000} {
		for _, cut := range []int{0, n / 3, n} {
			var s treeSum
			s.write(data[:cut])
			var r treeSum
			if err := r.restore(s.state()); err != nil {
				t.Fatal(err)
			}
			r.write(data[cut:n])
			if got, want := r.sum(), blake3.Sum256(data[:n]); got != want {
				t.Errorf("%d bytes, saved after %d: %x, want %x", n, cut, got, want)
			}
		}
	}
	if err := (&treeSum{}).restore([]byte{1, 0, 0, 0, 0, 0, 0, 0, 9}); err == nil {
		t.Error("a broken state was taken")
	}
}

// TestKeep: what is kept is the tar's chunks and the large files, under their digests.
func TestKeep(t *testing.T) {
	stream := sampleTar(t, 100, 1<<20, 2<<20+5)
	k := &memKeeper{tar: map[int64][]byte{}, files: map[[32]byte][]byte{}}
	l := build(t, newBlob(gzipped(t, stream)), Want{}, BuildOptions{Keep: k})
	if !k.closed {
		t.Error("not closed")
	}
	for i := range l.Chunks() {
		c := l.Chunk(i)
		key, size, off, ok := l.Object(i)
		if !ok {
			t.Fatalf("chunk %d has no object", i)
		}
		got := k.tar[c.Off]
		if key.Kind == "file" {
			for sum, f := range k.files {
				if FileKey(sum) == key && int64(len(f)) == size {
					got = f[off : off+int64(c.Len)]
				}
			}
		} else if want := fmt.Sprintf("sha256-%x-00000", sha256.Sum256(stream)); key.Name != want || off != c.Off {
			t.Errorf("chunk %d: key %v, offset %d", i, key, off)
		}
		if !bytes.Equal(got, stream[c.Off:c.Off+int64(c.Len)]) {
			t.Errorf("chunk %d: %d bytes kept", i, len(got))
		}
	}
	if len(k.files) != 2 {
		t.Errorf("%d large files", len(k.files))
	}
	// A keeper that fails does no harm.
	if _, err := Build(t.Context(), newBlob(stream), Want{}, BuildOptions{Keep: &memKeeper{fail: true}}); err != nil {
		t.Error(err)
	}
}

type memKeeper struct {
	tar    map[int64][]byte
	files  map[[32]byte][]byte
	fail   bool
	closed bool
}

func (k *memKeeper) Tar(off int64, p []byte) error {
	if k.fail {
		return errStop
	}
	k.tar[off] = bytes.Clone(p)
	return nil
}
func (k *memKeeper) File(size int64) (FileKeeper, error) { return &memFile{k: k}, nil }
func (k *memKeeper) Close() error                        { k.closed = true; return nil }

type memFile struct {
	bytes.Buffer
	k *memKeeper
}

func (f *memFile) Commit(sum [32]byte) error { f.k.files[sum] = f.Bytes(); return nil }
func (f *memFile) Abort()                    {}

// TestRawFile: ART-9: an artifact's blob is one file, with chunk digests from the first byte.
func TestRawFile(t *testing.T) {
	data := text(rand.New(rand.NewPCG(7, 8)), 3<<20+100)
	blob := newBlob(data)
	l := build(t, blob, Want{File: true}, BuildOptions{})
	var e tarx.Entry
	if err := l.Entry(0, &e); err != nil || l.NumEntries() != 1 || e.Size != int64(len(data)) || e.Digest != blake3.Sum256(data) {
		t.Fatalf("%d entries, %+v, %v", l.NumEntries(), e, err)
	}
	checkLayout(t, l)
	checkReads(t, l, blob, data, 20)
}
