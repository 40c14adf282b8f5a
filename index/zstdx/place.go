package zstdx

import "math"

// A budget steers where checkpoints are put. All arithmetic is in integers, so that
// every machine comes to the same places.
//
// What is wanted is the least sum of squares of the spans, which is what random reads decode,
// for the bytes that may be spent. That asks for one price of length everywhere: dear stretches
// get long spans, cheap ones short spans. So the price is nearly the same in all streams, and
// moves only as far as the bytes spent so far are off the budget.
type budget struct {
	spent int64 // bytes of windows and states so far
	comp  int64 // compressed bytes of their spans
	// price is what a span of 1 MiB costs for its length, in bytes; it grows with
	// the square of the length, as the cost of random reads does.
	price int64
	// packing is the size of a packed window per byte of matches that cross the
	// boundary, in 1024ths: the mean of what was seen.
	packing int64
}

const (
	// budgetPPM is what windows and states may take of the compressed bytes, in millionths.
	budgetPPM = 25_000
	// doublePPM is by how much less they must take for the price to double, likewise.
	doublePPM = 3_000
	// settled is how many compressed bytes on budget are taken for granted at the start.
	settled = 2 << 20
	// spanMille is what the window of one span should not exceed, in thousandths.
	spanMille = 500
	// fixedCost stands for a state and the tables of an index, in bytes.
	fixedCost = 160

	fairPrice = 4096
	minPrice  = fairPrice / 32
	maxPrice  = fairPrice * 4
)

func newBudget() budget { return budget{price: fairPrice, packing: 400} }

// paid records a checkpoint and moves the price towards the budget.
func (b *budget) paid(bytes, comp, cross int64) {
	b.spent += bytes
	b.comp += comp
	if cross > 0 {
		b.packing = (3*b.packing + min(bytes*1024/cross, 2048)) / 4
	}
	// How many times the price is doubled, in 1024ths; between powers of 2 it is linear.
	limit := (b.comp + settled) / 1000 * budgetPPM / 1000
	left := (limit - b.spent - settled/1000*budgetPPM/1000) * 1000 / ((b.comp + settled) / 1000)
	times := min(max(left*1024/doublePPM, -64<<10), 63<<10) + 64<<10
	price := (1024 + times&1023) * fairPrice >> 10
	if k := times>>10 - 64; k < 0 {
		price >>= min(-k, 32)
	} else {
		price <<= min(k, 16)
	}
	b.price = min(max(price, minPrice), maxPrice)
}

// A placer chooses the next checkpoint.
type placer struct {
	minDist, maxDist int64
	overhang         int64
	every            bool
}

// next returns the number of the group at whose start the checkpoint after the one
// of group 0 goes, or len(groups) for none, which it may return only where the
// stream is over (final).
//
// best[i] is the least cost of everything from boundary i on. The plan beyond the
// first step is thrown away: it is made again when more is known.
func (p *placer) next(l *lookahead, b *budget, final bool) int {
	n := len(l.groups)
	if p.every || n <= 1 {
		return min(1, n)
	}
	out := func(i int) int64 {
		if i == n {
			return l.end
		}
		return l.groups[i].out
	}
	in := func(i int) int64 {
		if i == n {
			return l.endIn
		}
		return l.groups[i].in
	}
	allowed := n - 1 // the last boundary that may become a checkpoint
	if !final {
		for allowed > 1 && l.end-out(allowed) < l.tail {
			allowed--
		}
	}
	best := make([]int64, n+1)
	first := n
	for i := allowed; i >= 0; i-- {
		best[i] = math.MaxInt64 / 2
		cross := int64(0)
		done := i // groups before it are in cross
		for j := i + 1; j <= n; j++ {
			if j > allowed && j < n {
				continue
			}
			dist := out(j) - out(i)
			if j < n && dist < p.minDist && (j != 1 || i != 0 || allowed > 1) {
				continue
			}
			if j == n && i == 0 && !final {
				continue
			}
			if dist > p.maxDist && j > i+1 && best[i] < math.MaxInt64/2 {
				break
			}
			for ; done < n && out(done) < out(j)+p.overhang; done++ {
				cross += l.groups[done].cross[i]
			}
			c := p.cost(b, cross, dist, in(j)-in(i)) + best[j]
			if c < best[i] {
				best[i] = c
				if i == 0 {
					first = j
				}
			}
		}
	}
	if first == n && !final {
		return allowed
	}
	return first
}

// cost is what a span costs: its window, and its length.
func (p *placer) cost(b *budget, cross, dist, comp int64) int64 {
	window := cross * b.packing / 1024
	k := dist >> 10
	c := window + fixedCost + k*k*b.price>>20
	if over := window - comp*spanMille/1000; over > 0 {
		c += 3 * over
	}
	return c
}
