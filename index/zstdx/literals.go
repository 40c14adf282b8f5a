package zstdx

// The types of literals (RFC 8878, 3.1.1.3.1.1).
const (
	litRaw = iota
	litRLE
	litCompressed
	litTreeless
)

// literals decodes the literals section at the start of p. The literals have slack
// after them. It returns the rest of the block too.
func (d *decoder) literals(p piece) (lit, rest piece, err error) {
	b := p.buf[p.lo:p.hi]
	if len(b) < 2 {
		return lit, rest, errLiterals
	}
	kind, format := b[0]&3, b[0]>>2&3
	if kind == litRaw || kind == litRLE {
		return d.plainLiterals(p, kind, format)
	}

	head := int([4]uint8{3, 3, 4, 5}[format])
	if len(b) < head {
		return lit, rest, errLiterals
	}
	v := little(b[:head]) >> 4
	width := [4]uint8{10, 10, 14, 18}[format]
	regen := int(v & (1<<width - 1))
	size := int(v >> width)
	b = b[head:]
	if size > len(b) || regen > d.frame.blockMax() || regen == 0 {
		return lit, rest, errLiterals
	}
	rest = piece{p.buf, p.lo + head + size, p.hi}
	b = b[:size]
	if kind == litCompressed {
		n, err := d.plant(b)
		if err != nil {
			return lit, rest, err
		}
		d.use[tabHuff] = useDefine
		d.def[tabHuff] = desc{kind: descBytes, raw: b[:n]}
		b = b[n:]
	} else {
		d.use[tabHuff] = useRepeat
		if d.tree == nil {
			return lit, rest, errNoTable
		}
	}
	out := d.litBuf[:0:regen]
	if format == 0 {
		out, err = d.tree.Decompress1X(out, b)
	} else {
		out, err = d.tree.Decompress4X(out, b)
	}
	if err != nil || len(out) != regen {
		return lit, rest, errLiterals
	}
	return piece{d.litBuf, 0, regen}, rest, nil
}

// plainLiterals handles the two types without a tree.
func (d *decoder) plainLiterals(p piece, kind, format byte) (lit, rest piece, err error) {
	b := p.buf[p.lo:p.hi]
	var head, regen int
	switch format {
	case 0, 2:
		head, regen = 1, int(b[0]>>3)
	case 1:
		head, regen = 2, int(little(b[:2])>>4)
	default:
		head = 3
		if len(b) < 3 {
			return lit, rest, errLiterals
		}
		regen = int(little(b[:3]) >> 4)
	}
	size := regen
	if kind == litRLE {
		size = 1
	}
	if head+size > len(b) || regen > d.frame.blockMax() {
		return lit, rest, errLiterals
	}
	from := p.lo + head
	rest = piece{p.buf, from + size, p.hi}
	if kind == litRLE {
		fill(d.litBuf[:regen], p.buf[from])
		return piece{d.litBuf, 0, regen}, rest, nil
	}
	return piece{p.buf, from, from + regen}, rest, nil
}
