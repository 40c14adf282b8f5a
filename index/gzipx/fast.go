package gzipx

import "encoding/binary"

// fast decodes symbols while op < stop and inSlack bytes of input are there. It
// is true at the end of the block. It differs from symbol in that it checks input
// and room once for several symbols, keeps its state in local variables, and
// copies matches by words. Offsets in out are masked, which changes none of them
// and shows the compiler that they need no check.
func (d *inflater) fast(lt *litTable, dt *distTable, stop int) (bool, error) {
	var (
		in   = d.buf[:d.end]
		pos  = d.pos
		safe = d.end - inSlack
		out  = d.out
		op   = d.op
		hist = d.hist
		buf  = d.bits
		n    = d.n
		err  error
		done bool
	)
	// The bits of buf over n are either zero or those that the next load puts
	// there anyway, so that it can load whole words. A round starts with at least 56.
	for op < stop && pos <= safe {
		buf |= load64(in, pos) << (n & 63)
		pos += int((63 - n) >> 3)
		n |= 56
		e := lt[buf&(1<<litRoot-1)]
		if e&litFlag != 0 {
			// Up to three codes of at most 11 bits each leave enough to look up the next.
			buf >>= e & 63
			n -= uint(e & 63)
			out[op&outMask] = byte(e >> 8)
			op++
			e = lt[buf&(1<<litRoot-1)]
			if e&litFlag != 0 {
				buf >>= e & 63
				n -= uint(e & 63)
				out[op&outMask] = byte(e >> 8)
				op++
				e = lt[buf&(1<<litRoot-1)]
				if e&litFlag != 0 {
					buf >>= e & 63
					n -= uint(e & 63)
					out[op&outMask] = byte(e >> 8)
					op++
					continue
				}
			}
			buf |= load64(in, pos) << (n & 63)
			pos += int((63 - n) >> 3)
			n |= 56
		}
		// At least 56 bits; a match takes at most 15+5+15+13 = 48.
		if e&oddFlags != 0 {
			if e&subFlag != 0 {
				buf >>= litRoot
				n -= litRoot
				e = lt[(uint64(e>>16&0xfff)+buf&(1<<(e>>8&15)-1))&(litSize-1)]
				if e&litFlag != 0 {
					buf >>= e & 63
					n -= uint(e & 63)
					out[op&outMask] = byte(e >> 8)
					op++
					continue
				}
			}
			if e&endFlag != 0 {
				buf >>= e & 63
				n -= uint(e & 63)
				done = true
				break
			}
			if e&badFlag != 0 {
				err = errSymbol
				break
			}
		}
		length := int(e>>16&0x1ff) + int(buf&(1<<(e&63)-1)>>(e>>8&15))
		buf >>= e & 63
		n -= uint(e & 63)
		f := dt[buf&(1<<distRoot-1)]
		if f&distOdd != 0 {
			if f&distSubFlag != 0 {
				buf >>= distRoot
				n -= distRoot
				f = dt[(uint64(f>>16)+buf&(1<<(f>>8&15)-1))&(distSize-1)]
			}
			if f&distBadFlag != 0 {
				err = errSymbol
				break
			}
		}
		dist := int(f>>16) + int(buf&(1<<(f&63)-1)>>(f>>8&15))
		buf >>= f & 63
		n -= uint(f & 63)
		if dist > op-hist && !d.outside(op, dist, length) {
			err = errDistance
			break
		}
		from, end := op-dist, op+length
		if dist >= 8 {
			for {
				a, b := out[from&outMask:], out[op&outMask:]
				binary.LittleEndian.PutUint64(b, binary.LittleEndian.Uint64(a))
				binary.LittleEndian.PutUint64(b[8:], binary.LittleEndian.Uint64(a[8:]))
				op += 16
				from += 16
				if op >= end {
					break
				}
			}
		} else {
			copyNear(out, op, dist, length)
		}
		op = end
	}
	d.op, d.pos, d.n = op, pos, n
	d.bits = buf & (1<<(n&63) - 1)
	if err != nil {
		return false, d.broken(err)
	}
	if done {
		d.endBlock()
	}
	return done, nil
}

// copyNear copies a match of a distance below 8, which repeats itself: it builds
// a word that is a whole number of repetitions and writes it again and again. It may
// write up to 7 bytes over the end.
func copyNear(out *outArray, op, dist, length int) {
	step := int(nearStep[dist&7])
	w := load64(out[:], op-dist)
	for n := dist; n < 8; n *= 2 {
		w &= 1<<(8*n) - 1
		w |= w << (8 * n)
	}
	for end := op + length; op < end; op += step {
		store64(out[:], op, w)
	}
}

// nearStep is the greatest multiple of each distance up to 8.
var nearStep = [8]uint8{8, 8, 8, 6, 8, 5, 6, 7}

// copyMatch copies a match, writing nothing over its end.
func copyMatch(out *outArray, op, dist, length int) {
	for end := op + length; op < end; {
		n := copy(out[op:end], out[op-dist:op])
		op += n
		dist += n
	}
}

func load64(b []byte, i int) uint64 { return binary.LittleEndian.Uint64(b[i:]) }

func store64(b []byte, i int, v uint64) { binary.LittleEndian.PutUint64(b[i:], v) }
