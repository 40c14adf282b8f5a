package ztoc

import (
	"encoding/json"
	"strconv"

	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/shalefs/shalefs/index/foreign"
)

// Types and annotations of SOCI.
const (
	// IndexV1 and IndexV2 are the artifact types (and config types) of the SOCI index.
	IndexV1 = "application/vnd.amazon.soci.index.v1+json"
	IndexV2 = "application/vnd.amazon.soci.index.v2+json"
	// IndexDigest, on an image manifest, is the digest of its SOCI index (v2).
	IndexDigest = "com.amazon.soci.index-digest"
	// ManifestDigest, on a SOCI index's descriptor in an image index, is the digest of the image
	// manifest that it is for (v2).
	ManifestDigest = "com.amazon.soci.image-manifest-digest"

	annLayer     = "com.amazon.soci.image-layer-digest"
	annLayerType = "com.amazon.soci.image-layer-mediaType"
	annSpanSize  = "com.amazon.soci.span-size"
	mediaTypeOCI = "application/octet-stream"
)

// maxIndex is the longest SOCI index, in bytes; it is a manifest (ERR-6).
const maxIndex = 4 << 20

// An Index is a SOCI index: which layers have a ztoc.
type Index struct {
	// Version is 1 or 2.
	Version int
	// Subject is the image manifest of a version 1 index; empty in version 2.
	Subject digest.Digest
	// Ztocs are in the order of the index; layers may be missing.
	Ztocs []Descriptor
}

// A Descriptor is a ztoc in a SOCI index.
type Descriptor struct {
	// Blob is the ztoc itself.
	Blob ocispec.Descriptor
	// Layer and LayerType are the layer it is for.
	Layer     digest.Digest
	LayerType string
	// SpanBytes is the distance of checkpoints in decoded bytes; 0 if not said.
	SpanBytes int64
}

// ParseIndex reads a SOCI index, version 1 or 2. Blobs that are no ztocs are passed over (a
// prefetch list).
// Errors: foreign.ErrInvalid, ErrUnsupported (a manifest of another kind), ErrTooLarge.
func ParseIndex(b []byte) (*Index, error) {
	if len(b) > maxIndex {
		return nil, foreign.ErrTooLarge
	}
	var m ocispec.Manifest
	if err := json.Unmarshal(b, &m); err != nil {
		return nil, foreign.Invalidf("SOCI index: %v", err)
	}
	kind := m.ArtifactType
	if kind == "" {
		kind = m.Config.MediaType
	}
	x := &Index{}
	switch kind {
	case IndexV1:
		x.Version = 1
		if m.Subject == nil || m.Subject.Digest.Validate() != nil {
			return nil, foreign.Invalidf("SOCI index without a subject")
		}
		x.Subject = m.Subject.Digest
	case IndexV2:
		x.Version = 2
	default:
		return nil, foreign.Unsupportedf("SOCI index of type %.80q", kind)
	}
	for _, d := range m.Layers {
		layer, ok := d.Annotations[annLayer]
		if !ok || d.MediaType != mediaTypeOCI {
			continue
		}
		z := Descriptor{Blob: d, Layer: digest.Digest(layer), LayerType: d.Annotations[annLayerType]}
		if z.Layer.Validate() != nil || d.Digest.Validate() != nil || d.Size < 0 {
			return nil, foreign.Invalidf("SOCI index: ztoc of layer %.80q", layer)
		}
		if s := d.Annotations[annSpanSize]; s != "" {
			n, err := strconv.ParseInt(s, 10, 64)
			if err != nil || n <= 0 {
				return nil, foreign.Invalidf("SOCI index: span size %.20q", s)
			}
			z.SpanBytes = n
		}
		x.Ztocs = append(x.Ztocs, z)
	}
	return x, nil
}

// Find returns the ztoc of a layer.
func (x *Index) Find(layer digest.Digest) (Descriptor, bool) {
	for _, z := range x.Ztocs {
		if z.Layer == layer {
			return z, true
		}
	}
	return Descriptor{}, false
}
