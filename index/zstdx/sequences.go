package zstdx

// A seq is one command of a block: copy lit literals, then match bytes from off
// bytes back.
type seq struct {
	lit, match, off uint32
}

// refLenBits is the width of the length in an element of decoder.refs.
const refLenBits = 18

// The modes of a table in the sequences section (RFC 8878, 3.1.1.3.2.1).
const (
	modePredefined = iota
	modeRLE
	modeCompressed
	modeRepeat
)

// sequences decodes the sequences section p into d.seqs[:n]. lits is the number
// of literals. total is the size of the block. All sums and offsets are checked.
func (d *decoder) sequences(p piece, lits int) (total, n int, err error) {
	b := p.buf[p.lo:p.hi]
	if len(b) == 0 {
		return 0, 0, errSequences
	}
	head := 1
	switch n = int(b[0]); {
	case n == 255:
		head = 3
	case n >= 128:
		head = 2
	}
	if len(b) < head {
		return 0, 0, errSequences
	}
	switch head {
	case 2:
		n = (n-128)<<8 + int(b[1])
	case 3:
		n = int(little(b[1:3])) + 0x7F00
	}
	if n == 0 {
		if len(b) != head {
			return 0, 0, errSequences
		}
		return lits, 0, nil
	}
	// A match has three bytes or more.
	if 3*n > maxBlock || len(b) < head+1 {
		return 0, 0, errSequences
	}
	modes := b[head]
	head++
	if modes&3 != 0 {
		return 0, 0, errReserved
	}
	for i := range numFSE {
		k, err := d.mode(i, modes>>(6-2*i)&3, b[head:])
		if err != nil {
			return 0, 0, err
		}
		head += k
	}
	if len(d.seqs) < n {
		d.seqs = make([]seq, n+n/2)
	}
	if d.note && cap(d.refs) < n+1 {
		d.refs = make([]uint64, n+1+n/2)
	}
	p.lo += head
	total, err = d.unpack(p, d.seqs[:n], lits)
	return total, n, err
}

// mode prepares table i for the block and returns how many bytes of b its
// description takes.
func (d *decoder) mode(i int, mode byte, b []byte) (int, error) {
	switch mode {
	case modeRepeat:
		d.use[i] = useRepeat
		if !d.have[i] {
			return 0, errNoTable
		}
		return 0, nil
	case modePredefined:
		d.use[i], d.def[i] = useDefine, desc{kind: descPredefined}
		return 0, d.define(i, d.def[i])
	case modeRLE:
		if len(b) == 0 {
			return 0, errSequences
		}
		d.use[i], d.def[i] = useDefine, desc{kind: descRLE, sym: b[0]}
		return 1, d.define(i, d.def[i])
	}
	var norm [64]int16
	d.have[i] = false
	n, log, used, err := readCounts(b, fseLimits[i], &norm)
	if err != nil {
		return 0, err
	}
	d.use[i], d.def[i] = useDefine, desc{kind: descBytes, raw: b[:used]}
	if err := d.tab[i].build(norm[:n], log, &fseValues[i]); err != nil {
		return 0, err
	}
	d.have[i] = true
	return used, nil
}
