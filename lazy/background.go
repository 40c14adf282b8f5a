package lazy

import (
	"context"
	"errors"
	"slices"

	"golang.org/x/sync/errgroup"
)

// The sizes of large flights, in chunks.
const (
	prefetchGap  = 8   // chunks that are fetched in vain to save a request
	pieceChunks  = 512 // 32 MiB
	prefetchOnce = 6   // flights at a time
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
	rank := map[int]int{}
	for i, c := range chunks {
		if _, ok := rank[c]; !ok && c >= 0 && c < l.src.Chunks() {
			rank[c] = i
		}
	}
	sorted := make([]int, 0, len(rank))
	for c := range rank {
		if _, _, _, ok := l.src.Object(c); ok && !l.kept(c) {
			sorted = append(sorted, c)
		}
	}
	slices.Sort(sorted)
	type group struct {
		chunks []int
		rank   int
	}
	var groups []group
	for i, c := range sorted {
		if g := len(groups) - 1; i > 0 && (c-sorted[i-1] <= prefetchGap || l.src.SpanOf(c) == l.src.SpanOf(sorted[i-1])) && c-groups[g].chunks[0] < pieceChunks {
			for between := sorted[i-1] + 1; between < c; between++ {
				if !l.kept(between) {
					groups[g].chunks = append(groups[g].chunks, between)
				}
			}
			groups[g].chunks = append(groups[g].chunks, c)
			groups[g].rank = min(groups[g].rank, rank[c])
		} else {
			groups = append(groups, group{[]int{c}, rank[c]})
		}
	}
	slices.SortStableFunc(groups, func(a, b group) int { return a.rank - b.rank })
	var eg errgroup.Group
	eg.SetLimit(prefetchOnce)
	for _, g := range groups {
		eg.Go(func() error { return l.bring(ctx, g.chunks, Prefetch) })
	}
	return eg.Wait()
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
	var failed error
	for _, f := range l.send(chunks, class) {
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
