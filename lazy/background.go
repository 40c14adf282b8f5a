package lazy

import (
	"context"
	"errors"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"
)

// The sizes of large flights.
const (
	foreseenGap  = 384 << 10 // bytes of the blob that are fetched in vain to save a request
	pieceChunks  = 512       // 32 MiB
	prefetchOnce = 4096      // chunks at a time, sent or waiting to be
	completeOnce = 2
)

// Prefetch fetches chunks into the cache, in few large ranges, those first of which a
// chunk comes first in the list: it replays a profile. Chunks that are there cost nothing.
// Without a cache it does nothing.
// Errors: of the first flight that fails, the others go on; ctx.Err().
func (l *Loader) Prefetch(ctx context.Context, chunks []int) error {
	if l.cache == nil {
		return nil
	}
	if err := l.refused(); err != nil {
		return err
	}
	var wanted, missing []int
	for _, c := range chunks {
		if c < 0 || c >= l.src.Chunks() {
			continue
		}
		wanted = append(wanted, c)
		if _, _, _, ok := l.src.Object(c); ok && !l.kept(c) {
			missing = append(missing, c)
		}
	}
	l.expect(wanted)
	// All are sent before they are due, so that who comes for one of them hurries it and does
	// not fetch it himself.
	var eg errgroup.Group
	room := semaphore.NewWeighted(prefetchOnce)
	for _, r := range l.runs(missing, foreseenGap) {
		n := int64(len(r.chunks))
		if room.Acquire(ctx, n) != nil {
			break
		}
		fs := l.send(r.chunks, Prefetch)
		eg.Go(func() error {
			defer room.Release(n)
			return l.await(ctx, fs)
		})
	}
	return errors.Join(eg.Wait(), ctx.Err())
}

// Complete fetches all that the cache lacks of the layer, in large ranges, while nobody waits for
// anything else. Without a cache it does nothing.
// Errors: of the first flight that fails; ctx.Err().
func (l *Loader) Complete(ctx context.Context) error {
	if l.cache == nil {
		return nil
	}
	eg, ctx := errgroup.WithContext(ctx)
	eg.SetLimit(completeOnce)
	for from := 0; from < l.src.Chunks() && ctx.Err() == nil; {
		to := min(from+pieceChunks, l.src.Chunks())
		to = min(to, max(from+1, l.src.Span(l.src.SpanOf(to-1)).Last))
		var chunks []int
		for c := from; c < to; c++ {
			if _, _, _, ok := l.src.Object(c); ok && !l.kept(c) {
				chunks = append(chunks, c)
			}
		}
		from = to
		if len(chunks) > 0 {
			eg.Go(func() error { return l.bring(ctx, chunks, Background) })
		}
	}
	return eg.Wait()
}

// bring fetches chunks and waits until they are there.
func (l *Loader) bring(ctx context.Context, chunks []int, class Class) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := l.refused(); err != nil {
		return err
	}
	return l.await(ctx, l.send(chunks, class))
}

// await waits for flights, and disowns them.
func (l *Loader) await(ctx context.Context, fs []*flight) error {
	var failed error
	for _, f := range fs {
		select {
		case <-f.done:
			failed = errors.Join(failed, f.err)
		case <-ctx.Done():
			failed = context.Cause(ctx)
		}
		l.disown(f)
	}
	return failed
}
