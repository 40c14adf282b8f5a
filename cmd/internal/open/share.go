package open

import (
	"context"
	"errors"
	"fmt"
	"os"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/shalefs/shalefs/index"
	"github.com/shalefs/shalefs/index/share"
	"github.com/shalefs/shalefs/layout"
)

// PushIndexes stores the indexes of the image beside it, and a profile unless its path
// is empty. Indexes that nothing binds are checked first.
func (img *Image) PushIndexes(ctx context.Context, profile string) (ocispec.Descriptor, error) {
	p, err := img.Pusher()
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	var content []byte
	if profile != "" {
		if content, err = os.ReadFile(profile); err != nil {
			return ocispec.Descriptor{}, err
		}
		if _, err := ParseProfile(content); err != nil {
			return ocispec.Descriptor{}, fmt.Errorf("%s: %w", profile, err)
		}
	}
	if err := img.BindAll(ctx); err != nil {
		return ocispec.Descriptor{}, err
	}
	var layers []*index.Layer
	for _, l := range img.Each() {
		x := l.Index
		if l.Source != SourceCache && l.Source != SourcePass {
			// What was borrowed is bound now; the index that was built to compare is whole.
			if k := newFinder(img).kept(l); k != nil {
				defer func() { _ = k.Close() }() // a mapping
				x = k
			}
		}
		layers = append(layers, x)
	}
	return share.Push(ctx, p, img.Meta.Descriptor, layers, content)
}

// pushedProfile reads the profile that was pushed with the indexes; nil if there is none.
func (img *Image) pushedProfile(ctx context.Context) (*Profile, error) {
	if img.pack == nil {
		return nil, nil
	}
	b, err := img.pack.Profile(ctx)
	if errors.Is(err, layout.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return ParseProfile(b)
}
