package gzipx

import "math/bits"

// Decoding tables. A table has 1<<rootBits entries that are found by the next
// bits of the stream, and behind them subtables for longer codes. The entries say
// all about a symbol: its bits, base value and extra bits, so that the loop that
// decodes has nothing to compute.
const (
	litRoot  = 11 // bits of the first lookup of the literal and length code
	distRoot = 8  // bits of the first lookup of the distance code
	lenRoot  = 7  // bits of the code of code lengths; it has no longer codes

	// The sizes leave room for the worst subtables (2342 and 402 entries for
	// complete codes of 288 and 32 symbols) and are powers of two, so that an index
	// masked by size-1 needs no check.
	litSize  = 4096
	distSize = 512
	lenSize  = 128

	maxCodeBits = 15
	maxLit      = 286 // most literal and length symbols of a dynamic block
	maxDist     = 30  // most distance symbols
)

// The layout of an entry of the literal and length table.
//
//	literal  31: 1; 8-15: the byte; 0-5: bits
//	length   16-24: base; 8-11: bits of the code; 0-5: bits of code and extra together
//	end      29: 1; 0-5: bits
//	subtable 30: 1; 16-27: its start; 8-11: its bits
//	invalid  28: 1
//
// In a subtable the bits are counted without the root bits.
//
// The layout of an entry of the distance table.
//
//	distance 16-31: base; 8-11: bits of the code; 0-5: bits of code and extra together
//	subtable 15: 1; 16-27: its start; 8-11: its bits
//	invalid  14: 1
const (
	litFlag     = 1 << 31
	subFlag     = 1 << 30
	endFlag     = 1 << 29
	badFlag     = 1 << 28
	oddFlags    = subFlag | endFlag | badFlag
	distSubFlag = 1 << 15
	distBadFlag = 1 << 14
	distOdd     = distSubFlag | distBadFlag
)

type litTable [litSize]uint32
type distTable [distSize]uint32
type lenTable [lenSize]uint32

// What each symbol's entry is before the bits of its code are added.
var (
	litBase  [288]uint32
	distBase [32]uint32
	lenBase  [19]uint32

	fixedLit  litTable
	fixedDist distTable
)

func init() {
	for i := range 256 {
		litBase[i] = litFlag | uint32(i)<<8
	}
	litBase[256] = endFlag
	// Lengths 3 to 10 have no extra bits; then each four symbols have one more.
	base := 3
	for i := 257; i < 285; i++ {
		extra := max(0, (i-261)/4)
		litBase[i] = uint32(base)<<16 | uint32(extra)
		base += 1 << extra
	}
	litBase[285] = 258 << 16
	litBase[286], litBase[287] = badFlag, badFlag

	base = 1
	for i := range 30 {
		extra := max(0, i/2-1)
		distBase[i] = uint32(base)<<16 | uint32(extra)
		base += 1 << extra
	}
	distBase[30], distBase[31] = distBadFlag, distBadFlag
	for i := range lenBase {
		lenBase[i] = uint32(i) << 16
	}

	var lens [288]uint8
	for i := range lens {
		switch {
		case i < 144:
			lens[i] = 8
		case i < 256:
			lens[i] = 9
		case i < 280:
			lens[i] = 7
		default:
			lens[i] = 8
		}
	}
	var b builder
	b.lit(&fixedLit, lens[:])
	for i := range 32 {
		lens[i] = 5
	}
	b.dist(&fixedDist, lens[:32])
}

// A builder makes tables from code lengths. It holds the scratch space.
type builder struct {
	count  [maxCodeBits + 1]int
	sorted [288]uint16
}

// lit makes the table of the literal and length code. It is false if the lengths
// are not those of a complete code.
func (b *builder) lit(t *litTable, lens []uint8) bool {
	return b.build(t[:], litRoot, lens, litBase[:], badFlag, subFlag)
}

func (b *builder) dist(t *distTable, lens []uint8) bool {
	return b.build(t[:], distRoot, lens, distBase[:], distBadFlag, distSubFlag)
}

func (b *builder) codeLens(t *lenTable, lens []uint8) bool {
	return b.build(t[:], lenRoot, lens, lenBase[:], distBadFlag, distSubFlag)
}

// build makes a table of a prefix code. bad is the entry of codes that are not
// assigned, sub the flag of references to subtables. An empty code, and a code of
// one symbol of one bit, are complete enough.
func (b *builder) build(t []uint32, root uint, lens []uint8, base []uint32, bad, sub uint32) bool {
	b.count = [maxCodeBits + 1]int{}
	for _, n := range lens {
		b.count[n&15]++
	}
	used := len(lens) - b.count[0]
	b.count[0] = 0
	longest, space := 0, 0
	for n := 1; n <= maxCodeBits; n++ {
		if b.count[n] > 0 {
			longest = n
		}
		space += b.count[n] << (maxCodeBits - n)
	}
	if space != 1<<maxCodeBits {
		if used > 1 || longest > 1 {
			return false
		}
		for i := range 1 << root {
			t[i] = bad
		}
		for sym, n := range lens {
			if n == 1 {
				for i := 0; i < 1<<root; i += 2 {
					t[i] = entry(base[sym], 1)
				}
			}
		}
		return true
	}

	var next [maxCodeBits + 2]int
	for n := 1; n <= maxCodeBits; n++ {
		next[n+1] = next[n] + b.count[n]
	}
	for sym, n := range lens {
		if n != 0 {
			b.sorted[next[n]] = uint16(sym)
			next[n]++
		}
	}

	// Codes up to the root length: a table of n bits is two copies of that of n-1
	// bits and the codes of n bits. code is the next code, first bit lowest.
	code, i := uint32(0), 0
	for n := 1; n <= int(root); n++ {
		if n > 1 {
			copy(t[1<<(n-1):1<<n], t[:1<<(n-1)])
		}
		for range b.count[n] {
			sym := b.sorted[i]
			t[code] = entry(base[sym], uint32(n))
			code = increment(code, n)
			i++
		}
	}
	// Longer codes, in subtables.
	end, start, subBits := uint32(1)<<root, uint32(0), 0
	prefix := ^uint32(0)
	for n := int(root) + 1; n <= longest; n++ {
		for left := b.count[n]; left > 0; left-- {
			if p := code & (1<<root - 1); p != prefix {
				prefix = p
				// The subtable is as long as its longest code, which is where
				// the codes that begin here have filled it.
				subBits = n - int(root)
				for filled := left; filled < 1<<subBits && int(root)+subBits < longest; {
					subBits++
					filled = filled*2 + b.count[int(root)+subBits]
				}
				start = end
				end += 1 << subBits
				if end > uint32(len(t)) {
					return false // not possible with a complete code
				}
				t[prefix] = sub | start<<16 | uint32(subBits)<<8
			}
			m := n - int(root)
			e := entry(base[b.sorted[i]], uint32(m))
			for j := code >> root; j < 1<<subBits; j += 1 << m {
				t[start+j] = e
			}
			code = increment(code, n)
			i++
		}
	}
	return true
}

// entry adds the bits of a code to what a symbol's entry is.
func entry(base, n uint32) uint32 {
	if base&litFlag != 0 {
		return base + n
	}
	return base + n + n<<8
}

// increment gives the code after c among those of n bits, first bit lowest.
func increment(c uint32, n int) uint32 {
	// In a word with the first bit highest this is an addition; here it clears the run of
	// ones at the top and sets the zero below.
	inv := ^c & (1<<n - 1)
	if inv == 0 {
		return 0
	}
	top := uint32(1) << (bits.Len32(inv) - 1)
	return c&(top-1) | top
}
