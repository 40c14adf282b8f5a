package layout

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Files is where the files of an image layout are: a directory or an archive. Names have
// slashes and are relative to the layout. Methods may be called from several goroutines.
type Files interface {
	// ReadFile reads a regular file whole. Errors: ErrNotFound, ErrTooLarge, ErrInvalid for
	// what is not a regular file.
	ReadFile(name string, limit int64) ([]byte, error)
	// OpenBlob opens a regular file as a blob with the size and digest of desc.
	// Errors: ErrNotFound, ErrInvalid, a *DigestError if the size differs.
	OpenBlob(name string, desc ocispec.Descriptor) (Blob, error)
	// Close frees what is held.
	Close() error
}

// versionFile is the content of oci-layout.
type versionFile struct {
	Version string `json:"imageLayoutVersion"`
}

// fileStore is a Store over the files of a layout.
type fileStore struct {
	files  Files
	ref    Reference
	limits Limits
}

// NewStore makes a Store of the files of an image layout, after checking that it is one
// (LAY-1). Closing the store closes the files; when NewStore fails they stay open.
// Errors: ErrNotFound, ErrInvalid, ErrUnsupported for another version.
func NewStore(files Files, ref Reference, limits Limits) (Store, error) {
	return newFileStore(files, ref, limits)
}

func newFileStore(files Files, ref Reference, limits Limits) (*fileStore, error) {
	s := &fileStore{files: files, ref: ref, limits: limits.Filled()}
	raw, err := files.ReadFile(ocispec.ImageLayoutFile, s.limits.ConfigBytes)
	if err != nil {
		return nil, fmt.Errorf("layout %s: %w", ref.Path, err)
	}
	var v versionFile
	if err := DecodeJSON(raw, &v); err != nil {
		return nil, fmt.Errorf("layout %s: oci-layout: %w", ref.Path, err)
	}
	if v.Version != ocispec.ImageLayoutVersion {
		return nil, fmt.Errorf("layout %s: layout version %q: %w", ref.Path, v.Version, ErrUnsupported)
	}
	return s, nil
}

// index reads index.json (LAY-2).
func (s *fileStore) index() (*ocispec.Index, error) {
	raw, err := s.files.ReadFile(ocispec.ImageIndexFile, s.limits.IndexBytes)
	if err != nil {
		return nil, fmt.Errorf("layout %s: %w", s.ref.Path, err)
	}
	doc, err := ParseDocument(raw, ocispec.MediaTypeImageIndex)
	if err != nil {
		return nil, fmt.Errorf("layout %s: index.json: %w", s.ref.Path, err)
	}
	return doc.Index, nil
}

// Resolve finds the entry of index.json that the reference names (LAY-7 to LAY-10).
func (s *fileStore) Resolve(ctx context.Context) (ocispec.Descriptor, error) {
	idx, err := s.index()
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	d, err := s.selectEntry(ctx, idx.Manifests)
	if err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("layout %s: %w", s.ref.Path, err)
	}
	return d, nil
}

// blobPath is the place of a blob in a layout (LAY-11).
func blobPath(d digest.Digest) (string, error) {
	if err := CheckDigest(d); err != nil {
		return "", err
	}
	return ocispec.ImageBlobsDir + "/" + string(d.Algorithm()) + "/" + d.Encoded(), nil
}

func (s *fileStore) Document(ctx context.Context, desc ocispec.Descriptor, manifest bool) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := CheckDescriptor(desc); err != nil {
		return nil, err
	}
	limit := s.limits.ConfigBytes
	if manifest {
		limit = s.limits.ManifestBytes
	}
	if desc.Size > limit {
		return nil, tooLarge(string(desc.Digest), desc.Size, limit)
	}
	name, err := blobPath(desc.Digest)
	if err != nil {
		return nil, err
	}
	b, err := s.files.ReadFile(name, limit)
	if err != nil {
		return nil, fmt.Errorf("layout %s: blob %s: %w", s.ref.Path, desc.Digest, err)
	}
	if err := VerifyBytes(desc, b); err != nil {
		return nil, fmt.Errorf("layout %s: blob %w", s.ref.Path, err)
	}
	return b, nil
}

