package archive

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/shalefs/shalefs/layout"
)

// A saved image is an item of manifest.json.
type saved struct {
	Config   string   `json:"Config"`
	RepoTags []string `json:"RepoTags"`
	Layers   []string `json:"Layers"`
}

// A dockerStore is one image of a docker archive. The archive has no manifest in our
// sense; one is made up, the same each time.
type dockerStore struct {
	t        *table
	manifest []byte
	desc     ocispec.Descriptor
	config   []byte
	cfgDesc  ocispec.Descriptor
	layers   map[digest.Digest]entry
	limits   layout.Limits
}

var _ layout.Store = (*dockerStore)(nil)

func openDocker(ctx context.Context, t *table, ref layout.Reference, limits layout.Limits) (layout.Store, error) {
	limits = limits.Filled()
	raw, err := t.ReadFile("manifest.json", limits.IndexBytes)
	if err != nil {
		return nil, err
	}
	images, err := parseSaved(raw)
	if err != nil {
		return nil, fmt.Errorf("manifest.json: %w", err)
	}
	img, err := selectSaved(images, ref.Name)
	if err != nil {
		return nil, err
	}
	s := &dockerStore{t: t, layers: map[digest.Digest]entry{}, limits: limits}
	if err := s.build(ctx, img); err != nil {
		return nil, err
	}
	if ref.Digest != "" && ref.Digest != s.desc.Digest && ref.Digest != s.cfgDesc.Digest {
		return nil, fmt.Errorf("digest %s: %w; the image is %s", ref.Digest, layout.ErrNotFound, s.cfgDesc.Digest)
	}
	return s, nil
}

// parseSaved parses manifest.json (LAY-17).
func parseSaved(raw []byte) ([]saved, error) {
	var images []saved
	if err := layout.DecodeJSON(raw, &images); err != nil {
		return nil, err
	}
	return images, nil
}

// selectSaved chooses an image by name; without one, the only image.
func selectSaved(images []saved, name string) (saved, error) {
	found := images
	if name != "" {
		found = nil
		for _, img := range images {
			if slices.ContainsFunc(img.RepoTags, func(tag string) bool { return sameName(tag, name) }) {
				found = append(found, img)
			}
		}
	}
	switch {
	case len(found) == 0 && name == "":
		return saved{}, fmt.Errorf("no images: %w", layout.ErrNotFound)
	case len(found) == 0:
		return saved{}, fmt.Errorf("name %q: %w; there are: %s", name, layout.ErrNotFound, tagList(images))
	}
	for _, img := range found[1:] {
		if img.Config != found[0].Config {
			return saved{}, fmt.Errorf("%d images fit: %w; there are: %s", len(found), layout.ErrAmbiguous, tagList(found))
		}
	}
	return found[0], nil
}

// sameName compares a name of the archive with what the user typed: as it is, or
// both in their full form.
func sameName(tag, name string) bool {
	return tag == name || layout.FullName(tag) != "" && layout.FullName(tag) == layout.FullName(name)
}

func tagList(images []saved) string {
	var names []string
	for _, img := range images {
		if len(img.RepoTags) == 0 {
			names = append(names, fmt.Sprintf("%q", "@"+img.Config))
		}
		for _, tag := range img.RepoTags {
			names = append(names, fmt.Sprintf("%q", tag))
		}
	}
	if len(names) > 20 {
		names = append(names[:20], fmt.Sprintf("and %d more", len(names)-20))
	}
	return strings.Join(names, ", ")
}

// build reads the config and makes up the manifest.
func (s *dockerStore) build(ctx context.Context, img saved) error {
	if err := s.readConfig(img.Config); err != nil {
		return fmt.Errorf("config %q: %w", img.Config, err)
	}
	cfg, _, err := layout.ParseConfig(s.config)
	if err != nil {
		return fmt.Errorf("config %q: %w", img.Config, err)
	}
	if len(cfg.RootFS.DiffIDs) != len(img.Layers) { // LAY-19
		return fmt.Errorf("%d layers, but the config has %d diff_ids: %w", len(img.Layers), len(cfg.RootFS.DiffIDs), layout.ErrInvalid)
	}
	if n := len(img.Layers); n > s.limits.Layers {
		return fmt.Errorf("%d layers, the limit is %d: %w", n, s.limits.Layers, layout.ErrTooLarge)
	}
	man := ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, Config: s.cfgDesc, Layers: []ocispec.Descriptor{}}
	man.SchemaVersion = 2
	for i, name := range img.Layers {
		d, err := s.layer(ctx, name, cfg.RootFS.DiffIDs[i])
		if err != nil {
			return fmt.Errorf("layer %d %q: %w", i, name, err)
		}
		man.Layers = append(man.Layers, d)
	}
	if s.manifest, err = json.Marshal(man); err != nil {
		return err
	}
	s.desc = ocispec.Descriptor{
		MediaType: man.MediaType, Digest: digest.FromBytes(s.manifest), Size: int64(len(s.manifest)),
	}
	return nil
}

