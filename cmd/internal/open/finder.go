package open

import (
	"context"
	"errors"
	"fmt"
	iofs "io/fs"
	"os"

	digest "github.com/opencontainers/go-digest"

	"github.com/shalefs/shalefs/index"
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
	return f.build(ctx, l)
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