func (s *fileStore) Blob(ctx context.Context, desc ocispec.Descriptor) (Blob, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := CheckDescriptor(desc); err != nil {
		return nil, err
	}
	name, err := blobPath(desc.Digest)
	if err != nil {
		return nil, err
	}
	b, err := s.files.OpenBlob(name, desc)
	if err != nil {
		return nil, fmt.Errorf("layout %s: blob %s: %w", s.ref.Path, desc.Digest, err)
	}
	return b, nil
}

// Referrers looks through index.json for manifests with the subject, and for the
// image index of the fallback tag (ART-11).
func (s *fileStore) Referrers(ctx context.Context, subject ocispec.Descriptor, artifactType string) ([]ocispec.Descriptor, error) {
	idx, err := s.index()
	if err != nil {
		return nil, err
	}
	seen := map[digest.Digest]bool{}
	var found []ocispec.Descriptor
	add := func(d ocispec.Descriptor) {
		if !seen[d.Digest] && (artifactType == "" || d.ArtifactType == artifactType) {
			seen[d.Digest] = true
			found = append(found, d)
		}
	}
	reads := 0
	for _, d := range idx.Manifests {
		if d.Annotations[ocispec.AnnotationRefName] == FallbackTag(subject.Digest) && KindOf(d.MediaType) == KindIndex {
			doc, err := s.parsed(ctx, d)
			if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
				return nil, err
			}
			if err != nil {
				continue // a listed manifest may be missing (REG-33)
			}
			for _, r := range doc.Index.Manifests {
				add(r)
			}
			continue
		}
		if reads++; KindOf(d.MediaType) == KindUnknown || reads > s.limits.Documents {
			continue
		}
		doc, err := s.parsed(ctx, d)
		if err != nil {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			continue
		}
		if sub := doc.subject(); sub == nil || sub.Digest != subject.Digest {
			continue
		}
		add(doc.referrer(d))
	}
	return found, nil
}

func (s *fileStore) parsed(ctx context.Context, d ocispec.Descriptor) (*Document, error) {
	raw, err := ReadDocument(ctx, s, d, true, s.limits.ManifestBytes, nil)
	if err != nil {
		return nil, err
	}
	return ParseDocument(raw, d.MediaType)
}

func (d *Document) subject() *ocispec.Descriptor {
	if d.Manifest != nil {
		return d.Manifest.Subject
	}
	return d.Index.Subject
}

// referrer is the descriptor of a document as a list of referrers gives it.
func (d *Document) referrer(at ocispec.Descriptor) ocispec.Descriptor {
	r := ocispec.Descriptor{MediaType: at.MediaType, Digest: at.Digest, Size: at.Size}
	if d.Manifest != nil {
		r.ArtifactType, r.Annotations = ArtifactType(*d.Manifest), d.Manifest.Annotations
	} else {
		r.ArtifactType, r.Annotations = d.Index.ArtifactType, d.Index.Annotations
	}
	return r
}

// FallbackTag is the tag under which a store without a referrers API keeps the list of a
// manifest's referrers (REG-32).
// Source: distribution-spec v1.1, "Referrers Tag Schema".
func FallbackTag(d digest.Digest) string {
	cut := func(s string, n int) string { return s[:min(n, len(s))] }
	tag := []byte(cut(string(d.Algorithm()), 32) + "-" + cut(d.Encoded(), 64))
	for i, c := range tag {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '.', c == '_', c == '-':
		default:
			tag[i] = '-'
		}
	}
	return string(tag)
}

func (s *fileStore) Close() error { return s.files.Close() }

// encodeIndex writes an image index that this package made up.
func encodeIndex(entries []ocispec.Descriptor) ([]byte, ocispec.Descriptor, error) {
	idx := ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Manifests: entries}
	idx.SchemaVersion = 2
	raw, err := json.Marshal(idx)
	if err != nil {
		return nil, ocispec.Descriptor{}, err
	}
	return raw, ocispec.Descriptor{
		MediaType: ocispec.MediaTypeImageIndex, Digest: digest.FromBytes(raw), Size: int64(len(raw)), Data: raw,
	}, nil
}
