package lazy

import (
	"maps"
	"slices"
	"time"
)

// cut divides pends, sorted by chunk, into runs that are worth one range each: in the
// same span, or with a small gap between what the one needs and the next.
func (l *Loader) cut(fresh []*pend) [][]*pend {
	var runs [][]*pend
	for i := 0; i < len(fresh); {
		j := i + 1
		for j < len(fresh) && l.near(fresh[j-1].chunk, fresh[j].chunk, l.g.opt.GapBytes) {
			j++
		}
		runs = append(runs, fresh[i:j:j])
		i = j
	}
	return runs
}

// near says whether chunk b, which comes after a, is to be fetched with it, if no more than gap
// bytes of the blob are fetched in vain for that.
func (l *Loader) near(a, b int, gap int64) bool {
	sa, sb := l.src.SpanOf(a), l.src.SpanOf(b)
	if sa == sb {
		return true
	}
	return l.src.Span(sb).In-l.src.InEnd(a) <= gap
}

// What Loader.more brings along.
const (
	regionChunks = 256     // misses are counted by regions of 16 MiB
	heatSpan     = 1       // misses in a region before the rest of a span is worth decoding
	largeMiss    = 4       // missing chunks at a time that are worth it too
	longSpan     = 64      // chunks of a span that are not decoded for a guess
	tripBytes    = 1 << 20 // what arrives in about the time that a blob that is far takes to answer
)

// farTrip is how long a blob takes to answer for which the rest of a span is worth having at
// once: to ask again costs more than to decode it.
const farTrip = 2 * time.Millisecond

func (l *Loader) far() bool { return l.trip.Load() >= int64(farTrip) }

// Far says whether the layer's blob is so far away that it is better to fetch something in
// vain than to come again.
func (l *Loader) Far() bool { return l.far() }

// more says which chunks to bring along when these are missing: what of their first span is
// decoded anyway, the rest of a small file or the beginning of a large one when it is read for
// the first time, and the rest of the span where that is cheaper than to come again for it.
func (l *Loader) more(missing []int, fileEnd int64, first bool) []int {
	last := missing[len(missing)-1]
	end := last + 1
	if ch := l.src.Chunk(last); fileEnd > ch.Off && fileEnd <= l.src.Size() {
		at, some := ch.Off+int64(ch.Len), l.g.opt.SmallBytes
		if !l.far() {
			some /= 32 // to come again costs little, to decode in vain costs as much as anywhere
		}
		if fileEnd-at <= some || first {
			end = max(end, l.src.ChunkAt(min(fileEnd, max(at, ch.Off+some))-1)+1)
		}
	}
	if e := l.src.Span(l.src.SpanOf(end - 1)).Last; l.finish(last, end, e, len(missing)) {
		end = e
	}
	var more []int
	for c := l.src.Span(l.src.SpanOf(missing[0])).First; c < end; c++ {
		if (c < missing[0] || c > last) && !l.here(c) {
			more = append(more, c)
		}
	}
	return more
}

// finish says whether the chunks from end on, up to the end e of their span, are to come with n that
// are missing, the last of which is last. To come again means to fetch and decode the span from
// its start. From afar that is what counts: the rest comes along if it is no longer than what would be
// fetched twice, or not worth a trip. Nearby the decoding counts, so it takes a second miss in
// the region.
func (l *Loader) finish(last, end, e, n int) bool {
	region := last / regionChunks
	l.mu.Lock()
	heat := l.heat[region]
	l.heat[region]++
	l.mu.Unlock()
	if l.far() {
		upTo := l.src.InEnd(end - 1)
		return l.src.InEnd(e-1)-upTo <= max(tripBytes, upTo-l.src.Span(l.src.SpanOf(end-1)).In)
	}
	return (heat >= heatSpan || n >= largeMiss) && e-end <= longSpan
}

// maxBetween is how many chunks are decoded in vain, for little may unpack to much.
const maxBetween = 64

// A run is chunks that are worth one range.
type run struct {
	chunks []int // sorted
	rank   int   // of the most urgent one
}

// runs divides chunks, which come in the order in which they are wanted, into runs, the most urgent first.
// A run has also what is missing between its chunks and is fetched anyway, which is no more than gap
// bytes of the blob at a time and, beyond a span, maxBetween chunks.
func (l *Loader) runs(chunks []int, gap int64) []run {
	rank := make(map[int]int, len(chunks))
	for i, c := range chunks {
		if _, ok := rank[c]; !ok {
			rank[c] = i
		}
	}
	var runs []run
	var r *run
	last := 0
	for _, c := range slices.Sorted(maps.Keys(rank)) {
		if r == nil || !l.near(last, c, gap) || c-last > maxBetween && l.src.SpanOf(last) != l.src.SpanOf(c) || c-r.chunks[0] >= pieceChunks {
			runs = append(runs, run{rank: rank[c]})
			r = &runs[len(runs)-1]
		} else {
			for between := last + 1; between < c; between++ {
				if !l.here(between) {
					r.chunks = append(r.chunks, between)
				}
			}
		}
		r.chunks = append(r.chunks, c)
		r.rank = min(r.rank, rank[c])
		last = c
	}
	slices.SortFunc(runs, func(a, b run) int { return a.rank - b.rank })
	return runs
}

// expect notes chunks that were foreseen: who reads them starts no read-ahead.
func (l *Loader) expect(chunks []int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.foreseen == nil {
		l.foreseen = map[int]struct{}{}
	}
	for _, c := range chunks {
		l.foreseen[c] = struct{}{}
	}
}
