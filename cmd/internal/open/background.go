package open

import (
	"context"
	"errors"

	"github.com/shalefs/shalefs/lazy/cache"
)

// startPieces fetches what the reads of content need of the pushed indexes, while the
// tree is merged and mounted, so that the first reads find it here.
func (img *Image) startPieces() {
	img.ctx, img.stop = context.WithCancel(context.Background())
	if img.opt.OneShot || img.pack == nil || img.opt.Prefetch == PrefetchNone {
		return
	}
	ctx := img.ctx
	img.background.Go(func() {
		if err := img.pack.Prefetch(ctx); err != nil && ctx.Err() == nil {
			img.logger.Info("the pushed indexes are fetched piece by piece", "err", err)
		}
	})
}

// startBackground starts what goes on behind an opened image: what is fetched ahead,
// and the checks of indexes that nothing binds.
func (img *Image) startBackground() {
	ctx := img.ctx
	if img.opt.OneShot {
		return
	}
	switch img.opt.Prefetch {
	case PrefetchAll:
		img.background.Go(func() { img.prefetchAll(ctx) })
	case PrefetchProfile:
		img.background.Go(func() { img.replay(ctx) })
	case PrefetchNone:
	}
	img.startChecks(ctx)
}

// prefetchAll completes the layers, one after the other.
func (img *Image) prefetchAll(ctx context.Context) {
	for _, l := range img.Each() {
		if err := l.Loader.Complete(ctx); err != nil && ctx.Err() == nil {
			img.logger.Warn("the layer was not fetched ahead", "layer", l.Descriptor.Digest, "err", err)
		}
	}
}

// replay fetches what the image's profile names, if there is one: recorded here, or
// stored with the pushed index.
func (img *Image) replay(ctx context.Context) {
	p, err := img.storedProfile(ctx)
	if err != nil {
		img.logger.Warn("the profile is not used", "err", err)
	}
	if p == nil {
		return
	}
	for _, l := range img.Each() {
		img.background.Go(func() {
			if err := l.Loader.Prefetch(ctx, p.chunks(l)); err != nil && ctx.Err() == nil {
				img.logger.Warn("the profile was not replayed", "layer", l.Descriptor.Digest, "err", err)
			}
		})
	}
}

// storedProfile finds the image's profile; nil if there is none.
func (img *Image) storedProfile(ctx context.Context) (*Profile, error) {
	b, err := img.Cache.GetDoc("profile", docName(img.Meta.Descriptor.Digest))
	if errors.Is(err, cache.ErrMissing) {
		return img.pushedProfile(ctx)
	}
	if err != nil {
		return nil, err
	}
	return ParseProfile(b)
}
