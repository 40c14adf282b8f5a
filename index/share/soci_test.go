package share

import (
	"encoding/json"
	"errors"
	"testing"

	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/shalefs/shalefs/index/foreign/ztoc"
	"github.com/shalefs/shalefs/layout"
)

// TestSOCI: FMT-14: a SOCI index is found as a referrer (version 1) or in the image
// index (version 2); a layer without a ztoc, or with one that is not what its
// descriptor says, is told so.
func TestSOCI(t *testing.T) {
	image := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString("image"), Size: 5}
	layer, other := digest.FromString("layer"), digest.FromString("other")
	for _, version := range []string{ztoc.IndexV1, ztoc.IndexV2} {
		s := &memStore{blobs: map[digest.Digest][]byte{}}
		broken := []byte("not a ztoc")
		m := ocispec.Manifest{ArtifactType: version, Config: ocispec.DescriptorEmptyJSON,
			Layers: []ocispec.Descriptor{{MediaType: "application/octet-stream", Digest: digest.FromBytes(broken), Size: int64(len(broken)),
				Annotations: map[string]string{"com.amazon.soci.image-layer-digest": layer.String()}}}}
		if version == ztoc.IndexV1 {
			m.Subject = &image
		}
		raw, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		d := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromBytes(raw), Size: int64(len(raw))}
		s.blobs[d.Digest], s.blobs[digest.FromBytes(broken)] = raw, broken
		var siblings []ocispec.Descriptor
		if version == ztoc.IndexV1 {
			s.referrers = append(s.referrers, d)
		} else {
			d.Annotations = map[string]string{ztoc.ManifestDigest: image.Digest.String()}
			siblings = append(siblings, image, d)
		}
		x, err := DiscoverSOCI(t.Context(), s, image, siblings, nil)
		if err != nil {
			t.Fatal(err)
		}
		blob := &memBlob{s: s, d: ocispec.Descriptor{Digest: layer, Size: 100}}
		if _, err := x.Layer(t.Context(), blob); err == nil {
			t.Error("a broken ztoc is taken")
		}
		s.blobs[digest.FromBytes(broken)] = []byte("NOT a ztoc")
		if _, err := x.Layer(t.Context(), blob); !errors.Is(err, layout.ErrDigest) {
			t.Errorf("a ztoc with another digest: %v", err)
		}
		blob.d.Digest = other
		if _, err := x.Layer(t.Context(), blob); !errors.Is(err, layout.ErrNotFound) {
			t.Errorf("a layer without one: %v", err)
		}
		if _, err := DiscoverSOCI(t.Context(), &memStore{}, image, nil, nil); !errors.Is(err, layout.ErrNotFound) {
			t.Errorf("no index: %v", err)
		}
	}
}