// readConfig reads the config. Its file is named after its sha256, which is checked.
func (s *dockerStore) readConfig(file string) error {
	name, err := cleanName(file)
	if err != nil {
		return err
	}
	e, err := s.t.regular(name, true)
	if err != nil {
		return err
	}
	if s.config, err = s.t.read(name, e, s.limits.ConfigBytes); err != nil {
		return err
	}
	s.cfgDesc = ocispec.Descriptor{
		MediaType: ocispec.MediaTypeImageConfig, Digest: digest.FromBytes(s.config), Size: e.size,
	}
	named := digest.NewDigestFromEncoded(digest.SHA256, strings.TrimSuffix(path.Base(name), ".json"))
	if layout.CheckDigest(named) == nil && named != s.cfgDesc.Digest {
		return &layout.DigestError{Want: named, Got: s.cfgDesc.Digest, WantSize: e.size, GotSize: e.size}
	}
	return nil
}

// layer finds a layer and makes its descriptor. Plain tars have their diffID for a digest, which
// whoever indexes the layer checks; of compressed ones the digest is computed here.
func (s *dockerStore) layer(ctx context.Context, file string, diffID digest.Digest) (ocispec.Descriptor, error) {
	name, err := cleanName(file)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	e, err := s.t.regular(name, true)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	d := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: diffID, Size: e.size}
	head := make([]byte, min(4, e.size))
	if _, err := s.t.f.ReadAt(head, e.off); err != nil && err != io.EOF {
		return ocispec.Descriptor{}, err
	}
	switch layout.SniffCompression(head) {
	case "gzip":
		d.MediaType = ocispec.MediaTypeImageLayerGzip
	case "zstd":
		d.MediaType = ocispec.MediaTypeImageLayerZstd
	}
	if d.MediaType != ocispec.MediaTypeImageLayer {
		h := digest.SHA256.Hash()
		if err := copyLimited(ctx, h, io.NewSectionReader(s.t.f, e.off, e.size), e.size); err != nil {
			return ocispec.Descriptor{}, err
		}
		d.Digest = digest.NewDigest(digest.SHA256, h)
	}
	if other, ok := s.layers[d.Digest]; ok && other.size != e.size {
		return ocispec.Descriptor{}, fmt.Errorf("two layers of %s have %d and %d bytes: %w", d.Digest, other.size, e.size, layout.ErrInvalid)
	}
	s.layers[d.Digest] = e
	return d, nil
}

func (s *dockerStore) Resolve(ctx context.Context) (ocispec.Descriptor, error) {
	return s.desc, ctx.Err()
}

func (s *dockerStore) Document(ctx context.Context, desc ocispec.Descriptor, _ bool) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if desc.Size > s.limits.ManifestBytes {
		return nil, fmt.Errorf("%s has %d bytes, the limit is %d: %w", desc.Digest, desc.Size, s.limits.ManifestBytes, layout.ErrTooLarge)
	}
	var b []byte
	switch desc.Digest {
	case s.desc.Digest:
		b = s.manifest
	case s.cfgDesc.Digest:
		b = s.config
	default:
		return nil, fmt.Errorf("archive: %s: %w", desc.Digest, layout.ErrNotFound)
	}
	if err := layout.VerifyBytes(desc, b); err != nil {
		return nil, err
	}
	return b, nil
}

func (s *dockerStore) Blob(ctx context.Context, desc ocispec.Descriptor) (layout.Blob, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	e, ok := s.layers[desc.Digest]
	if !ok {
		return nil, fmt.Errorf("archive: %s: %w", desc.Digest, layout.ErrNotFound)
	}
	return s.t.blob(e, desc)
}

// Referrers finds none: the format has no place for them.
func (s *dockerStore) Referrers(ctx context.Context, _ ocispec.Descriptor, _ string) ([]ocispec.Descriptor, error) {
	return nil, ctx.Err()
}

func (s *dockerStore) Close() error { return s.t.Close() }
