package layouttest

import (
	"context"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/shalefs/shalefs/layout"
)

// A Memory is a layout.Store in memory. Set its fields before it is used; add with
// its methods at any time.
type Memory struct {
	// Root is what Resolve returns.
	Root ocispec.Descriptor
	// Counters count the reads of documents and blobs.
	Counters Counters
	// Fault, if set, is called before each read; an error it returns is the result of
	// that read. op is "resolve", "document", "blob" (its opening), "readat" or "range".
	Fault func(op string, d digest.Digest, off, n int64) error

	mu        sync.Mutex
	content   map[digest.Digest][]byte
	referrers map[digest.Digest][]ocispec.Descriptor
}

// Counters count what was asked of a Memory. They may be read at any time.
type Counters struct {
	Resolves  atomic.Int64 // calls of Resolve
	Documents atomic.Int64 // calls of Document
	Requests  atomic.Int64 // calls of Blob.ReadAt and Blob.Range
	Bytes     atomic.Int64 // bytes of blobs handed out
}

var (
	_ layout.Store  = (*Memory)(nil)
	_ layout.Pusher = (*Memory)(nil)
)

// NewMemory makes an empty store.
func NewMemory() *Memory {
	return &Memory{content: map[digest.Digest][]byte{}, referrers: map[digest.Digest][]ocispec.Descriptor{}}
}

// Add stores content under its sha256 and returns its descriptor.
func (m *Memory) Add(mediaType string, b []byte) ocispec.Descriptor {
	return m.AddDigest(mediaType, digest.FromBytes(b), b)
}

// AddDigest stores content under a digest that the caller chose, right or wrong.
func (m *Memory) AddDigest(mediaType string, d digest.Digest, b []byte) ocispec.Descriptor {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.content[d] = b
	return ocispec.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(b))}
}

// Delete removes content.
func (m *Memory) Delete(d digest.Digest) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.content, d)
}

// Content returns the stored bytes, which must not be changed.
func (m *Memory) Content(d digest.Digest) ([]byte, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b, ok := m.content[d]
	return b, ok
}

func (m *Memory) fault(ctx context.Context, op string, d digest.Digest, off, n int64) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if m.Fault == nil {
		return nil
	}
	return m.Fault(op, d, off, n)
}

// Resolve returns Root.
func (m *Memory) Resolve(ctx context.Context) (ocispec.Descriptor, error) {
	m.Counters.Resolves.Add(1)
	if err := m.fault(ctx, "resolve", "", 0, 0); err != nil {
		return ocispec.Descriptor{}, err
	}
	if m.Root.Digest == "" {
		return ocispec.Descriptor{}, fmt.Errorf("memory: %w", layout.ErrNotFound)
	}
	return m.Root, nil
}

// Document returns checked content.
func (m *Memory) Document(ctx context.Context, desc ocispec.Descriptor, _ bool) ([]byte, error) {
	m.Counters.Documents.Add(1)
	if err := m.fault(ctx, "document", desc.Digest, 0, desc.Size); err != nil {
		return nil, err
	}
	b, ok := m.Content(desc.Digest)
	if !ok {
		return nil, fmt.Errorf("memory: %s: %w", desc.Digest, layout.ErrNotFound)
	}
	if limit := layout.DefaultLimits().ManifestBytes; desc.Size > limit {
		return nil, fmt.Errorf("memory: %s: %w", desc.Digest, layout.ErrTooLarge)
	}
	if err := layout.VerifyBytes(desc, b); err != nil {
		return nil, err
	}
	return b, nil
}

