package open

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	digest "github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/shalefs/shalefs/index"
	"github.com/shalefs/shalefs/layout"
	"github.com/shalefs/shalefs/lazy"
)

// startChecks starts the checks of the layers whose index nothing binds, one after
// the other, if the policy wants them.
func (img *Image) startChecks(ctx context.Context) {
	if img.opt.Trust != TrustBackground {
		return
	}
	var unbound []*Layer
	for _, l := range img.Each() {
		if !l.Index.Bound() {
			l.setChecking("waiting")
			unbound = append(unbound, l)
		}
	}
	if len(unbound) == 0 {
		return
	}
	img.background.Go(func() {
		for _, l := range unbound {
			img.quiet(ctx)
			img.checkSoon(ctx, l)
		}
	})
}

// A check reads the whole layer, so it begins when the mount has been left alone for
// quietFor, but not later than quietMost after it might.
const (
	quietFor  = 3 * time.Second
	quietMost = 5 * time.Minute
)

// quiet returns when nobody has read for a while.
func (img *Image) quiet(ctx context.Context) {
	const step = quietFor / 6
	end, still, last := time.Now().Add(quietMost), time.Duration(0), int64(-1)
	for still < quietFor && time.Now().Before(end) {
		select {
		case <-time.After(step):
		case <-ctx.Done():
			return
		}
		still += step
		if n := img.Group.Stats().Reads; n != last {
			last, still = n, 0
		}
	}
}

// checkAgain is how long a check that failed for want of the store waits.
const checkAgain = time.Minute

// checkSoon checks a layer, again and again while the store is not there.
func (img *Image) checkSoon(ctx context.Context, l *Layer) {
	for ctx.Err() == nil {
		l.setChecking("going on")
		err := img.bind(ctx, l, &yielding{l.blob, img.Group})
		switch {
		case err == nil:
			l.setChecking("")
			return
		case refutes(err):
			l.setChecking("REFUTED: " + err.Error())
			return
		case ctx.Err() != nil:
			return
		}
		l.setChecking("not yet: " + err.Error())
		img.logger.Warn("the index could not be checked against its layer", "layer", l.Descriptor.Digest, "err", err)
		select {
		case <-time.After(checkAgain):
		case <-ctx.Done():
		}
	}
}

// refutes reports whether an error says that a layer or its index is not what it should be.
func refutes(err error) bool {
	return errors.Is(err, index.ErrDiffer) || errors.Is(err, index.ErrLayer) || errors.Is(err, layout.ErrDigest)
}

// bind reads the layer whole, builds its index, and compares the one in use with it.
// If they are the same the layer is bound, and the new index is kept for the next
// time. If not, or if the layer itself is broken, the layer is failed: every later
// read of it is an error, and nothing of it stays in the cache.
func (img *Image) bind(ctx context.Context, l *Layer, blob layout.Blob) error {
	f := newFinder(img)
	b, err := f.pass(ctx, l, blob, false)
	if err == nil && l.packed {
		err = img.pack.Complete(ctx) // what is not here cannot be compared
	}
	var ours *index.Layer
	if err == nil {
		if ours, err = index.OpenBytes(b); err == nil {
			err = index.Compare(l.Index, ours)
		}
	}
	if err == nil {
		err = l.Index.BindTo(ours)
	}
	switch {
	case err == nil:
		if err := img.Cache.PutDoc("index", docName(l.Descriptor.Digest), b); err != nil {
			img.logger.Warn("the index is not kept in the cache", "layer", l.Descriptor.Digest, "err", err)
		}
		return nil
	case refutes(err):
		img.logger.Error("a layer is refused: its index does not tell the truth", "layer", l.Descriptor.Digest, "index", l.Source, "err", err)
		l.Loader.Fail(fmt.Errorf("layer %s was refuted: %w: %w", l.Descriptor.Digest, lazy.ErrCorrupt, err))
		f.refuse(l, err)
		if drop := img.onRefuted.Load(); drop != nil {
			(*drop)()
		}
	}
	return err
}

// OnRefuted has f called when a layer was failed, before anybody is told: bytes of it that are kept
// elsewhere are to be dropped.
func (img *Image) OnRefuted(f func()) { img.onRefuted.Store(&f) }

// A yielding blob waits before each piece until no reader of the image waits.
type yielding struct {
	layout.Blob
	group *lazy.Group
}

func (y *yielding) Range(ctx context.Context, off, n int64) (io.ReadCloser, error) {
	if err := y.group.Calm(ctx); err != nil {
		return nil, err
	}
	r, err := y.Blob.Range(ctx, off, n)
	if err != nil {
		return nil, err
	}
	return &yieldingReader{r, ctx, y.group}, nil
}

func (y *yielding) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	if err := y.group.Calm(ctx); err != nil {
		return 0, err
	}
	return y.Blob.ReadAt(ctx, p, off)
}

type yieldingReader struct {
	io.ReadCloser
	ctx   context.Context
	group *lazy.Group
}

func (r *yieldingReader) Read(p []byte) (int, error) {
	if err := r.group.Calm(r.ctx); err != nil {
		return 0, err
	}
	return r.ReadCloser.Read(p)
}

// BindAll checks every layer whose index nothing binds, now.
func (img *Image) BindAll(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallelLayers)
	for _, l := range img.Each() {
		if l.Index.Bound() {
			continue
		}
		group.Go(func() error { return img.bind(ctx, l, l.blob) })
	}
	return group.Wait()
}

// A VerifyResult says whether a layer's index is what building it again gives.
type VerifyResult struct {
	Layer      int           `json:"layer"`
	Digest     digest.Digest `json:"digest"`
	Source     Source        `json:"source"`
	Difference string        `json:"difference,omitempty"` // empty: none
}

// VerifyIndexes builds every layer's index again and compares it with the one in use.
// An index that differs is no error but a result; the layer is failed.
func (img *Image) VerifyIndexes(ctx context.Context) ([]VerifyResult, error) {
	layers := img.Each()
	results := make([]VerifyResult, len(layers))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallelLayers)
	for i, l := range layers {
		results[i] = VerifyResult{Layer: l.Number, Digest: l.Descriptor.Digest, Source: l.Source}
		group.Go(func() error {
			err := img.bind(ctx, l, l.blob)
			if refutes(err) {
				results[i].Difference, err = err.Error(), nil
			}
			return err
		})
	}
	return results, group.Wait()
}
