package open

import (
	"context"
	"errors"
	"fmt"
	iofs "io/fs"
	"os"
	"sync"

	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/shalefs/shalefs/index"
	"github.com/shalefs/shalefs/index/foreign"
	"github.com/shalefs/shalefs/index/foreign/estargz"
	"github.com/shalefs/shalefs/index/foreign/zstdchunked"
	"github.com/shalefs/shalefs/index/share"
	"github.com/shalefs/shalefs/index/tarx"
	"github.com/shalefs/shalefs/layout"
	"github.com/shalefs/shalefs/lazy"
	"github.com/shalefs/shalefs/lazy/cache"
)

// A Source says where a layer index came from.
type Source string

// The sources, as "status" shows them.
const (
	SourceCache Source = "cache"
	SourceOurs  Source = "referrer"    // our artifact beside the image
	SourceTOC   Source = "toc"         // eStargz or zstd:chunked, named by the manifest
	SourceSOCI  Source = "soci"        // a ztoc
	SourceWalk  Source = "tar headers" // a plain tar, walked
	SourcePass  Source = "pass"        // built here, just now
)

// A finder gets the indexes of an image's layers.
type finder struct {
	img *Image
	opt Options

	packOnce sync.Once
	packErr  error

	sociOnce  sync.Once
	sociIndex *share.SOCI
	sociErr   error
}

func newFinder(img *Image) *finder { return &finder{img: img, opt: img.opt} }

// find sets the layer's Index, its Source and its blob.
func (f *finder) find(ctx context.Context, l *Layer) (err error) {
	if l.blob, err = layout.OpenBlob(ctx, f.img.store, l.Descriptor); err != nil {
		return err
	}
	if l.Index = f.kept(l); l.Index != nil {
		l.Source = SourceCache
		return nil
	}
	for _, source := range f.sources(l) {
		if found, err := source(ctx, l); found || err != nil {
			return err
		}
	}
	return f.build(ctx, l)
}

// sources lists where to look for the layer's index, in order.
func (f *finder) sources(l *Layer) []func(context.Context, *Layer) (bool, error) {
	type list = []func(context.Context, *Layer) (bool, error)
	switch {
	case f.opt.IndexDigest != "":
		return list{f.ours}
	case f.borrows(l):
		return list{f.ours, f.boundTOC, f.soci, f.walk}
	}
	return list{f.boundTOC}
}

// borrows reports whether an index that nothing binds to the layer may be used.
func (f *finder) borrows(l *Layer) bool {
	if f.opt.Trust == TrustStrict {
		return false
	}
	why, err := f.img.Cache.GetDoc("refuted", docName(l.Descriptor.Digest))
	if err == nil {
		f.img.logger.Warn("an index of this layer was refuted before: a new one is made", "layer", l.Descriptor.Digest, "why", string(why))
	}
	return err != nil
}

// ours takes the index from our artifact beside the image.
func (f *finder) ours(ctx context.Context, l *Layer) (bool, error) {
	f.packOnce.Do(func() { f.packErr = f.discover(ctx) })
	if f.img.pack == nil {
		if f.opt.IndexDigest != "" {
			return false, fmt.Errorf("index artifact %s: %w", f.opt.IndexDigest, f.packErr)
		}
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
		return false, nil
	}
	x, ok := f.img.pack.Layer(l.Descriptor.Digest)
	if !ok {
		return false, nil
	}
	if err := x.For(l.Descriptor.Digest, l.Descriptor.Size, l.DiffID); err != nil {
		if f.opt.IndexDigest != "" {
			return false, err
		}
		f.img.logger.Warn("the pushed index is not used", "layer", l.Descriptor.Digest, "err", err)
		return false, nil
	}
	l.Index, l.Source, l.packed = x, SourceOurs, true
	return true, nil
}

// discover looks for our artifact, once for all layers.
func (f *finder) discover(ctx context.Context) error {
	pack, err := share.Discover(ctx, f.img.store, f.img.Meta.Descriptor, share.Options{
		Docs: f.img.Cache, Logger: f.img.logger, Digest: f.opt.IndexDigest,
	})
	if err != nil {
		if !errors.Is(err, layout.ErrNotFound) {
			f.img.logger.Warn("no pushed index could be looked for", "err", err)
		}
		return err
	}
	f.img.pack = pack
	return nil
}

// toc takes the index from the table of contents inside the layer, whose digest the manifest has.
func (f *finder) toc(ctx context.Context, l *Layer) (bool, error) {
	b, bound, err := index.FromTOC(ctx, l.blob, l.Descriptor.Annotations)
	if err != nil {
		return false, f.passedOver(ctx, l, "table of contents", err)
	}
	return f.borrow(l, b, SourceTOC, bound), nil
}