// Blob opens content, which is not checked but for its size.
func (m *Memory) Blob(ctx context.Context, desc ocispec.Descriptor) (layout.Blob, error) {
	if err := m.fault(ctx, "blob", desc.Digest, 0, desc.Size); err != nil {
		return nil, err
	}
	b, ok := m.Content(desc.Digest)
	if !ok {
		return nil, fmt.Errorf("memory: %s: %w", desc.Digest, layout.ErrNotFound)
	}
	if int64(len(b)) != desc.Size {
		return nil, &layout.DigestError{Want: desc.Digest, WantSize: desc.Size, GotSize: int64(len(b))}
	}
	return &memoryBlob{m, b, desc.Digest}, nil
}

// Referrers lists what PushReferrer stored.
func (m *Memory) Referrers(ctx context.Context, subject ocispec.Descriptor, artifactType string) ([]ocispec.Descriptor, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var found []ocispec.Descriptor
	for _, d := range m.referrers[subject.Digest] {
		if artifactType == "" || d.ArtifactType == artifactType {
			found = append(found, d)
		}
	}
	return found, nil
}

// PushBlob stores content after checking it.
func (m *Memory) PushBlob(ctx context.Context, desc ocispec.Descriptor, b []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := layout.VerifyBytes(desc, b); err != nil {
		return err
	}
	m.AddDigest(desc.MediaType, desc.Digest, b)
	return nil
}

// PushReferrer stores a manifest and lists it for its subject.
func (m *Memory) PushReferrer(ctx context.Context, desc ocispec.Descriptor, manifest []byte, subject ocispec.Descriptor) error {
	doc, err := layout.ParseDocument(manifest, desc.MediaType)
	if err != nil {
		return err
	}
	if doc.Manifest == nil || doc.Manifest.Subject == nil || doc.Manifest.Subject.Digest != subject.Digest {
		return fmt.Errorf("memory: subject of %s: %w", desc.Digest, layout.ErrInvalid)
	}
	if err := m.PushBlob(ctx, desc, manifest); err != nil {
		return err
	}
	desc.ArtifactType = layout.ArtifactType(*doc.Manifest)
	desc.Annotations = doc.Manifest.Annotations
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, d := range m.referrers[subject.Digest] {
		if d.Digest == desc.Digest {
			return nil
		}
	}
	m.referrers[subject.Digest] = append(m.referrers[subject.Digest], desc)
	return nil
}

// Close does nothing.
func (m *Memory) Close() error { return nil }

type memoryBlob struct {
	m *Memory
	b []byte
	d digest.Digest
}

var _ layout.Blob = (*memoryBlob)(nil)

func (b *memoryBlob) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	b.m.Counters.Requests.Add(1)
	if err := b.m.fault(ctx, "readat", b.d, off, int64(len(p))); err != nil {
		return 0, err
	}
	switch {
	case off < 0:
		return 0, fmt.Errorf("offset %d: %w", off, layout.ErrInvalid)
	case off > b.Size():
		return 0, io.EOF
	}
	n := copy(p, b.b[off:])
	b.m.Counters.Bytes.Add(int64(n))
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (b *memoryBlob) Range(ctx context.Context, off, n int64) (io.ReadCloser, error) {
	b.m.Counters.Requests.Add(1)
	if err := b.m.fault(ctx, "range", b.d, off, n); err != nil {
		return nil, err
	}
	if off < 0 || n < 0 || off > b.Size() || n > b.Size()-off {
		return nil, fmt.Errorf("range of %d bytes at %d of %d: %w", n, off, b.Size(), layout.ErrInvalid)
	}
	return &memoryStream{ctx: ctx, b: b, rest: b.b[off : off+n]}, nil
}

func (b *memoryBlob) Size() int64           { return int64(len(b.b)) }
func (b *memoryBlob) Digest() digest.Digest { return b.d }
func (b *memoryBlob) Close() error          { return nil }

type memoryStream struct {
	ctx  context.Context // governs the stream, as layout.Blob says
	b    *memoryBlob
	rest []byte
}

func (s *memoryStream) Read(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	if len(s.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	s.b.m.Counters.Bytes.Add(int64(n))
	return n, nil
}

func (s *memoryStream) Close() error { return nil }
