package gzipx

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/shalefs/shalefs/index/codec"
)

// The oracle: what follows a checkpoint is decoded by a stock inflater that knows
// nothing of checkpoints. It is given the window as a preset dictionary, and a
// stream that begins with a few bytes of ours: empty blocks that bring the bit offset to
// that of the checkpoint, and the header of the checkpoint's block. The stream
// then goes on with the original bytes, never shifted, since the padding of stored blocks
// depends on the alignment.

// bitWriter writes bits, lowest first.
type bitWriter struct {
	b []byte
	n uint
}

func (w *bitWriter) put(v uint64, n uint) {
	for i := range n {
		if w.n&7 == 0 {
			w.b = append(w.b, 0)
		}
		w.b[len(w.b)-1] |= byte(v>>i&1) << (w.n & 7)
		w.n++
	}
}

// emptyFixed is an empty block of 10 bits.
func (w *bitWriter) emptyFixed() {
	w.put(0, 1)
	w.put(1, 2)
	w.put(0, 7)
}

// emptyDynamic is an empty block of 91 bits, for odd offsets.
func (w *bitWriter) emptyDynamic() {
	w.put(0, 1)
	w.put(2, 2)
	w.put(0, 5)
	w.put(0, 5)
	w.put(14, 4)
	for _, sym := range lenOrder[:18] {
		if sym == 18 || sym == 1 {
			w.put(1, 3)
		} else {
			w.put(0, 3)
		}
	}
	w.put(0, 1) // literal 0: one bit
	w.put(1, 1) // 138 zeros
	w.put(127, 7)
	w.put(1, 1) // 117 zeros
	w.put(106, 7)
	w.put(0, 1) // end of block: one bit
	w.put(0, 1) // distance 0: one bit
	w.put(1, 1) // the end of this block
}

// stock decodes n bytes from a checkpoint of the stream comp.
func stock(cp codec.Checkpoint, comp []byte, n int64) ([]byte, error) {
	state := cp.State
	first := state[0]
	k, last, bit := kind(first&7), uint64(first>>3&1), uint(first>>4)
	comp = comp[cp.In:]
	if k == atMember {
		zr, err := gzip.NewReader(bytes.NewReader(comp))
		if err != nil {
			return nil, err
		}
		return readN(zr, n)
	}
	hist, m := binary.Uvarint(state[1:])
	state = state[1+m:]
	var w bitWriter
	header := func() {}
	switch k {
	case inDyn:
		bits, m := binary.Uvarint(state)
		state = state[m:]
		header = func() {
			w.put(last, 1)
			w.put(2, 2)
			for i := range uint(bits) {
				w.put(uint64(state[i/8]>>(i%8)), 1)
			}
		}
	case inFixed:
		header = func() {
			w.put(last, 1)
			w.put(1, 2)
		}
	case inStored:
		left := uint64(binary.LittleEndian.Uint16(state))
		w.put(last, 8)
		w.put(left, 16)
		w.put(^left, 16)
	}
	if k != inStored {
		header()
		length := w.n
		w = bitWriter{}
		if (length+w.n-bit)%2 != 0 {
			w.emptyDynamic()
		}
		for (length+w.n)%8 != bit {
			w.emptyFixed()
		}
		header()
		if bit != 0 {
			w.put(uint64(comp[0]>>bit), 8-bit)
			comp = comp[1:]
		}
	}
	// Zeros behind the end, since klauspost looks ahead of the symbol it decodes.
	r := bytes.NewReader(append(append(w.b, comp...), make([]byte, 8)...))
	win := make([]byte, winBytes)
	if err := unpackWindow(win, cp.Window); err != nil {
		return nil, err
	}
	zr := flate.NewReaderDict(r, win[winBytes-hist:])
	out, err := readN(zr, n)
	if int64(len(out)) == n {
		return out, nil
	}
	if err != nil {
		return out, fmt.Errorf("stock inflate: %w", err)
	}
	// The member is over, and r stands at its trailer.
	if _, err := r.Seek(8, io.SeekCurrent); err != nil {
		return nil, err
	}
	next, err := gzip.NewReader(r)
	if err != nil {
		return out, err
	}
	rest, err := readN(next, n-int64(len(out)))
	return append(out, rest...), err
}

// readN reads n bytes; what the reader says about what comes after them does not count.
func readN(r io.Reader, n int64) ([]byte, error) {
	out, err := io.ReadAll(io.LimitReader(r, n))
	if int64(len(out)) == n {
		err = nil
	}
	return out, err
}