// boundTOC is toc for those that the manifest binds. Others are not used: their contents are
// checked by digests that come from where the contents come from.
func (f *finder) boundTOC(ctx context.Context, l *Layer) (bool, error) {
	if !bindsTOC(l.Descriptor.Annotations) {
		return false, nil
	}
	return f.toc(ctx, l)
}

// bindsTOC reports whether a layer's annotations hold the digest of its table of contents.
func bindsTOC(annotations map[string]string) bool {
	pos, err := zstdchunked.FromAnnotations(annotations)
	return err == nil && pos.Bound() || annotations[estargz.DigestAnnotation] != ""
}

// soci takes the index from a ztoc.
func (f *finder) soci(ctx context.Context, l *Layer) (bool, error) {
	f.sociOnce.Do(func() { f.sociIndex, f.sociErr = f.discoverSOCI(ctx) })
	if f.sociIndex == nil {
		return false, f.passedOver(ctx, l, "SOCI index", f.sociErr)
	}
	b, err := f.sociIndex.Layer(ctx, l.blob)
	if err != nil {
		return false, f.passedOver(ctx, l, "SOCI index", err)
	}
	return f.borrow(l, b, SourceSOCI, false), nil
}

// discoverSOCI looks for a SOCI index of the image, once for all layers.
func (f *finder) discoverSOCI(ctx context.Context) (*share.SOCI, error) {
	var siblings []ocispec.Descriptor
	if root := f.img.Meta.Root; root.Digest != f.img.Meta.Descriptor.Digest {
		if b, err := f.img.store.Document(ctx, root, true); err == nil {
			if doc, err := layout.ParseDocument(b, root.MediaType); err == nil && doc.Index != nil {
				siblings = doc.Index.Manifests
			}
		}
	}
	return share.DiscoverSOCI(ctx, f.img.store, f.img.Meta.Descriptor, siblings, f.img.logger)
}

// passedOver says why a source gave no index; that there is none is no news. Only the end of ctx is
// an error: another source may do.
func (f *finder) passedOver(ctx context.Context, l *Layer, what string, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil && !errors.Is(err, foreign.ErrNone) && !errors.Is(err, layout.ErrNotFound) {
		f.img.logger.Warn("an index is passed over", "source", what, "layer", l.Descriptor.Digest, "err", err)
	}
	return nil
}

// borrow opens an index that came from elsewhere.
func (f *finder) borrow(l *Layer, b []byte, source Source, bound bool) bool {
	x, err := index.OpenBytes(b)
	if err == nil {
		err = x.For(l.Descriptor.Digest, l.Descriptor.Size, l.DiffID)
	}
	if err != nil {
		f.img.logger.Warn("an index is passed over", "source", source, "layer", l.Descriptor.Digest, "err", err)
		return false
	}
	if bound {
		x.Bind()
	}
	l.Index, l.Source = x, source
	return true
}

// Limits of a walk over the headers of a plain tar: beyond them, or below walkLeast, a
// pass over the layer costs less.
const (
	walkLeast    = 16 << 20 // bytes of blob
	walkRequests = 200
	walkShare    = 8 // the walk may read one part in so many of the blob
)

// namesPlainTar reports whether a media type says that the layer is not compressed.
func namesPlainTar(mediaType string) bool {
	compression, err := layout.LayerCompression(mediaType)
	return err == nil && compression == ""
}

// walk makes the index of a plain tar from its headers.
func (f *finder) walk(ctx context.Context, l *Layer) (bool, error) {
	if l.Descriptor.Size < walkLeast || !namesPlainTar(l.Descriptor.MediaType) {
		return false, nil
	}
	name := docName(l.Descriptor.Digest)
	b, err := f.img.Cache.GetDoc("borrowed", name)
	if err != nil {
		b, _, err = index.FromWalk(ctx, l.blob, tarx.WalkOptions{MaxRequests: walkRequests, MaxBytes: l.Descriptor.Size / walkShare})
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, layout.ErrUnavailable) || errors.Is(err, layout.ErrUnauthorized) || errors.Is(err, layout.ErrNotFound) {
				return false, err
			}
			f.img.logger.Info("the headers were not walked to the end", "layer", l.Descriptor.Digest, "err", err)
			l.NotLazy = "its headers could not be walked: " + err.Error()
			return false, nil
		}
		if err := f.img.Cache.PutDoc("borrowed", name, b); err != nil {
			f.img.logger.Debug("not kept in the cache", "what", name, "err", err)
		}
	}
	return f.borrow(l, b, SourceWalk, false), nil
}

