package layout

import (
	"context"
	"errors"
	"fmt"

	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// An Image is the documents of one image, or of one artifact, checked.
type Image struct {
	Root       ocispec.Descriptor // what Resolve gave: the manifest or an image index
	Descriptor ocispec.Descriptor // the manifest

	RawManifest []byte
	Manifest    ocispec.Manifest

	// ArtifactType is set for an artifact, which has neither Config nor DiffIDs.
	ArtifactType string

	RawConfig []byte
	Config    ocispec.Image
	Platform  Platform // from the config, normalised

	Layers   []ocispec.Descriptor // base first (MAN-7)
	DiffIDs  []digest.Digest      // one for each layer
	Warnings []string
}

// IsArtifact reports whether the manifest is an artifact's, not an image's (ART-1).
func (img *Image) IsArtifact() bool { return img.ArtifactType != "" }

// LoadOptions choose what LoadImageOptions loads.
type LoadOptions struct {
	// Platform is the wanted platform. The zero value is DefaultPlatform, and then a
	// manifest that was named itself may be for any platform (IDX-12).
	Platform Platform
	// ArtifactType selects an artifact of that type among the entries of an image
	// index (ART-9). Empty selects images.
	ArtifactType string
	// Limits bound documents and counts.
	Limits Limits
}

// LoadImage resolves a store's reference, chooses the manifest for a platform and
// loads and checks manifest and config. A zero p is this machine's platform, as a wish; any
// other p is a demand (IDX-12). An artifact is an error that names its type.
// Errors: the store's; ErrInvalid, ErrUnsupported, ErrTooLarge, ErrDigest; ErrNotFound
// when no entry is for the platform.
func LoadImage(ctx context.Context, s Store, p Platform) (*Image, error) {
	root, err := s.Resolve(ctx)
	if err != nil {
		return nil, err
	}
	return LoadImageAt(ctx, s, root, p)
}

// LoadImageAt is LoadImage from a descriptor that Resolve gave before.
func LoadImageAt(ctx context.Context, s Store, root ocispec.Descriptor, p Platform) (*Image, error) {
	return LoadImageOptions(ctx, s, root, LoadOptions{Platform: p})
}

// LoadImageOptions is LoadImageAt with options.
func LoadImageOptions(ctx context.Context, s Store, root ocispec.Descriptor, opt LoadOptions) (*Image, error) {
	img, err := LoadDocuments(ctx, s, root, opt)
	if err != nil {
		return nil, err
	}
	if err := img.CheckLayers(); err != nil {
		return nil, err
	}
	return img, nil
}

// LoadDocuments loads the documents of an image or of an artifact of any type, and leaves unchecked
// whether its layers can be shown: "inspect" works where "mount" must refuse (ART-2).
func LoadDocuments(ctx context.Context, s Store, root ocispec.Descriptor, opt LoadOptions) (*Image, error) {
	l := newLoader(s, opt)
	c, err := l.choose(ctx, root)
	if err != nil {
		return nil, err
	}
	img, err := l.image(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("manifest %s: %w", c.desc.Digest, err)
	}
	img.Root = root
	img.Warnings = append(l.warnings, img.Warnings...)
	if !img.IsArtifact() && c.direct {
		if err := l.checkDirect(img); err != nil {
			return nil, err
		}
	}
	return img, nil
}

// CheckLayers checks that the image is one that can be shown: every layer's type is known, and
// there is one diffID for each (MAN-11, FMT-15 to FMT-17).
func (img *Image) CheckLayers() error {
	if img.IsArtifact() {
		return fmt.Errorf("manifest %s is an artifact of type %q, not an image: %w", img.Descriptor.Digest, img.ArtifactType, ErrUnsupported)
	}
	for i, l := range img.Layers {
		if _, err := LayerCompression(l.MediaType); err != nil {
			return fmt.Errorf("layer %d %s: %w", i, l.Digest, err)
		}
	}
	if len(img.DiffIDs) != len(img.Layers) {
		return fmt.Errorf("manifest %s has %d layers, its config has %d diff_ids: %w",
			img.Descriptor.Digest, len(img.Layers), len(img.DiffIDs), ErrInvalid)
	}
	return nil
}

// A loader reads the documents of one image. It is used by one goroutine.
type loader struct {
	s        Store
	opt      LoadOptions
	want     Platform
	explicit bool
	limits   Limits
	reads    int
	warnings []string

	lastConfig ocispec.Descriptor // of lastRaw, the config that was read last (MAN-13)
	lastRaw    []byte
}

func newLoader(s Store, opt LoadOptions) *loader {
	l := &loader{s: s, opt: opt, want: opt.Platform, explicit: opt.Platform.OS != "", limits: opt.Limits.Filled()}
	if !l.explicit {
		l.want = DefaultPlatform()
	}
	l.want = NormalizePlatform(l.want)
	return l
}

func (l *loader) warn(s string) { l.warnings = append(l.warnings, s) }

// document reads and parses a manifest or an image index.
func (l *loader) document(ctx context.Context, desc ocispec.Descriptor) (*Document, []byte, error) {
	if err := CheckDescriptor(desc); err != nil {
		return nil, nil, err
	}
	if KindOf(desc.MediaType) == KindSchema1 {
		return nil, nil, fmt.Errorf("manifest %s: docker schema 1 manifest: %w", desc.Digest, ErrUnsupported)
	}
	if l.reads++; l.reads > l.limits.Documents {
		return nil, nil, fmt.Errorf("more than %d documents: %w", l.limits.Documents, ErrTooLarge)
	}
	raw, err := ReadDocument(ctx, l.s, desc, true, l.limits.ManifestBytes, l.warn)
	if err != nil {
		return nil, nil, fmt.Errorf("manifest %s: %w", desc.Digest, err)
	}
	doc, err := ParseDocument(raw, desc.MediaType)
	if err != nil {
		return nil, nil, fmt.Errorf("manifest %s: %w", desc.Digest, err)
	}
	return doc, raw, nil
}

// config reads a config, once.
func (l *loader) config(ctx context.Context, desc ocispec.Descriptor) ([]byte, error) {
	if l.lastRaw != nil && l.lastConfig.Digest == desc.Digest && l.lastConfig.Size == desc.Size {
		return l.lastRaw, nil
	}
	raw, err := ReadDocument(ctx, l.s, desc, false, l.limits.ConfigBytes, l.warn)
	if err == nil {
		l.lastConfig, l.lastRaw = desc, raw
	}
	return raw, err
}

// image loads the config of a chosen manifest and puts everything together.
func (l *loader) image(ctx context.Context, c chosen) (*Image, error) {
	m := c.doc.Manifest
	img := &Image{
		Descriptor: c.desc, RawManifest: c.raw, Manifest: *m, Layers: m.Layers,
		Warnings: c.doc.Warnings,
	}
	if n := len(m.Layers); n > l.limits.Layers {
		return nil, fmt.Errorf("%d layers, the limit is %d: %w", n, l.limits.Layers, ErrTooLarge)
	}
	for i, d := range append([]ocispec.Descriptor{m.Config}, m.Layers...) {
		if err := CheckDescriptor(d); err != nil {
			if i == 0 {
				return nil, fmt.Errorf("config: %w", err)
			}
			return nil, fmt.Errorf("layer %d: %w", i-1, err)
		}
	}
	if !IsImageConfig(c.doc.MediaType, m.Config.MediaType) {
		img.ArtifactType = ArtifactType(*m)
		if img.ArtifactType == "" {
			img.ArtifactType = "unknown"
		}
		return img, nil
	}
	raw, err := l.config(ctx, m.Config)
	if err != nil {
		return nil, fmt.Errorf("config %s: %w", m.Config.Digest, err)
	}
	cfg, warnings, err := ParseConfig(raw)
	if err != nil {
		return nil, fmt.Errorf("config %s: %w", m.Config.Digest, err)
	}
	img.RawConfig, img.Config, img.DiffIDs = raw, cfg, cfg.RootFS.DiffIDs
	img.Platform = NormalizePlatform(cfg.Platform)
	img.Warnings = append(img.Warnings, warnings...)
	return img, nil
}

// checkDirect compares the platform of a manifest that was not chosen from an image index:
// a difference is a warning, or an error if the platform was asked for (IDX-12).
func (l *loader) checkDirect(img *Image) error {
	if _, ok := MatchPlatform(l.want, img.Platform); ok || img.Platform.OS == "" && !l.explicit {
		return nil
	}
	msg := fmt.Sprintf("image is for %s, not %s", FormatPlatform(img.Platform), FormatPlatform(l.want))
	if l.explicit {
		return fmt.Errorf("manifest %s: %s: %w", img.Descriptor.Digest, msg, ErrNotFound)
	}
	img.Warnings = append(img.Warnings, msg)
	return nil
}

// missing reports an error that says a document is not there, which matters only if
// the document is the chosen one (IDX-5).
func missing(err error) bool { return errors.Is(err, ErrNotFound) }
