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

// endBlock goes on after the end of a block.
func (d *inflater) endBlock() {
	if d.last {
		d.align()
		d.kind = atTrailer
	} else {
		d.kind = atBlock
	}
}

// blockHeader reads the header of a block, with the description of its code.
func (d *inflater) blockHeader() error {
	h, err := d.take(3)
	if err != nil {
		return err
	}
	d.last = h&1 != 0
	switch h >> 1 {
	case 0:
		d.align()
		if err := d.ensure(4); err != nil {
			return err
		}
		n, _ := d.u16()
		inv, _ := d.u16()
		if n != ^inv {
			return d.brokenf("stored block of length %04x, complement %04x", n, inv)
		}
		d.left = int(n)
		d.kind = inStored
		if n == 0 {
			d.endBlock()
		}
	case 1:
		d.kind = inFixed
	case 2:
		if err := d.dynamicHeader(); err != nil {
			return err
		}
		d.kind = inDyn
	default:
		return d.brokenf("block of type 3")
	}
	return nil
}

// stored copies bytes of a stored block.
func (d *inflater) stored(stop int) error {
	if err := d.ensure(1); err != nil {
		return err
	}
	n := min(d.left, stop-d.op, d.end-d.pos)
	copy(d.out[d.op:d.op+n], d.buf[d.pos:d.pos+n])
	d.op += n
	d.pos += n
	d.left -= n
	if d.left == 0 {
		d.endBlock()
	}
	return nil
}

// lenOrder is the order in which the lengths of the code of code lengths come.
var lenOrder = [19]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

// dynamicHeader reads the description of a code, keeps its bits in hdr, and makes
// the tables.
func (d *inflater) dynamicHeader() error {
	d.hdr, d.hdrN = d.hdr[:0], 0
	v, err := d.headerBits(14)
	if err != nil {
		return err
	}
	nlit, ndist, nlen := int(v&31)+257, int(v>>5&31)+1, int(v>>10)+4
	if nlit > maxLit || ndist > maxDist {
		return d.brokenf("block with %d literal and %d distance codes", nlit, ndist)
	}
	var lens [19]uint8
	for _, sym := range lenOrder[:nlen] {
		v, err := d.headerBits(3)
		if err != nil {
			return err
		}
		lens[sym] = uint8(v)
	}
	var t lenTable
	if !d.build.codeLens(&t, lens[:]) {
		return d.brokenf("incomplete code of code lengths")
	}
	all := d.lens[:nlit+ndist]
	for i := 0; i < len(all); {
		sym, err := d.lenSymbol(&t)
		if err != nil {
			return err
		}
		if sym < 16 {
			all[i] = sym
			i++
			continue
		}
		var extra uint
		var least int
		var fill uint8
		switch sym {
		case 16:
			if i == 0 {
				return d.brokenf("code length repeated before the first")
			}
			extra, least, fill = 2, 3, all[i-1]
		case 17:
			extra, least = 3, 3
		default:
			extra, least = 7, 11
		}
		v, err := d.headerBits(extra)
		if err != nil {
			return err
		}
		n := least + int(v)
		if n > len(all)-i {
			return d.brokenf("too many code lengths")
		}
		for range n {
			all[i] = fill
			i++
		}
	}
	if !d.build.lit(&d.lit, all[:nlit]) {
		return d.brokenf("incomplete literal code")
	}
	if !d.build.dist(&d.dist, all[nlit:]) {
		return d.brokenf("incomplete distance code")
	}
	return nil
}

// headerBits takes n bits and appends them to hdr.
func (d *inflater) headerBits(n uint) (uint32, error) {
	v, err := d.take(n)
	if err != nil {
		return 0, err
	}
	d.keepBits(v, n)
	return v, nil
}

func (d *inflater) keepBits(v uint32, n uint) {
	for i := uint(0); i < n; {
		if d.hdrN&7 == 0 {
			d.hdr = append(d.hdr, 0)
		}
		free := 8 - d.hdrN&7
		m := min(free, n-i)
		d.hdr[len(d.hdr)-1] |= byte(v>>i&(1<<m-1)) << (d.hdrN & 7)
		d.hdrN += m
		i += m
	}
}

func (d *inflater) lenSymbol(t *lenTable) (uint8, error) {
	for {
		e := t[d.bits&(lenSize-1)]
		n := uint(e & 63)
		if e&distBadFlag == 0 && n <= d.n {
			d.keepBits(uint32(d.bits&(1<<n-1)), n)
			d.drop(n)
			return uint8(e >> 16), nil
		}
		if d.n >= lenRoot {
			return 0, d.brokenf("invalid code length symbol")
		}
		if err := d.need(d.n + 1); err != nil {
			return 0, err
		}
	}
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
