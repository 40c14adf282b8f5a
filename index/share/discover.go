package share

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"

	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/shalefs/shalefs/index"
	"github.com/shalefs/shalefs/layout"
)

const (
	// ArtifactType is the type of the artifact that holds the indexes of an image.
	ArtifactType = "application/vnd.shalefs.index.v1+json"
	// PackMediaType is the type of its one blob.
	PackMediaType = "application/vnd.shalefs.index.pack.v1"

	// ProfileMediaType is the type of the profile that may accompany it.
	ProfileMediaType = "application/vnd.shalefs.profile.v1"

	// Annotations of the artifact's manifest.
	annPack        = "vnd.shalefs.index.pack"         // digest of the pack
	annPackSize    = "vnd.shalefs.index.pack.size"    // its size in bytes
	annHead        = "vnd.shalefs.index.head"         // digest of its head
	annHeadSize    = "vnd.shalefs.index.head.size"    // its size in bytes
	annProfile     = "vnd.shalefs.index.profile"      // digest of the profile, if there is one
	annProfileSize = "vnd.shalefs.index.profile.size" // its size in bytes
	annLayer       = "vnd.shalefs.index.layer"        // on the blob: digests of the layers, separated by commas

	maxCandidates = 4
	// maxProfile bounds a profile in bytes.
	maxProfile = 16 << 20
)

// Options are the settings of Discover. The zero value works.
type Options struct {
	// Docs keeps what was found and fetched; nil for nothing.
	Docs Docs
	// Logger takes what was found but could not be used; nil is silence.
	Logger *slog.Logger
	// Digest, if not empty, is the digest that the artifact's manifest must have
	// (--index-digest); others are passed over.
	Digest digest.Digest
}

// found is where a pack is. It is kept as a document.
type found struct {
	Artifact    ocispec.Descriptor // the manifest, or only its digest
	Pack        digest.Digest
	Size        int64
	Head        digest.Digest
	HeadSize    int64
	Profile     digest.Digest // empty if there is none
	ProfileSize int64
	// Checked says that this was read in the manifest itself, not in a list of referrers.
	Checked bool
}

// blob is the descriptor of the pack.
func (f *found) blob() ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: PackMediaType, Digest: f.Pack, Size: f.Size}
}

// Discover finds the indexes that were pushed for an image, given its manifest, and
// opens them. It costs at most three requests (the list of referrers, the artifact's
// manifest unless the list has its annotations, and the head), and none if it
// was found before and is in Docs.
// Errors: layout.ErrNotFound if there is none that can be used; those of the store.
func Discover(ctx context.Context, s layout.Store, image ocispec.Descriptor, opt Options) (*Pack, error) {
	if opt.Logger == nil {
		opt.Logger = slog.New(slog.DiscardHandler)
	}
	if p := fromDocs(s, image, opt); p != nil {
		return p, nil
	}
	list, err := s.Referrers(ctx, image, ArtifactType)
	if err != nil {
		return nil, err
	}
	tried := 0
	for _, d := range list {
		if d.ArtifactType != "" && d.ArtifactType != ArtifactType || opt.Digest != "" && d.Digest != opt.Digest {
			continue
		}
		if tried++; tried > maxCandidates {
			break
		}
		p, err := openArtifact(ctx, s, image, d, opt)
		if err == nil {
			return p, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		opt.Logger.Warn("pushed index is not used", "artifact", d.Digest, "err", err)
	}
	return nil, fmt.Errorf("pushed index of %s: %w", image.Digest, layout.ErrNotFound)
}

// fromDocs opens a pack that was found before. What it needs of it later may still
// have to be fetched.
func fromDocs(s layout.Store, image ocispec.Descriptor, opt Options) *Pack {
	if opt.Docs == nil {
		return nil
	}
	b, err := opt.Docs.GetDoc(docFound, image.Digest.String())
	if err != nil {
		return nil
	}
	var f found
	if json.Unmarshal(b, &f) != nil || f.check() != nil || opt.Digest != "" && (f.Artifact.Digest != opt.Digest || !f.Checked) {
		return nil
	}
	head, err := opt.Docs.GetDoc(docHead, f.Pack.String())
	if err != nil || f.Head.Algorithm().FromBytes(head) != f.Head {
		return nil
	}
	p, err := newPack(f, head, opt.Docs, opt.Logger)
	if err != nil {
		return nil
	}
	p.store = s
	p.pin(opt.Digest)
	return p
}

// openArtifact opens the pack of one artifact.
func openArtifact(ctx context.Context, s layout.Store, image, d ocispec.Descriptor, opt Options) (*Pack, error) {
	f, err := foundIn(d.Annotations)
	f.Artifact = ocispec.Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size}
	// The list of referrers is no part of what a pinned digest covers.
	if err != nil || opt.Digest != "" {
		if f, err = readArtifact(ctx, s, image, d); err != nil {
			return nil, err
		}
	}
	blob, err := s.Blob(ctx, f.blob())
	if err != nil {
		return nil, err
	}
	p, err := openHead(ctx, blob, f, opt)
	if err != nil {
		_ = blob.Close()
		return nil, err
	}
	p.blob, p.store = blob, s
	if opt.Docs != nil {
		if b, err := json.Marshal(f); err == nil {
			if err := opt.Docs.PutDoc(docFound, image.Digest.String(), b); err != nil {
				opt.Logger.Debug("place of a pushed index is not kept", "err", err)
			}
		}
	}
	p.pin(opt.Digest)
	return p, nil
}

