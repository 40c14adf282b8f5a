package share

import (
	"context"
	"fmt"
	"log/slog"

	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/shalefs/shalefs/index"
	"github.com/shalefs/shalefs/index/foreign"
	"github.com/shalefs/shalefs/index/foreign/ztoc"
	"github.com/shalefs/shalefs/layout"
)

// A SOCI is another program's artifact with indexes of an image's layers. Nothing binds
// it to the layers, so it is used under the policy for such (DIG-14, FMT-14).
type SOCI struct {
	store layout.Store
	index *ztoc.Index
}

// DiscoverSOCI finds a SOCI index of an image, given the descriptor of its manifest: one
// that stands beside it in the image index, whose manifests are siblings (version 2),
// else a referrer (version 1).
// Errors: layout.ErrNotFound if there is none that can be used; those of the store.
func DiscoverSOCI(ctx context.Context, s layout.Store, image ocispec.Descriptor, siblings []ocispec.Descriptor, log *slog.Logger) (*SOCI, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	var list []ocispec.Descriptor
	for _, d := range siblings {
		if d.Annotations[ztoc.ManifestDigest] == image.Digest.String() {
			list = append(list, d)
		}
	}
	if len(list) == 0 {
		var err error
		if list, err = s.Referrers(ctx, image, ztoc.IndexV1); err != nil {
			return nil, err
		}
	}
	for i, d := range list {
		if i == maxCandidates {
			break
		}
		x, err := openSOCI(ctx, s, d, image.Digest)
		if err == nil {
			return x, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		log.Warn("SOCI index is not used", "artifact", d.Digest, "err", err)
	}
	return nil, fmt.Errorf("SOCI index of %s: %w", image.Digest, layout.ErrNotFound)
}

func openSOCI(ctx context.Context, s layout.Store, d ocispec.Descriptor, subject digest.Digest) (*SOCI, error) {
	b, err := s.Document(ctx, d, true)
	if err != nil {
		return nil, err
	}
	x, err := ztoc.ParseIndex(b)
	if err != nil {
		return nil, err
	}
	if x.Version == 1 && x.Subject != subject {
		return nil, fmt.Errorf("%w: SOCI index of %s", index.ErrMismatch, x.Subject)
	}
	return &SOCI{store: s, index: x}, nil
}

// Layer makes the index file of a layer from its ztoc, which it fetches whole.
// Errors: layout.ErrNotFound if there is no ztoc of it; layout.ErrDigest, those of
// package ztoc and of index.FromForeign; those of the store.
func (s *SOCI) Layer(ctx context.Context, blob layout.Blob) ([]byte, error) {
	d, ok := s.index.Find(blob.Digest())
	if !ok {
		return nil, fmt.Errorf("ztoc of layer %s: %w", blob.Digest(), layout.ErrNotFound)
	}
	b, err := s.fetch(ctx, d.Blob)
	if err != nil {
		return nil, fmt.Errorf("ztoc %s: %w", d.Blob.Digest, err)
	}
	z, err := ztoc.Parse(b, blob.Size())
	if err != nil {
		return nil, fmt.Errorf("ztoc %s: %w", d.Blob.Digest, err)
	}
	format := "gzip"
	if z.Format == ztoc.Uncompressed {
		format = "tar"
	}
	return index.FromForeign(blob, format, &z.Index)
}

// fetch reads a ztoc and checks its digest; it is too large for a document.
func (s *SOCI) fetch(ctx context.Context, d ocispec.Descriptor) ([]byte, error) {
	if d.Size > foreign.MaxPacked {
		return nil, fmt.Errorf("%d bytes: %w", d.Size, layout.ErrTooLarge)
	}
	blob, err := s.store.Blob(ctx, d)
	if err != nil {
		return nil, err
	}
	defer func() { _ = blob.Close() }()
	b := make([]byte, d.Size)
	if _, err := blob.ReadAt(ctx, b, 0); err != nil {
		return nil, err
	}
	if !d.Digest.Algorithm().Available() {
		return nil, fmt.Errorf("%w: algorithm %.40q", layout.ErrUnsupported, d.Digest.Algorithm())
	}
	if got := d.Digest.Algorithm().FromBytes(b); got != d.Digest {
		return nil, fmt.Errorf("%w: %s", layout.ErrDigest, got)
	}
	return b, nil
}
