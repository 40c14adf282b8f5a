package zstdx

import (
	"bytes"

	"github.com/klauspost/compress/huff0"
)

// How a block treats a table.
const (
	useNone   = iota // the block does not touch it
	useDefine        // the block defines it (also: predefined, RLE)
	useRepeat        // the block uses what is there
)

// The kinds of a table description.
const (
	descNone       = iota // no table yet
	descPredefined        // the distribution of the specification
	descRLE               // one symbol
	descBytes             // a description as it stands in the stream
)

// A desc is what a decoder must know to build one table again.
type desc struct {
	kind uint8
	sym  uint8  // of descRLE
	raw  []byte // of descBytes
}

func (d desc) equal(e desc) bool {
	return d.kind == e.kind && d.sym == e.sym && bytes.Equal(d.raw, e.raw)
}

// A decoder decodes the blocks of one frame after the other. It is used by one
// goroutine at a time.
type decoder struct {
	hist  history
	frame frame
	since int64 // bytes of the frame before the current block

	reps [3]uint32
	huff *huff0.Scratch
	tree *huff0.Decoder // nil while no tree is defined
	tab  [numFSE]fseTable
	have [numFSE]bool // which of tab are defined

	// use and def tell what the newest block did to each table; def[i] is set
	// where use[i] is useDefine and aliases the block.
	use [numTabs]uint8
	def [numTabs]desc

	litBuf []byte // literals of compressed blocks
	seqs   []seq
	plain  bool // no assembly

	// refs collects, where note is set, the matches that begin before their block:
	// source offset in the stream << 18 | length.
	note bool
	refs []uint64

	// far serves references before origin, the stream offset where the history begins in
	// a decoder that started at a checkpoint; nil otherwise.
	far    *sparse
	origin int64
}

func newDecoder() *decoder {
	return &decoder{litBuf: make([]byte, maxBlock+slack), plain: !haveAsm}
}

// begin starts a frame.
func (d *decoder) begin(f frame) {
	d.frame = f
	d.since = 0
	d.reps = [3]uint32{1, 4, 8}
	d.tree = nil
	d.have = [numFSE]bool{}
	d.far = nil
}

// block decodes the content of one block into the history. want is how many bytes of
// it are needed: the rest may stay undone. It returns the number of bytes of the block, which
// the caller passes to hist.advance and adds to since.
func (d *decoder) block(h blockHeader, p piece, want int) (int, error) {
	d.use = [numTabs]uint8{}
	d.refs = d.refs[:0]
	d.hist.room()
	dst := d.hist.buf[d.hist.cur:]
	switch h.kind {
	case blockRaw:
		return copy(dst, p.buf[p.lo:p.hi]), nil
	case blockRLE:
		fill(dst[:h.size], p.buf[p.lo])
		return h.size, nil
	default:
		return d.compressed(p, want)
	}
}

// done makes the block that block decoded part of the history.
func (d *decoder) done(n int) {
	d.hist.advance(n)
	d.since += int64(n)
}

func (d *decoder) compressed(p piece, want int) (int, error) {
	lit, p, err := d.literals(p)
	if err != nil {
		return 0, err
	}
	total, n, err := d.sequences(p, lit.hi-lit.lo)
	if err != nil {
		return 0, err
	}
	if total > d.frame.blockMax() {
		return 0, errBlockSize
	}
	if err := d.execute(d.seqs[:n], lit, total, want); err != nil {
		return 0, err
	}
	return total, nil
}

// define builds one FSE table from its description.
func (d *decoder) define(i int, e desc) error {
	d.have[i] = false
	switch e.kind {
	case descPredefined:
		d.tab[i].use(&predefined[i])
	case descRLE:
		if int(e.sym) > fseLimits[i].maxSym {
			return errTable
		}
		d.tab[i].single(fseValues[i][e.sym])
	case descBytes:
		var norm [64]int16
		n, log, _, err := readCounts(e.raw, fseLimits[i], &norm)
		if err != nil {
			return err
		}
		if err := d.tab[i].build(norm[:n], log, &fseValues[i]); err != nil {
			return err
		}
	default:
		return errTable
	}
	d.have[i] = true
	return nil
}

// plant builds the Huffman tree whose description is at the start of b and returns the
// length of the description.
func (d *decoder) plant(b []byte) (int, error) {
	d.tree = nil
	s, rest, err := huff0.ReadTable(b, d.huff)
	if err != nil {
		return 0, errLiterals
	}
	d.huff = s
	d.tree = s.Decoder()
	return len(b) - len(rest), nil
}

// fill sets all bytes of p.
func fill(p []byte, v byte) {
	if len(p) == 0 {
		return
	}
	p[0] = v
	for n := 1; n < len(p); n *= 2 {
		copy(p[n:], p[:n])
	}
}
