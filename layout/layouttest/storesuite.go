package layouttest

import (
	"bytes"
	"context"
	"errors"
	"testing"

	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/shalefs/shalefs/layout"
)

// Expected is what a store that TestStore gets must hold.
type Expected struct {
	// Root is what Resolve must return; only its digest and size are compared. An empty
	// digest leaves them unchecked.
	Root ocispec.Descriptor
	// Layers are the bytes of the layers as the store keeps them, base first.
	Layers [][]byte
	// DiffIDs are those of the config.
	DiffIDs []digest.Digest
	// Platform is the image's.
	Platform layout.Platform
}

// Expect describes an image that is Root of a Memory, or below it.
func (m *Memory) Expect(t *testing.T) Expected {
	t.Helper()
	img, err := layout.LoadImage(context.Background(), m, layout.Platform{})
	if err != nil {
		t.Fatalf("LoadImage: %v", err)
	}
	e := Expected{Root: m.Root, DiffIDs: img.DiffIDs, Platform: img.Platform}
	for _, l := range img.Layers {
		b, ok := m.Content(l.Digest)
		if !ok {
			t.Fatalf("layer %s is not there", l.Digest)
		}
		e.Layers = append(e.Layers, b)
	}
	return e
}

// TestStore checks that a store keeps the promises of layout.Store. open opens one that
// holds an image, and says which; the suite closes it.
func TestStore(t *testing.T, open func(t *testing.T) (layout.Store, Expected)) {
	t.Helper()
	opened := func(t *testing.T) (layout.Store, Expected) {
		t.Helper()
		s, e := open(t)
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		})
		return s, e
	}
	t.Run("Resolve", func(t *testing.T) {
		s, e := opened(t)
		for range 2 {
			d, err := s.Resolve(context.Background())
			if err != nil {
				t.Fatalf("Resolve: %v", err)
			}
			if e.Root.Digest != "" && (d.Digest != e.Root.Digest || d.Size != e.Root.Size) {
				t.Errorf("Resolve: got %s, %d bytes; want %s, %d", d.Digest, d.Size, e.Root.Digest, e.Root.Size)
			}
			if layout.KindOf(d.MediaType) == layout.KindUnknown {
				t.Errorf("Resolve: media type %q", d.MediaType)
			}
		}
	})
	t.Run("Image", func(t *testing.T) {
		s, e := opened(t)
		testImage(t, s, e)
	})
	t.Run("Document", func(t *testing.T) {
		s, _ := opened(t)
		testDocument(t, s)
	})
	t.Run("Missing", func(t *testing.T) {
		s, _ := opened(t)
		testMissing(t, s)
	})
	t.Run("Canceled", func(t *testing.T) {
		s, _ := opened(t)
		img := loadImage(t, s)
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if _, err := s.Document(ctx, img.Descriptor, true); !errors.Is(err, context.Canceled) {
			t.Errorf("Document after cancel: %v", err)
		}
	})
	t.Run("Push", func(t *testing.T) {
		s, _ := opened(t)
		if p, ok := s.(layout.Pusher); ok {
			testPush(t, s, p)
		}
	})
}

func loadImage(t *testing.T, s layout.Store) *layout.Image {
	t.Helper()
	img, err := layout.LoadImage(context.Background(), s, layout.Platform{})
	if err != nil {
		t.Fatalf("LoadImage: %v", err)
	}
	return img
}

func testImage(t *testing.T, s layout.Store, e Expected) {
	img := loadImage(t, s)
	if len(img.Layers) != len(e.Layers) {
		t.Fatalf("got %d layers, want %d", len(img.Layers), len(e.Layers))
	}
	if got, want := layout.FormatPlatform(img.Platform), layout.FormatPlatform(layout.NormalizePlatform(e.Platform)); got != want {
		t.Errorf("platform: got %s, want %s", got, want)
	}
	for i, l := range img.Layers {
		if img.DiffIDs[i] != e.DiffIDs[i] {
			t.Errorf("diffID %d: got %s, want %s", i, img.DiffIDs[i], e.DiffIDs[i])
		}
		if err := layout.VerifyBytes(l, e.Layers[i]); err != nil {
			t.Errorf("layer %d: %v", i, err)
		}
		t.Run("Layer", func(t *testing.T) {
			TestBlob(t, e.Layers[i], func(t *testing.T) layout.Blob {
				b, err := layout.OpenBlob(context.Background(), s, l)
				if err != nil {
					t.Fatalf("OpenBlob: %v", err)
				}
				if b.Digest() != l.Digest {
					t.Errorf("Digest: got %s, want %s", b.Digest(), l.Digest)
				}
				return b
			})
		})
	}
}

