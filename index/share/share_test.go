package share

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/shalefs/shalefs/index"
	"github.com/shalefs/shalefs/index/tarx"
	"github.com/shalefs/shalefs/layout"
	"github.com/shalefs/shalefs/lazy"
)

// memStore is a store in memory that counts requests and bytes.
type memStore struct {
	mu        sync.Mutex
	blobs     map[digest.Digest][]byte
	referrers []ocispec.Descriptor
	bare      bool // the list of referrers has no annotations
	requests  int
	bytes     int64
	slow      chan struct{} // the second half of a range comes when it is closed; nil is at once
}

var (
	_ layout.Store  = (*memStore)(nil)
	_ layout.Pusher = (*memStore)(nil)
)

func (s *memStore) count(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests++
	s.bytes += int64(n)
}

func (s *memStore) Resolve(context.Context) (ocispec.Descriptor, error) {
	return ocispec.Descriptor{}, layout.ErrNotFound
}

func (s *memStore) Document(_ context.Context, d ocispec.Descriptor, _ bool) ([]byte, error) {
	s.count(int(d.Size))
	b, ok := s.blobs[d.Digest]
	if !ok {
		return nil, layout.ErrNotFound
	}
	if digest.FromBytes(b) != d.Digest {
		return nil, layout.ErrDigest
	}
	return b, nil
}

func (s *memStore) Blob(_ context.Context, d ocispec.Descriptor) (layout.Blob, error) {
	return &memBlob{s: s, d: d}, nil
}

func (s *memStore) Referrers(_ context.Context, subject ocispec.Descriptor, t string) ([]ocispec.Descriptor, error) {
	s.count(0)
	var out []ocispec.Descriptor
	for _, d := range s.referrers {
		if s.bare {
			d.Annotations = nil
		}
		out = append(out, d)
	}
	return out, nil
}

func (s *memStore) Close() error { return nil }

func (s *memStore) PushBlob(_ context.Context, d ocispec.Descriptor, b []byte) error {
	s.blobs[d.Digest] = bytes.Clone(b)
	return nil
}

func (s *memStore) PushReferrer(_ context.Context, d ocispec.Descriptor, m []byte, _ ocispec.Descriptor) error {
	s.blobs[d.Digest] = m
	s.referrers = append(s.referrers, d)
	return nil
}

func (s *memStore) asked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests
}

type memBlob struct {
	s *memStore
	d ocispec.Descriptor
}

func (b *memBlob) ReadAt(_ context.Context, p []byte, off int64) (int, error) {
	b.s.count(len(p))
	c, ok := b.s.blobs[b.d.Digest]
	if !ok {
		return 0, layout.ErrUnavailable
	}
	return bytes.NewReader(c).ReadAt(p, off)
}

func (b *memBlob) Range(_ context.Context, off, n int64) (io.ReadCloser, error) {
	b.s.count(int(n))
	c, ok := b.s.blobs[b.d.Digest]
	if !ok {
		return nil, layout.ErrUnavailable
	}
	r := io.Reader(bytes.NewReader(c[min(off, int64(len(c))):min(off+n, int64(len(c)))]))
	if b.s.slow != nil {
		r = io.MultiReader(io.LimitReader(r, n/2), slowReader{r, b.s.slow})
	}
	return io.NopCloser(r), nil
}

// A slowReader waits before the first read.
type slowReader struct {
	r    io.Reader
	wait chan struct{}
}

func (r slowReader) Read(p []byte) (int, error) {
	<-r.wait
	return r.r.Read(p)
}
func (b *memBlob) Size() int64           { return b.d.Size }
func (b *memBlob) Digest() digest.Digest { return b.d.Digest }
func (b *memBlob) Close() error          { return nil }

// memDocs keeps documents in memory.
type memDocs struct {
	sync.Mutex
	m map[string][]byte
}

func (d *memDocs) GetDoc(kind, name string) ([]byte, error) {
	d.Lock()
	defer d.Unlock()
	if b, ok := d.m[kind+"/"+name]; ok {
		return b, nil
	}
	return nil, layout.ErrNotFound
}

func (d *memDocs) PutDoc(kind, name string, b []byte) error {
	d.Lock()
	defer d.Unlock()
	d.m[kind+"/"+name] = bytes.Clone(b)
	return nil
}

