package layout

import (
	"context"
	"io"

	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// A Blob is one immutable, content-addressed sequence of bytes: a layer, as it
// is stored. Its methods may be called from several goroutines at a time.
//
// A Blob does not check content against its digest: a part of a blob cannot be.
// That is the work of its callers, who know the layer index.
type Blob interface {
	// ReadAt fills p with the bytes [off, off+len(p)). It returns len(p) and nil,
	// or fewer bytes and an error: io.EOF when the range ends past Size.
	// Errors: ErrUnavailable after the retries, ErrChanged if the blob is not
	// what the descriptor said (size), ctx.Err().
	ReadAt(ctx context.Context, p []byte, off int64) (int, error)

	// Range opens the bytes [off, off+n) as one stream, in one request where
	// there are requests. The stream resumes by itself after a lost connection,
	// and ends with io.EOF after exactly n bytes. The ctx governs the whole
	// stream. A range past Size is an error. Errors as ReadAt, also from Read.
	Range(ctx context.Context, off, n int64) (io.ReadCloser, error)

	// Size is the blob's length in bytes.
	Size() int64

	// Digest is the digest of the blob's bytes.
	Digest() digest.Digest

	// Close frees what the blob holds. Reads must have ended.
	Close() error
}

// A Store is a place that images come from: a registry repository, a layout
// directory, an archive. Its methods may be called from several goroutines.
type Store interface {
	// Resolve finds the descriptor that a reference's tag, name or digest stands
	// for: of a manifest or an image index, not yet a platform's manifest.
	// Errors: ErrNotFound, ErrAmbiguous, ErrUnavailable, ErrUnauthorized.
	Resolve(ctx context.Context) (ocispec.Descriptor, error)

	// Document reads a manifest, an image index or a config whole, with its size
	// limited and its digest checked. manifest says whether to ask the manifest
	// or the blob side of a registry.
	// Errors: ErrNotFound, ErrDigest, ErrTooLarge, ErrUnavailable.
	Document(ctx context.Context, desc ocispec.Descriptor, manifest bool) ([]byte, error)

	// Blob opens a blob for ranged reads. It may do no input or output at all.
	// Errors: ErrNotFound, ErrUnsupported.
	Blob(ctx context.Context, desc ocispec.Descriptor) (Blob, error)

	// Referrers lists the manifests whose subject is the given manifest, only
	// those with the artifact type unless that is empty. None is no error.
	// Source: distribution-spec v1.1, "Listing Referrers".
	Referrers(ctx context.Context, subject ocispec.Descriptor, artifactType string) ([]ocispec.Descriptor, error)

	// Close frees what the store holds. Blobs it opened must be closed first.
	Close() error
}

// A Pusher is a Store that can be written to. Only "index push" uses it (REG-1).
type Pusher interface {
	// PushBlob stores a blob; one that is there already is left as it is.
	PushBlob(ctx context.Context, desc ocispec.Descriptor, content []byte) error
	// PushReferrer stores a manifest that has a subject, so that Referrers of
	// that subject finds it. A registry without the referrers API gets the
	// fallback tag (distribution-spec v1.1, "Pushing Manifests with Subject").
	PushReferrer(ctx context.Context, desc ocispec.Descriptor, manifest []byte, subject ocispec.Descriptor) error
}
