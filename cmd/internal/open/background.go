package open

import (
	"context"
	"errors"

	"github.com/shalefs/shalefs/lazy/cache"
)

// startPieces fetches what is needed of the pushed indexes for reading content, and the
// profile, while the tree is merged and mounted, so that the first reads find it here.
func (img *Image) startPieces() {
	img.ctx, img.stop = context.WithCancel(context.Background())
	img.profile = make(chan *Profile, 1)
	if img.opt.OneShot || img.opt.Prefetch == PrefetchNone {
		return
	}
	ctx := img.ctx
	img.pieces = make(chan struct{})
	if img.pack == nil {
		close(img.pieces)
	} else {
		img.background.Go(func() {
			defer close(img.pieces)
			if err := img.pack.Prefetch(ctx); err != nil && ctx.Err() == nil {
				img.logger.Info("the pushed indexes are fetched piece by piece", "err", err)
			}
		})
	}
	if img.opt.Prefetch == PrefetchProfile {
		img.background.Go(func() {
			p, err := img.storedProfile(ctx)
			if err != nil {
				img.logger.Warn("the profile is not used", "err", err)
			}
			img.profile <- p
		})
	}
}

// foresees says whether what files say will be read next is to be fetched early: not where a profile
// knows better, nor where one is recorded, which is to hold what was read and nothing else.
func (img *Image) foresees() bool {
	if img.opt.OneShot || img.opt.Record {
		return false
	}
	switch img.opt.Prefetch {
	case PrefetchNone:
		return false
	case PrefetchProfile:
		return !img.hasProfile()
	default:
		return true
	}
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
	p := <-img.profile
	if p == nil {
		return
	}
	<-img.pieces // nothing is decoded without them, so they are not to share the line
	for _, l := range img.Each() {
		img.background.Go(func() {
			if err := l.Loader.Prefetch(ctx, p.chunks(l)); err != nil && ctx.Err() == nil {
				img.logger.Warn("the profile was not replayed", "layer", l.Descriptor.Digest, "err", err)
			}
		})
	}
}

// hasProfile says whether storedProfile will find one.
func (img *Image) hasProfile() bool {
	if _, err := img.Cache.GetDoc("profile", docName(img.Meta.Descriptor.Digest)); err == nil {
		return true
	}
	return img.pack != nil && img.pack.HasProfile()
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