// kept opens the layer's index in the cache. One that is damaged, of another version
// or of another layer is removed, and made anew.
func (f *finder) kept(l *Layer) *index.Layer {
	name := docName(l.Descriptor.Digest)
	x, err := index.Open(f.img.Cache.DocPath("index", name))
	if err == nil {
		if err = x.For(l.Descriptor.Digest, l.Descriptor.Size, l.DiffID); err == nil {
			f.img.Cache.UseDoc("index", name)
			x.Bind() // only what a pass made, or was compared with one, is kept under this name
			return x
		}
		err = errors.Join(err, x.Close())
	}
	if !errors.Is(err, iofs.ErrNotExist) {
		f.img.logger.Warn("the index in the cache is not used", "layer", l.Descriptor.Digest, "err", err)
		if err := f.img.Cache.RemoveDoc("index", name); err != nil {
			f.img.logger.Debug("not removed from the cache", "what", name, "err", err)
		}
	}
	return nil
}

// build makes the index in one pass over the layer, which fills the cache.
func (f *finder) build(ctx context.Context, l *Layer) error {
	b, err := f.pass(ctx, l, l.blob, true)
	if err != nil {
		return err
	}
	l.Source = SourcePass
	if l.NotLazy == "" {
		l.NotLazy = "there was no index for it: the layer was read once, whole, to make one"
	}
	l.Index, err = f.adopt(l, b)
	return err
}

// pass reads the layer whole and returns its index.
func (f *finder) pass(ctx context.Context, l *Layer, blob layout.Blob, keep bool) ([]byte, error) {
	opt := index.BuildOptions{Logger: f.img.logger, Saver: saver{f.img.Cache, docName(l.Descriptor.Digest)}}
	if p := f.opt.Progress; p != nil {
		opt.Progress = func(done, total int64) { p(l.Number, done, total) }
	}
	if keep {
		opt.Keep = index.CacheKeeper(f.img.Cache, l.DiffID)
	}
	return index.Build(ctx, blob, index.Want{DiffID: l.DiffID}, opt)
}

// adopt keeps a bound index in the cache and opens it, from memory if the cache does not take it.
func (f *finder) adopt(l *Layer, b []byte) (*index.Layer, error) {
	name := docName(l.Descriptor.Digest)
	if err := f.img.Cache.PutDoc("index", name, b); err != nil {
		f.img.logger.Warn("the index is not kept in the cache", "layer", l.Descriptor.Digest, "err", err)
	} else if x := f.kept(l); x != nil {
		return x, nil
	}
	x, err := index.OpenBytes(b)
	if err != nil {
		return nil, fmt.Errorf("the index that was just made: %w", err)
	}
	x.Bind()
	return x, nil
}

// A saver keeps the state of an interrupted pass in the cache.
type saver struct {
	docs interface {
		GetDoc(kind, name string) ([]byte, error)
		PutDoc(kind, name string, b []byte) error
		RemoveDoc(kind, name string) error
	}
	name string
}

func (s saver) Load() ([]byte, error) {
	b, err := s.docs.GetDoc("pass", s.name)
	if errors.Is(err, cache.ErrMissing) {
		return nil, nil
	}
	return b, err
}

func (s saver) Save(state []byte) error { return s.docs.PutDoc("pass", s.name, state) }

func (s saver) Clear() error {
	if err := s.docs.RemoveDoc("pass", s.name); err != nil && !errors.Is(err, cache.ErrMissing) && !errors.Is(err, iofs.ErrNotExist) {
		return err
	}
	return nil
}

var _ index.TarReader = (*lazy.Loader)(nil)

// refuse remembers that the borrowed index of a layer was refuted, so that the next
// time another source is used, and forgets what the cache has of it.
func (f *finder) refuse(l *Layer, why error) {
	name := docName(l.Descriptor.Digest)
	err := errors.Join(
		f.img.Cache.RemoveDoc("index", name),
		f.img.Cache.RemoveDoc("borrowed", name),
		f.img.Cache.PutDoc("refuted", name, []byte(string(l.Source)+": "+why.Error())))
	if err != nil {
		f.img.logger.Error("the cache keeps a refuted index", "layer", l.Descriptor.Digest, "err", err)
	}
}

// Indexed reports whether the cache has a bound index of a layer.
func (s *Session) Indexed(layer digest.Digest) bool {
	_, err := os.Stat(s.Cache.DocPath("index", docName(layer)))
	return err == nil
}
