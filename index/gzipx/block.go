package gzipx

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
