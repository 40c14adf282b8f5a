package share

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	digest "github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/shalefs/shalefs/index"
	"github.com/shalefs/shalefs/layout"
)

// Push stores the indexes of an image's layers beside the image: the pack, then the
// manifest that refers to it; and with them a profile, unless it is empty, whose
// content is not this package's business. The same indexes give the same artifact. It
// returns the descriptor of the manifest, whose digest --index-digest takes.
// Errors: those of the store; an index that is not complete.
func Push(ctx context.Context, s layout.Pusher, image ocispec.Descriptor, layers []*index.Layer, profile []byte) (ocispec.Descriptor, error) {
	head, pieces, err := encode(layers)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	if len(head) > maxHead {
		return ocispec.Descriptor{}, fmt.Errorf("head of %d bytes: %w", len(head), layout.ErrTooLarge)
	}
	pack := append(head, pieces...)
	var names []string
	for _, l := range layers {
		names = append(names, l.Blob().String())
	}
	blob := ocispec.Descriptor{MediaType: PackMediaType, Digest: digest.FromBytes(pack), Size: int64(len(pack)),
		Annotations: map[string]string{annLayer: strings.Join(names, ",")}}
	m := ocispec.Manifest{
		Versioned:    specs.Versioned{SchemaVersion: 2},
		MediaType:    ocispec.MediaTypeImageManifest,
		ArtifactType: ArtifactType,
		Config:       ocispec.DescriptorEmptyJSON,
		Layers:       []ocispec.Descriptor{blob},
		Subject:      &ocispec.Descriptor{MediaType: image.MediaType, Digest: image.Digest, Size: image.Size},
		Annotations: map[string]string{
			annPack:     blob.Digest.String(),
			annPackSize: strconv.FormatInt(blob.Size, 10),
			annHead:     digest.FromBytes(head).String(),
			annHeadSize: strconv.Itoa(len(head)),
		},
	}
	if len(profile) > maxProfile {
		return ocispec.Descriptor{}, fmt.Errorf("profile of %d bytes: %w", len(profile), layout.ErrTooLarge)
	}
	if len(profile) > 0 {
		d := ocispec.Descriptor{MediaType: ProfileMediaType, Digest: digest.FromBytes(profile), Size: int64(len(profile))}
		m.Layers = append(m.Layers, d)
		m.Annotations[annProfile] = d.Digest.String()
		m.Annotations[annProfileSize] = strconv.Itoa(len(profile))
		if err := s.PushBlob(ctx, d, profile); err != nil {
			return ocispec.Descriptor{}, fmt.Errorf("push profile: %w", err)
		}
	}
	raw, err := json.Marshal(m)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	desc := ocispec.Descriptor{MediaType: m.MediaType, ArtifactType: ArtifactType, Digest: digest.FromBytes(raw),
		Size: int64(len(raw)), Annotations: m.Annotations}
	if err := s.PushBlob(ctx, blob, pack); err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("push pack: %w", err)
	}
	if err := s.PushBlob(ctx, ocispec.DescriptorEmptyJSON, ocispec.DescriptorEmptyJSON.Data); err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("push config: %w", err)
	}
	if err := s.PushReferrer(ctx, desc, raw, *m.Subject); err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("push manifest: %w", err)
	}
	return desc, nil
}