// sample builds the indexes of an image of three layers and pushes them.
func sample(t testing.TB) (s *memStore, image ocispec.Descriptor, pushed ocispec.Descriptor, layers []*index.Layer, streams [][]byte) {
	t.Helper()
	s = &memStore{blobs: map[digest.Digest][]byte{}}
	image = ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString("image"), Size: 5}
	for i := range 3 {
		stream := sampleTar(t, i)
		blob := stream
		if i != 1 {
			blob = gz(t, stream)
		}
		d := ocispec.Descriptor{Digest: digest.FromBytes(blob), Size: int64(len(blob))}
		s.blobs[d.Digest] = blob
		b, err := s.Blob(t.Context(), d)
		if err != nil {
			t.Fatal(err)
		}
		file, err := index.Build(t.Context(), b, index.Want{}, index.BuildOptions{})
		if err != nil {
			t.Fatal(err)
		}
		l, err := index.OpenBytes(file)
		if err != nil {
			t.Fatal(err)
		}
		layers, streams = append(layers, l), append(streams, stream)
	}
	pushed, err := Push(t.Context(), s, image, layers, []byte("a profile"))
	if err != nil {
		t.Fatal(err)
	}
	return s, image, pushed, layers, streams
}

func sampleTar(t testing.TB, seed int) []byte {
	rnd := rand.New(rand.NewPCG(uint64(seed), 1))
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for i := range 1500 {
		content := make([]byte, rnd.IntN(2000))
		if i%700 == 7 {
			content = make([]byte, 1<<20+99)
		}
		for j := range content {
			content[j] = "abcdefgh etaoin\n"[rnd.Uint32()&15]
		}
		h := &tar.Header{Name: fmt.Sprintf("dir%d/sub%d/file%d", seed, i/50, i), Mode: 0o644, Size: int64(len(content)), Uid: i % 5}
		if i%100 == 3 {
			h = &tar.Header{Name: fmt.Sprintf("link%d", i), Typeflag: tar.TypeSymlink, Linkname: "dir/target"}
			content = nil
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func gz(t testing.TB, p []byte) []byte {
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(p); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func discover(t testing.TB, s *memStore, image ocispec.Descriptor, opt Options) *Pack {
	t.Helper()
	p, err := Discover(t.Context(), s, image, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// TestRoundTrip: a pushed index is found, lists the tree after two requests, reads
// after one more, and is the same file when it is complete.
func TestRoundTrip(t *testing.T) {
	s, image, _, layers, streams := sample(t)
	for _, bare := range []bool{false, true} {
		s.bare, s.requests, s.bytes = bare, 0, 0
		p := discover(t, s, image, Options{})
		want := 2
		if bare {
			want = 3
		}
		if s.requests != want {
			t.Errorf("%d requests, want %d", s.requests, want)
		}
		for i, full := range layers {
			l, ok := p.Layer(full.Blob())
			if !ok {
				t.Fatalf("layer %d is not there", i)
			}
			if l.Bound() || l.Info().Complete {
				t.Error("a pushed index is bound or complete")
			}
			sameEntries(t, l, full, false)
			before := s.requests
			read(t, s, l, streams[i])
			if n := s.requests - before; n != 2 {
				t.Errorf("layer %d: %d requests for a read, want a piece and data", i, n)
			}
		}
		if b, err := p.Profile(t.Context()); err != nil || string(b) != "a profile" {
			t.Errorf("profile %q, %v", b, err)
		}
		if err := p.Complete(t.Context()); err != nil {
			t.Fatal(err)
		}
		for i, full := range layers {
			l, _ := p.Layer(full.Blob())
			if !bytes.Equal(l.Bytes(), full.Bytes()) {
				t.Errorf("layer %d: other bytes than those pushed", i)
			}
			sameEntries(t, l, full, true)
			if err := index.Compare(l, full); err != nil {
				t.Error(err)
			}
		}
	}
}

// read reads some bytes in the middle of a layer by hand.
func read(t *testing.T, s *memStore, l *index.Layer, stream []byte) {
	t.Helper()
	chunk := l.Chunks() / 2
	i := l.SpanOf(chunk)
	if err := l.Prepare(t.Context(), i, i+1); err != nil {
		t.Fatal(err)
	}
	span := l.Span(i)
	blob, err := s.Blob(t.Context(), ocispec.Descriptor{Digest: l.Blob(), Size: l.BlobSize()})
	if err != nil {
		t.Fatal(err)
	}
	in := make([]byte, l.InEnd(span.Last-1)-span.In)
	if _, err := blob.ReadAt(t.Context(), in, span.In); err != nil {
		t.Fatal(err)
	}
	var out []byte
	err = l.Decode(t.Context(), i, span.Last, bytes.NewReader(in), func(p []byte) error { out = append(out, p...); return nil })
	if err != nil {
		t.Fatal(err)
	}
	for c := span.First; c < span.Last; c++ {
		ch := l.Chunk(c)
		if err := l.Check(t.Context(), c, out[:ch.Len]); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(out[:ch.Len], stream[ch.Off:ch.Off+int64(ch.Len)]) {
			t.Fatalf("chunk %d: wrong bytes", c)
		}
		out = out[ch.Len:]
	}
}

func sameEntries(t *testing.T, got, want *index.Layer, digests bool) {
	t.Helper()
	if got.NumEntries() != want.NumEntries() {
		t.Fatalf("%d entries, want %d", got.NumEntries(), want.NumEntries())
	}
	var a, b tarx.Entry
	for i := range want.NumEntries() {
		if err := errors.Join(got.Entry(i, &a), want.Entry(i, &b)); err != nil {
			t.Fatal(err)
		}
		if !digests {
			b.Digest = [32]byte{}
		}
		if fmt.Sprint(a) != fmt.Sprint(b) {
			t.Fatalf("entry %d: %+v, want %+v", i, a, b)
		}
	}
}

// TestPrefetch: what reads need of all layers comes in one request.
func TestPrefetch(t *testing.T) {
	s, image, _, layers, streams := sample(t)
	p := discover(t, s, image, Options{})
	s.requests = 0
	if err := p.Prefetch(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s.requests != 1 {
		t.Errorf("%d requests", s.requests)
	}
	for i, full := range layers {
		l, _ := p.Layer(full.Blob())
		s.requests = 0
		read(t, s, l, streams[i])
		if s.requests != 1 {
			t.Errorf("layer %d: %d requests for a read, want only data", i, s.requests)
		}
	}
}

// TestPieceByPiece: who waits for a piece gets it while others of the same request are still on their way.
func TestPieceByPiece(t *testing.T) {
	s, image, _, layers, _ := sample(t)
	p := discover(t, s, image, Options{})
	first, _ := p.Layer(layers[0].Blob())
	last, _ := p.Layer(layers[2].Blob())
	s.slow = make(chan struct{})
	s.requests = 0
	done := make(chan error)
	go func() { done <- p.Prefetch(t.Context()) }()
	for s.asked() == 0 {
		time.Sleep(time.Millisecond)
	}
	if err := first.Prepare(t.Context(), 0, 1); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := last.Prepare(ctx, last.Spans()-1, last.Spans()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("what did not come is here: %v", err)
	}
	close(s.slow)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if err := last.Prepare(t.Context(), last.Spans()-1, last.Spans()); err != nil {
		t.Error(err)
	}
	if n := s.asked(); n != 1 {
		t.Errorf("%d requests", n)
	}
}

// TestByLayer: a pack of the first version, whose pieces lie layer by layer, is read.
func TestByLayer(t *testing.T) {
	_, _, _, layers, _ := sample(t)
	head, pieces, err := encode(layers)
	if err != nil {
		t.Fatal(err)
	}
	whole := append(bytes.Clone(head), pieces...)
	list, err := decode(head, int64(len(whole)))
	if err != nil {
		t.Fatal(err)
	}
	var sorted []byte
	for _, l := range list {
		for _, k := range append(l.spans, l.fileSums...) {
			sorted = append(sorted, whole[k.off:k.off+k.len]...)
		}
	}
	if bytes.Equal(sorted, pieces) {
		t.Fatal("both versions have the same order")
	}
	plain, err := unzstd(head, maxTree)
	if err != nil {
		t.Fatal(err)
	}
	head = pack(append([]byte(headMagic1), plain[len(headMagic):]...))
	blob := append(bytes.Clone(head), sorted...)
	s := &memStore{blobs: map[digest.Digest][]byte{digest.FromBytes(blob): blob}}
	p, err := newPack(found{Pack: digest.FromBytes(blob), Size: int64(len(blob))}, head, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	p.store = s
	if err := p.Complete(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i, full := range layers {
		if !bytes.Equal(p.layers[i].Bytes(), full.Bytes()) {
			t.Errorf("layer %d: other bytes than those pushed", i)
		}
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}

// TestOffline: what was fetched once is there without the store.
func TestOffline(t *testing.T) {
	s, image, _, layers, _ := sample(t)
	docs := &memDocs{m: map[string][]byte{}}
	p := discover(t, s, image, Options{Docs: docs})
	l, _ := p.Layer(layers[0].Blob())
	if err := l.Prepare(t.Context(), 0, 1); err != nil {
		t.Fatal(err)
	}
	gone := &memStore{blobs: map[digest.Digest][]byte{}}
	p = discover(t, gone, image, Options{Docs: docs})
	l, _ = p.Layer(layers[0].Blob())
	if err := l.Prepare(t.Context(), 0, 1); err != nil {
		t.Error(err)
	}
	if gone.requests != 0 {
		t.Errorf("%d requests", gone.requests)
	}
	l, _ = p.Layer(layers[2].Blob())
	if err := l.Prepare(t.Context(), 0, 1); !errors.Is(err, layout.ErrUnavailable) {
		t.Errorf("error %v", err)
	}
}

// TestPinned: DIG-14: an index whose digest the user names is bound; another is not used.
func TestPinned(t *testing.T) {
	s, image, pushed, layers, _ := sample(t)
	docs := &memDocs{m: map[string][]byte{}}
	discover(t, s, image, Options{Docs: docs}) // found without a pin: must not count later
	for range 2 {
		p := discover(t, s, image, Options{Digest: pushed.Digest, Docs: docs})
		l, _ := p.Layer(layers[0].Blob())
		if !l.Bound() {
			t.Error("not bound")
		}
	}
	_, err := Discover(t.Context(), s, image, Options{Digest: digest.FromString("x")})
	if !errors.Is(err, layout.ErrNotFound) {
		t.Errorf("error %v", err)
	}
}

// TestFlipped: a flipped bit anywhere in the pack is found before it does harm.
func TestFlipped(t *testing.T) {
	s, image, _, layers, streams := sample(t)
	var pack []byte
	var name digest.Digest
	for d, b := range s.blobs {
		if len(b) >= 4 && bytes.HasPrefix(b, []byte{0x28, 0xb5, 0x2f, 0xfd}) {
			name, pack = d, b
		}
	}
	if pack == nil {
		t.Fatal("no pack")
	}
	rnd := rand.New(rand.NewPCG(1, 1))
	for range 25 {
		bad := bytes.Clone(pack)
		at := rnd.IntN(len(bad))
		bad[at] ^= 1 << rnd.IntN(8)
		s.blobs[name] = bad
		p, err := Discover(t.Context(), s, image, Options{})
		if err != nil {
			if !errors.Is(err, layout.ErrNotFound) {
				t.Errorf("flip at %d: %v", at, err)
			}
			continue
		}
		if err := p.Complete(t.Context()); !errors.Is(err, lazy.ErrCorrupt) {
			t.Errorf("flip at %d of %d: %v", at, len(bad), err)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
	s.blobs[name] = pack
	p := discover(t, s, image, Options{})
	l, _ := p.Layer(layers[0].Blob())
	read(t, s, l, streams[0])
}

// FuzzDecode: a hostile head is an error, or a pack whose layers hold together.
func FuzzDecode(f *testing.F) {
	_, _, _, layers, _ := sample(f)
	head, pieces, err := encode(layers[:1])
	if err != nil {
		f.Fatal(err)
	}
	plain, err := unzstd(head, maxTree)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(plain[:min(len(plain), 4000)], int64(len(pieces)))
	f.Add(plain, int64(len(pieces)))
	f.Fuzz(func(t *testing.T, plain []byte, size int64) {
		head := pack(plain)
		p, err := newPack(found{Size: int64(len(head)) + size}, head, nil, nil)
		if err != nil {
			return
		}
		var e tarx.Entry
		for _, l := range p.Layers() {
			for i := range l.NumEntries() {
				_ = l.Entry(i, &e)
			}
			for i := range l.Spans() {
				_ = l.Span(i)
			}
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
}
