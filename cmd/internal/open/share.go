package open

import (
	"context"
	"fmt"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/shalefs/shalefs/layout"
)

// PushIndexes stores the indexes of the image, and a profile unless its path is empty, beside it.
func (img *Image) PushIndexes(ctx context.Context, profile string) (ocispec.Descriptor, error) {
	return ocispec.Descriptor{}, fmt.Errorf("push: %w", layout.ErrUnsupported)
}

// pushedProfile reads the profile that was pushed with the indexes.
func (img *Image) pushedProfile(_ context.Context) (*Profile, error) { return nil, nil }