// testDocument asks for documents right, and with descriptors that lie.
func testDocument(t *testing.T, s layout.Store) {
	ctx := context.Background()
	img := loadImage(t, s)
	got, err := s.Document(ctx, img.Descriptor, true)
	if err != nil || !bytes.Equal(got, img.RawManifest) {
		t.Errorf("Document(manifest): %v, or wrong bytes", err)
	}
	got, err = s.Document(ctx, img.Manifest.Config, false)
	if err != nil || !bytes.Equal(got, img.RawConfig) {
		t.Errorf("Document(config): %v, or wrong bytes", err)
	}
	for _, delta := range []int64{-1, 1} {
		d := img.Descriptor
		d.Size += delta
		if got, err := s.Document(ctx, d, true); err == nil {
			t.Errorf("Document, size off by %d: no error, %d bytes", delta, len(got))
		}
	}
	d := img.Descriptor
	d.Size = 1 << 40
	if _, err := s.Document(ctx, d, true); !errors.Is(err, layout.ErrTooLarge) {
		t.Errorf("Document of 1 TiB: %v", err)
	}
}

func testMissing(t *testing.T, s layout.Store) {
	ctx := context.Background()
	gone := []byte("nobody has this")
	d := ocispec.Descriptor{
		MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromBytes(gone), Size: int64(len(gone)),
	}
	for _, manifest := range []bool{true, false} {
		if _, err := s.Document(ctx, d, manifest); !errors.Is(err, layout.ErrNotFound) {
			t.Errorf("Document(manifest %v): got %v, want ErrNotFound", manifest, err)
		}
	}
	b, err := s.Blob(ctx, d)
	if err == nil { // Blob may do no input or output at all
		_, err = b.ReadAt(ctx, make([]byte, 1), 0)
		_ = b.Close()
	}
	if !errors.Is(err, layout.ErrNotFound) {
		t.Errorf("Blob: got %v, want ErrNotFound", err)
	}
	if refs, err := s.Referrers(ctx, d, ""); err != nil || len(refs) != 0 {
		t.Errorf("Referrers of nothing: got %d, %v", len(refs), err)
	}
}

func testPush(t *testing.T, s layout.Store, p layout.Pusher) {
	ctx := context.Background()
	img := loadImage(t, s)
	const artifactType = "application/vnd.example.test.v1+json"
	src := NewMemory()
	content := Bytes(3000)
	man := ocispec.Manifest{
		MediaType: ocispec.MediaTypeImageManifest, ArtifactType: artifactType,
		Config: ocispec.DescriptorEmptyJSON, Subject: &img.Descriptor,
		Layers:      []ocispec.Descriptor{src.Add("application/vnd.example.blob", content)},
		Annotations: map[string]string{"org.example.note": "hello"},
	}
	man.SchemaVersion = 2
	desc := src.AddJSON(man.MediaType, man)
	raw, _ := src.Content(desc.Digest)
	for range 2 { // the second time changes nothing
		for _, d := range []ocispec.Descriptor{man.Layers[0], man.Config} {
			b, ok := src.Content(d.Digest)
			if !ok {
				b = []byte("{}")
			}
			if err := p.PushBlob(ctx, d, b); err != nil {
				t.Fatalf("PushBlob: %v", err)
			}
		}
		if err := p.PushReferrer(ctx, desc, raw, img.Descriptor); err != nil {
			t.Fatalf("PushReferrer: %v", err)
		}
	}
	for typ, want := range map[string]int{"": 1, artifactType: 1, "application/other": 0} {
		refs, err := s.Referrers(ctx, img.Descriptor, typ)
		if err != nil || len(refs) != want {
			t.Errorf("Referrers(%q): got %d, %v; want %d", typ, len(refs), err, want)
			continue
		}
		if want == 1 && (refs[0].Digest != desc.Digest || refs[0].ArtifactType != artifactType) {
			t.Errorf("Referrers(%q): got %+v", typ, refs[0])
		}
	}
	if got, err := s.Document(ctx, desc, true); err != nil || !bytes.Equal(got, raw) {
		t.Errorf("Document of the referrer: %v, or wrong bytes", err)
	}
	TestBlob(t, content, func(t *testing.T) layout.Blob {
		b, err := s.Blob(ctx, man.Layers[0])
		if err != nil {
			t.Fatalf("Blob: %v", err)
		}
		return b
	})
	if after := loadImage(t, s); after.Descriptor.Digest != img.Descriptor.Digest {
		t.Errorf("the reference names %s now, not %s", after.Descriptor.Digest, img.Descriptor.Digest)
	}
	bad := man.Layers[0]
	bad.Digest = digest.FromString("other")
	if err := p.PushBlob(ctx, bad, content); !errors.Is(err, layout.ErrDigest) {
		t.Errorf("PushBlob with a wrong digest: %v", err)
	}
}
