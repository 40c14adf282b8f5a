package layout

import (
	"context"
	"fmt"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Embedded returns the content that a descriptor carries itself: its checked data (DIG-9), the
// empty JSON object (DIG-10), or nothing at all for a size of 0 (DIG-11). ok is false when
// there is none. Data that is not what the descriptor says is an error, which
// callers report and then ignore.
func Embedded(desc ocispec.Descriptor) (b []byte, ok bool, err error) {
	switch {
	case desc.Digest == EmptyDigest && desc.Size == 2:
		return []byte("{}"), true, nil
	case desc.Size == 0 && len(desc.Data) == 0:
		if VerifyBytes(desc, nil) == nil {
			return nil, true, nil
		}
		return nil, false, nil
	case len(desc.Data) == 0:
		return nil, false, nil
	}
	if err := VerifyBytes(desc, desc.Data); err != nil {
		return nil, false, fmt.Errorf("embedded data ignored: %w", err)
	}
	return desc.Data, true, nil
}

// ReadDocument reads a manifest, an image index or a config: from the descriptor
// itself when that carries it, else from the store. Its size is limited before it is
// read, and size and digest are checked whatever the store did. warn, if not nil, is told
// about bad embedded data. Errors as Store.Document.
func ReadDocument(ctx context.Context, s Store, desc ocispec.Descriptor, manifest bool, limit int64, warn func(string)) ([]byte, error) {
	if err := CheckDescriptor(desc); err != nil {
		return nil, err
	}
	if desc.Size > limit {
		return nil, tooLarge(string(desc.Digest), desc.Size, limit)
	}
	b, ok, err := Embedded(desc)
	if ok {
		return b, nil
	}
	if err != nil && warn != nil {
		warn(err.Error())
	}
	b, err = s.Document(ctx, desc, manifest)
	if err != nil {
		return nil, err
	}
	if err := VerifyBytes(desc, b); err != nil {
		return nil, err
	}
	return b, nil
}

// OpenBlob opens a layer: from the descriptor itself when that carries its content,
// else from the store. Callers outside the stores open layers with it, so that embedded
// data costs no request anywhere. Errors as Store.Blob.
func OpenBlob(ctx context.Context, s Store, desc ocispec.Descriptor) (Blob, error) {
	if err := CheckDescriptor(desc); err != nil {
		return nil, err
	}
	if b, ok, _ := Embedded(desc); ok {
		return NewBytesBlob(desc, b)
	}
	return s.Blob(ctx, desc)
}
