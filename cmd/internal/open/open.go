package open

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/shalefs/shalefs/fs"
	"github.com/shalefs/shalefs/index"
	"github.com/shalefs/shalefs/index/share"
	"github.com/shalefs/shalefs/layout"
	"github.com/shalefs/shalefs/lazy"
)

// An Image is an opened image: its tree and the way to its content. It is safe for
// concurrent use.
type Image struct {
	*Session
	Meta    *layout.Image
	Layers  []*Layer // base first; a layer that the manifest lists twice is one *Layer
	Tree    *fs.Tree
	Content *fs.LayerContent
	Group   *lazy.Group

	pack       *share.Pack // of the layers with SourceOurs
	background sync.WaitGroup
	ctx        context.Context // of what goes on in the background
	stop       context.CancelFunc
	profile    chan *Profile // the one to replay, once; nil if there is none
	pieces     chan struct{} // closed when the pushed indexes are here, as far as content needs them, or do not come

	onRefuted atomic.Pointer[func()]
}

// A Layer is one layer of an opened image.
type Layer struct {
	Number     int // in the manifest, the first one if it is listed twice
	Descriptor ocispec.Descriptor
	DiffID     digest.Digest
	Index      *index.Layer
	Source     Source // where the index came from
	NotLazy    string // why the whole layer was read for it, or empty
	Loader     *lazy.Loader

	blob   layout.Blob
	packed bool // Index belongs to the image's pack

	mu       sync.Mutex // guards what follows
	checking string     // state of the check behind an unbound index, or empty
}

// Open opens an image: every index is there and the tree is complete when it
// returns, and nothing is half done when it fails.
func Open(ctx context.Context, ref string, opt Options) (_ *Image, err error) {
	s, err := NewSession(ref, opt)
	if err != nil {
		return nil, err
	}
	img := &Image{Session: s}
	defer func() {
		if err != nil {
			err = errors.Join(err, img.Close())
		}
	}()
	if img.Meta, err = s.Documents(ctx); err != nil {
		return nil, fmt.Errorf("%s: %w", s.Reference, err)
	}
	if err := img.Meta.CheckLayers(); err != nil {
		return nil, fmt.Errorf("%s: %w", s.Reference, err)
	}
	if opt.MemoryBytes == 0 {
		opt.MemoryBytes = defaultMemory
	}
	img.Group = lazy.NewGroup(lazy.Options{MemoryBytes: opt.MemoryBytes, Deadline: opt.Deadline, Logger: s.logger})
	if err := img.openLayers(ctx); err != nil {
		return nil, fmt.Errorf("%s: %w", s.Reference, err)
	}
	img.startPieces()
	if err := img.merge(ctx); err != nil {
		return nil, fmt.Errorf("%s: %w", s.Reference, err)
	}
	img.startBackground()
	return img, nil
}

// openLayers gets the index of each layer, several at a time.
func (img *Image) openLayers(ctx context.Context) error {
	known := map[digest.Digest]*Layer{}
	for i, desc := range img.Meta.Layers {
		l := known[desc.Digest]
		if l == nil {
			l = &Layer{Number: i, Descriptor: desc, DiffID: img.Meta.DiffIDs[i]}
			known[desc.Digest] = l
		} else if l.DiffID != img.Meta.DiffIDs[i] {
			return fmt.Errorf("layer %s is listed with two diffIDs, %s and %s: %w", desc.Digest, l.DiffID, img.Meta.DiffIDs[i], layout.ErrInvalid)
		}
		img.Layers = append(img.Layers, l)
	}
	finder := newFinder(img)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallelLayers)
	for i, l := range img.Layers {
		if l.Number != i {
			continue
		}
		group.Go(func() error {
			if err := finder.find(ctx, l); err != nil {
				return fmt.Errorf("layer %d: %w", i, err)
			}
			return nil
		})
	}
	return group.Wait()
}

// defaultMemory bounds the decoded chunks in memory, in bytes: the kernel and the cache on
// disk keep the rest.
const defaultMemory = 4 << 20

// parallelLayers is how many layers are indexed at a time.
const parallelLayers = 4

// merge makes the loaders, the tree and the content.
func (img *Image) merge(ctx context.Context) error {
	layers := make([]fs.Layer, len(img.Layers))
	readers := make([]index.TarReader, len(img.Layers))
	for i, l := range img.Layers {
		if l.Loader == nil {
			l.Loader = img.Group.Loader(l.blob, l.Index, img.Cache, lazy.LoaderOptions{Name: l.Descriptor.Digest.String(), Trip: img.trip()})
			if img.opt.Record {
				l.Loader.Record()
			}
		}
		layers[i], readers[i] = l.Index, l.Loader
	}
	var err error
	if img.Tree, err = fs.Merge(ctx, layers, fs.Options{}); err != nil {
		return err
	}
	img.Content = fs.NewContent(img.Tree, readers, img.Cache)
	if img.foresees() {
		img.Content.Foresee()
	}
	return nil
}

// remoteTrip is what an answer over a network is taken to cost before one was measured.
const remoteTrip = 20 * time.Millisecond

func (img *Image) trip() time.Duration {
	if img.Remote() {
		return remoteTrip
	}
	return 0
}

// LayerName describes a layer for a person: its digest.
func (img *Image) LayerName(i int) string {
	if i < 0 || i >= len(img.Layers) {
		return ""
	}
	return img.Layers[i].Descriptor.Digest.String()
}

// Each returns the layers once each, without those that are listed again.
func (img *Image) Each() []*Layer {
	var out []*Layer
	for i, l := range img.Layers {
		if l.Number == i {
			out = append(out, l)
		}
	}
	return out
}

// Release gives back memory that is not needed while nobody reads.
func (img *Image) Release() {
	img.Group.Release()
	img.Tree.Release()
}

// Close ends the background work, closes the loaders, the indexes, the store and the cache.
func (img *Image) Close() error {
	if img.stop != nil {
		img.stop()
	}
	img.background.Wait()
	var err error
	if img.Content != nil {
		err = img.Content.Close()
	}
	if img.Group != nil {
		err = errors.Join(err, img.Group.Close())
	}
	for _, l := range img.Each() {
		if l.Index != nil && !l.packed {
			err = errors.Join(err, l.Index.Close())
		}
		if l.blob != nil {
			err = errors.Join(err, l.blob.Close())
		}
	}
	if img.pack != nil {
		err = errors.Join(err, img.pack.Close())
	}
	return errors.Join(err, img.Session.Close())
}
