package lazy

import "time"

// cut divides pends, sorted by chunk, into runs that are worth one range each: in the
// same span, or with a small gap between what the one needs and the next.
func (l *Loader) cut(fresh []*pend) [][]*pend {
	var runs [][]*pend
	for i := 0; i < len(fresh); {
		j := i + 1
		for j < len(fresh) && l.near(fresh[j-1].chunk, fresh[j].chunk) {
			j++
		}
		runs = append(runs, fresh[i:j:j])
		i = j
	}
	return runs
}

// near says whether chunk b, which comes after a, is to be fetched with it.
func (l *Loader) near(a, b int) bool {
	sa, sb := l.src.SpanOf(a), l.src.SpanOf(b)
	if sa == sb {
		return true
	}
	return l.src.Span(sb).In-l.src.InEnd(a) <= l.g.opt.GapBytes
}

// Regions are where Loader.more counts misses.
const (
	regionChunks = 256 // 16 MiB
	heatSpan     = 1   // misses in a region before whole spans are fetched of a blob that is near
	heatMore     = 3   // misses before spans are added, one more with each doubling
	maxMoreSpans = 4
	largeMiss    = 4  // missing chunks at a time that are a reason to fetch the whole span
	longSpan     = 64 // chunks of a span that are not fetched for a guess
)

// farTrip is how long a blob takes to answer for which the rest of a span is worth having at
// once: to ask again costs more than to decode it.
const farTrip = 2 * time.Millisecond

func (l *Loader) far() bool { return l.trip.Load() >= int64(farTrip) }

// more says which chunks to bring along when these are missing: what of their first span is
// decoded anyway, the rest of a small file or the beginning of a large one when it is read for
// the first time, the rest of the span for those who read much, and more of a place
// to which readers come back.
func (l *Loader) more(missing []int, fileEnd int64, first bool) []int {
	last := missing[len(missing)-1]
	end := last + 1
	if ch := l.src.Chunk(last); fileEnd > ch.Off && fileEnd <= l.src.Size() {
		at, some := ch.Off+int64(ch.Len), l.g.opt.SmallBytes
		if !l.far() {
			some /= 64 // to come again costs little, to decode in vain costs as much as anywhere
		} else if !first {
			some /= 8
		}
		if fileEnd-at <= some || first {
			end = max(end, l.src.ChunkAt(min(fileEnd, max(at, ch.Off+some))-1)+1)
		}
	}
	region := last / regionChunks
	l.mu.Lock()
	n := l.heat[region]
	l.heat[region]++
	l.mu.Unlock()
	if n >= heatSpan || l.far() || len(missing) >= largeMiss {
		s := l.src.SpanOf(end - 1)
		for more, h := 0, heatMore; ; h *= 2 {
			e := l.src.Span(s).Last
			if e-end > longSpan {
				break
			}
			end = max(end, e)
			if more++; n < h || more > maxMoreSpans || s+1 >= l.src.Spans() {
				break
			}
			s++
		}
	}
	var more []int
	for c := l.src.Span(l.src.SpanOf(missing[0])).First; c < end; c++ {
		if (c < missing[0] || c > last) && !l.here(c) {
			more = append(more, c)
		}
	}
	return more
}
