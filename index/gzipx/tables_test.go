package gzipx

import (
	"math/bits"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

// randomLens gives the lengths of a complete code of up to n symbols, made by splitting
// leaves of a tree.
func randomLens(rng *rand.Rand, n int) []uint8 {
	leaves := []uint8{1, 1}
	want, deep := 2+rng.IntN(n-1), rng.IntN(3)
	for tries := 0; len(leaves) < want && tries < 5*n; tries++ {
		i := rng.IntN(len(leaves))
		if rng.IntN(4) < deep {
			i = len(leaves) - 1
		}
		if leaves[i] < maxCodeBits {
			leaves[i]++
			leaves = append(leaves, leaves[i])
		}
	}
	lens := make([]uint8, n)
	for i, at := range rng.Perm(n)[:len(leaves)] {
		lens[at] = leaves[i]
	}
	return lens
}

// canonical gives the codes of RFC 1951, 3.2.2, first bit lowest.
func canonical(lens []uint8) []uint32 {
	codes := make([]uint32, len(lens))
	code := uint32(0)
	for n := uint8(1); n <= maxCodeBits; n++ {
		for sym, l := range lens {
			if l == n {
				codes[sym] = bits.Reverse32(code) >> (32 - n)
				code++
			}
		}
		code <<= 1
	}
	return codes
}

// Each code followed by any bits leads to its symbol.
func TestTables(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		lens := randomLens(rng, maxLit)
		var b builder
		var lt litTable
		if !b.lit(&lt, lens) {
			t.Fatalf("not complete: %v", lens)
		}
		rest := rng.Uint32()
		for sym, code := range canonical(lens) {
			n := uint32(lens[sym])
			if n == 0 {
				continue
			}
			v := code | rest<<n
			e := lt[v&(1<<litRoot-1)]
			used := uint32(0)
			if e&litFlag == 0 && e&subFlag != 0 {
				used = litRoot
				e = lt[e>>16&0xfff+v>>litRoot&(1<<(e>>8&15)-1)]
			}
			switch {
			case sym < 256:
				if e&litFlag == 0 || int(e>>8&0xff) != sym || used+e&63 != n {
					t.Fatalf("literal %d of %d bits: entry %08x", sym, n, e)
				}
			case sym == 256:
				if e&(litFlag|endFlag) != endFlag || used+e&63 != n {
					t.Fatalf("end of %d bits: entry %08x", n, e)
				}
			default:
				if e&(litFlag|oddFlags) != 0 || e>>16 != litBase[sym]>>16 || used+e>>8&15 != n || e&63-e>>8&15 != litBase[sym]&63 {
					t.Fatalf("length symbol %d of %d bits: entry %08x", sym, n, e)
				}
			}
		}
	})
}

// A code that is not complete, or more than that, is refused.
func TestIncompleteCodes(t *testing.T) {
	for _, tt := range []struct {
		lens []uint8
		want bool
	}{
		{[]uint8{}, true},
		{[]uint8{0, 0, 0}, true},
		{[]uint8{0, 1}, true},
		{[]uint8{2}, false},
		{[]uint8{1, 2}, false},
		{[]uint8{1, 1}, true},
		{[]uint8{1, 1, 1}, false},
		{[]uint8{1, 2, 2}, true},
		{[]uint8{1, 2, 2, 15}, false},
		{[]uint8{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, false},
		{[]uint8{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 15}, true},
	} {
		var b builder
		var lt litTable
		var dt distTable
		if got := b.lit(&lt, tt.lens); got != tt.want {
			t.Errorf("literals %v: got %v", tt.lens, got)
		}
		if got := b.dist(&dt, tt.lens); got != tt.want {
			t.Errorf("distances %v: got %v", tt.lens, got)
		}
	}
}

// The bases and extra bits are those of RFC 1951, 3.2.5, at its corners.
func TestBases(t *testing.T) {
	for sym, want := range map[int][2]uint32{257: {3, 0}, 264: {10, 0}, 265: {11, 1}, 269: {19, 2}, 284: {227, 5}, 285: {258, 0}} {
		if got := [2]uint32{litBase[sym] >> 16, litBase[sym] & 63}; got != want {
			t.Errorf("length symbol %d: got %d, want %d", sym, got, want)
		}
	}
	for sym, want := range map[int][2]uint32{0: {1, 0}, 3: {4, 0}, 4: {5, 1}, 5: {7, 1}, 28: {16385, 13}, 29: {24577, 13}} {
		if got := [2]uint32{distBase[sym] >> 16, distBase[sym] & 63}; got != want {
			t.Errorf("distance symbol %d: got %d, want %d", sym, got, want)
		}
	}
}