// pin binds the layers if the user named the artifact.
func (p *Pack) pin(want digest.Digest) {
	for _, l := range p.layers {
		if want != "" && want == p.found.Artifact.Digest && p.found.Checked {
			l.Bind()
		}
	}
}

// HasProfile says whether a profile was pushed with the indexes.
func (p *Pack) HasProfile() bool { return p.found.Profile != "" }

// Profile reads the profile that was pushed with the indexes, and checks its digest.
// Errors: layout.ErrNotFound if there is none; those of the store.
func (p *Pack) Profile(ctx context.Context) ([]byte, error) {
	f := p.found
	if f.Profile == "" {
		return nil, fmt.Errorf("profile: %w", layout.ErrNotFound)
	}
	if p.docs != nil {
		if b, err := p.docs.GetDoc(docProfile, f.Profile.String()); err == nil && f.Profile.Algorithm().FromBytes(b) == f.Profile {
			return b, nil
		}
	}
	b, err := p.store.Document(ctx, ocispec.Descriptor{MediaType: ProfileMediaType, Digest: f.Profile, Size: f.ProfileSize}, false)
	if err != nil {
		return nil, fmt.Errorf("profile: %w", err)
	}
	if p.docs != nil {
		if err := p.docs.PutDoc(docProfile, f.Profile.String(), b); err != nil {
			p.log.Debug("profile is not kept", "err", err)
		}
	}
	return b, nil
}

func openHead(ctx context.Context, blob layout.Blob, f found, opt Options) (*Pack, error) {
	head := make([]byte, f.HeadSize)
	if _, err := blob.ReadAt(ctx, head, 0); err != nil {
		return nil, err
	}
	if got := f.Head.Algorithm().FromBytes(head); got != f.Head {
		return nil, fmt.Errorf("head: %w: %s, not %s", layout.ErrDigest, got, f.Head)
	}
	p, err := newPack(f, head, opt.Docs, opt.Logger)
	if err != nil {
		return nil, err
	}
	if opt.Docs != nil {
		if err := opt.Docs.PutDoc(docHead, f.Pack.String(), head); err != nil {
			opt.Logger.Debug("head of a pushed index is not kept", "err", err)
		}
	}
	return p, nil
}

// readArtifact reads the artifact's manifest, where the list of referrers does not
// repeat its annotations, or cannot be trusted to.
func readArtifact(ctx context.Context, s layout.Store, image, d ocispec.Descriptor) (found, error) {
	b, err := s.Document(ctx, d, true)
	if err != nil {
		return found{}, err
	}
	var m ocispec.Manifest
	if err := json.Unmarshal(b, &m); err != nil {
		return found{}, fmt.Errorf("%w: %w", layout.ErrInvalid, err)
	}
	if m.Subject == nil || m.Subject.Digest != image.Digest {
		return found{}, fmt.Errorf("%w: artifact has another subject", index.ErrMismatch)
	}
	f, err := foundIn(m.Annotations)
	f.Checked = true
	f.Artifact = ocispec.Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size}
	return f, err
}

// foundIn reads annotations.
func foundIn(a map[string]string) (f found, err error) {
	f.Pack, f.Head = digest.Digest(a[annPack]), digest.Digest(a[annHead])
	var err1, err2 error
	f.Size, err1 = strconv.ParseInt(a[annPackSize], 10, 64)
	f.HeadSize, err2 = strconv.ParseInt(a[annHeadSize], 10, 64)
	var err3 error
	if p := a[annProfile]; p != "" {
		f.Profile = digest.Digest(p)
		f.ProfileSize, err3 = strconv.ParseInt(a[annProfileSize], 10, 64)
	}
	if err := errors.Join(err1, err2, err3); err != nil {
		return f, fmt.Errorf("%w: annotations: %w", layout.ErrInvalid, err)
	}
	return f, f.check()
}

func (f *found) check() error {
	if err := errors.Join(f.Pack.Validate(), f.Head.Validate()); err != nil {
		return fmt.Errorf("%w: %w", layout.ErrInvalid, err)
	}
	if f.Size < 0 || f.HeadSize < 0 || f.HeadSize > f.Size {
		return fmt.Errorf("%w: head of %d bytes in a pack of %d", layout.ErrInvalid, f.HeadSize, f.Size)
	}
	if f.Profile != "" {
		if err := f.Profile.Validate(); err != nil {
			return fmt.Errorf("%w: %w", layout.ErrInvalid, err)
		}
		if f.ProfileSize < 0 || f.ProfileSize > maxProfile {
			return fmt.Errorf("%w: profile of %d bytes", layout.ErrTooLarge, f.ProfileSize)
		}
	}
	if f.HeadSize > maxHead {
		return fmt.Errorf("%w: head of %d bytes", layout.ErrTooLarge, f.HeadSize)
	}
	return nil
}
