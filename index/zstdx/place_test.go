package zstdx

import "testing"

// TestBudget pays for the same share of the stream again and again: the price stays where the
// share is the budget, moves against the spending elsewhere, and never leaves its bounds.
func TestBudget(t *testing.T) {
	const comp = 1 << 20
	price := func(ppm int64) int64 {
		b := newBudget()
		for range 500 {
			b.paid(comp*ppm/1_000_000, comp, comp)
			if b.price < minPrice || b.price > maxPrice {
				t.Fatalf("price %d at %d ppm", b.price, ppm)
			}
		}
		return b.price
	}
	if p := price(budgetPPM); p < fairPrice*99/100 || p > fairPrice*101/100 {
		t.Errorf("price on budget is %d, want %d", p, fairPrice)
	}
	last := int64(maxPrice)
	for ppm := int64(0); ppm < 200_000; ppm += 1000 {
		p := price(ppm)
		if p > last {
			t.Fatalf("price rises to %d at %d ppm", p, ppm)
		}
		last = p
	}
	if p := price(0); p != maxPrice {
		t.Errorf("price of nothing spent is %d", p)
	}
	if last != minPrice {
		t.Errorf("price far over budget is %d", last)
	}
}
