package gzipx

import "errors"

const (
	winBytes = 32 << 10  // the farthest a match reaches back
	maxMatch = 258       // the longest match
	outBytes = 256 << 10 // size of the output buffer, without its slack; a power of two
	outMask  = outBytes - 1

	// outSlack is how far over the end of a match its copy may write.
	outSlack = 64
	// outMargin is how far before a stop the fast loop ends, so that one round of it
	// cannot pass the stop.
	outMargin = maxMatch + 16
)

// A kind is where in the structure of the stream a decoder stands.
type kind uint8

const (
	atMember  kind = iota // before the header of a member
	atBlock               // before the header of a block
	inDyn                 // in a block with a code of its own, before a symbol
	inFixed               // in a block with the fixed code, before a symbol
	inStored              // in a stored block, with left bytes to go
	atTrailer             // after the last block of a member, at a byte
)

// An outArray is the output buffer. op is always below outBytes before a symbol.
type outArray [outBytes + maxMatch + outSlack]byte

// An inflater decodes the blocks of members. It does not interpret headers and
// trailers by itself: the scan and the reader do different things there.
type inflater struct {
	input

	kind kind
	last bool // the block is the member's last
	left int  // bytes that are left of a stored block, not zero in inStored

	out     *outArray // output: up to winBytes of history, then what is new
	op      int       // next byte of out
	hist    int       // where in out the member's history begins; no match reaches before it
	outBase int64     // offset in the decoded stream of out[0]

	mark *marks // the open window, or nil

	lit  litTable
	dist distTable
	hdr  []byte // the bits that describe the code of this dynamic block, from bit 0 on
	hdrN uint   // their number

	lens  [maxLit + maxDist]uint8
	build builder
}

// marks collects the bytes before a place of the output that matches after it
// touch.
type marks struct {
	at    int            // the place, in out
	hist  int            // where the member's history really begins
	bytes [winBytes]byte // the winBytes before the place, those not touched zero
}

// resetOutput readies the output for decoding from offset out.
func (d *inflater) resetOutput(out int64) {
	if d.out == nil {
		d.out = new(outArray)
	}
	d.op, d.hist, d.outBase = winBytes, winBytes, out-winBytes
	d.mark = nil
	d.last, d.left = false, 0
	d.kind = atMember
}

// outPos is the offset in the decoded stream of the next byte.
func (d *inflater) outPos() int64 { return d.outBase + int64(d.op) }

// slide moves the last winBytes of the output to the start of the buffer.
func (d *inflater) slide() {
	by := d.op - winBytes
	if by <= 0 {
		return
	}
	copy(d.out[:winBytes], d.out[by:d.op])
	d.op = winBytes
	d.hist = max(0, d.hist-by)
	d.outBase += int64(by)
}

// run decodes until op reaches stop or the member's blocks are over, which is
// kind atTrailer. It stops at the first symbol boundary where op >= stop, so op may
// pass it by maxMatch-1. It does not start in kind atMember.
func (d *inflater) run(stop int) error {
	for d.op < stop {
		var err error
		switch d.kind {
		case atBlock:
			err = d.blockHeader()
		case inDyn:
			err = d.symbols(&d.lit, &d.dist, stop)
		case inFixed:
			err = d.symbols(&fixedLit, &fixedDist, stop)
		case inStored:
			err = d.stored(stop)
		default:
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

var (
	errSymbol   = errors.New("invalid symbol")
	errDistance = errors.New("match reaches before the start of the data")
)

// symbols decodes symbols of a block: fast while there is enough input and
// room, else one by one, until the end of the block or until op >= stop.
func (d *inflater) symbols(lt *litTable, dt *distTable, stop int) error {
	for d.op < stop {
		if d.op < stop-outMargin && d.end-d.pos >= inSlack {
			if done, err := d.fast(lt, dt, stop-outMargin); done || err != nil {
				return err
			}
		}
		if done, err := d.symbol(lt, dt); done || err != nil {
			return err
		}
	}
	return nil
}

// symbol decodes one symbol, with all checks. It asks the reader for more only
// when bits are missing. It is true at the end of the block.
func (d *inflater) symbol(lt *litTable, dt *distTable) (bool, error) {
	var e uint32
	for {
		// Bits that are not there are zero; what is found so counts only if it
		// needs no more bits than there are.
		d.load()
		e = lt[d.bits&(1<<litRoot-1)]
		skip := uint(0)
		if e&(litFlag|subFlag) == subFlag {
			skip = litRoot
			e = lt[(uint64(e>>16&0xfff)+d.bits>>litRoot&(1<<(e>>8&15)-1))&(litSize-1)]
		}
		n := uint(e & 63)
		if e&(litFlag|badFlag) == badFlag {
			if d.n >= maxCodeBits {
				return false, d.broken(errSymbol)
			}
			n = maxCodeBits
		}
		if skip+n <= d.n {
			d.drop(skip)
			break
		}
		if err := d.need(d.n + 1); err != nil {
			return false, err
		}
	}
	if e&litFlag != 0 {
		d.drop(uint(e & 63))
		d.out[d.op] = byte(e >> 8)
		d.op++
		return false, nil
	}
	length := int(e>>16&0x1ff) + int(d.bits&(1<<(e&63)-1)>>(e>>8&15))
	d.drop(uint(e & 63))
	if e&endFlag != 0 {
		d.endBlock()
		return true, nil
	}
	dist, err := d.distance(dt)
	if err != nil {
		return false, err
	}
	if dist > d.op-d.hist && !d.outside(d.op, dist, length) {
		return false, d.broken(errDistance)
	}
	copyMatch(d.out, d.op, dist, length)
	d.op += length
	return false, nil
}

// distance decodes the distance of a match.
func (d *inflater) distance(dt *distTable) (int, error) {
	for {
		d.load()
		e := dt[d.bits&(1<<distRoot-1)]
		skip := uint(0)
		if e&distSubFlag != 0 {
			skip = distRoot
			e = dt[(uint64(e>>16)+d.bits>>distRoot&(1<<(e>>8&15)-1))&(distSize-1)]
		}
		n := uint(e & 63)
		if e&distBadFlag != 0 {
			if d.n >= maxCodeBits {
				return 0, d.broken(errSymbol)
			}
			n = maxCodeBits
		}
		if skip+n <= d.n {
			d.drop(skip)
			dist := int(e>>16) + int(d.bits&(1<<(n&63)-1)>>(e>>8&15))
			d.drop(n)
			return dist, nil
		}
		if err := d.need(d.n + 1); err != nil {
			return 0, err
		}
	}
}

// outside judges a match that reaches before hist. That is an error, unless a
// window is open and the match only reaches into it.
func (d *inflater) outside(op, dist, length int) bool {
	m := d.mark
	if m == nil || dist > op-m.hist {
		return false
	}
	from := op - dist
	to := min(from+length, m.at)
	copy(m.bytes[from-m.at+winBytes:], d.out[from:to])
	return true
}
