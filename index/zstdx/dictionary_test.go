package zstdx

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/shalefs/shalefs/index/codec"
)

// The second oracle: a checkpoint written as an ordinary zstd dictionary (RFC 8878,
// section 5), and its span as a frame that names the dictionary, decoded by the stock
// decoder. No code of the package takes part but the parsers of the checkpoint.

// A tally counts what became of spans.
type tally struct{ Exact, Start, RLE int }

func (a *tally) add(b tally) {
	a.Exact += b.Exact
	a.Start += b.Start
	a.RLE += b.RLE
}

const dictID = 77

// dictionary writes a checkpoint as a dictionary; false if a table of one symbol
// is in use, which a dictionary cannot say.
func dictionary(t testing.TB, st state, win *sparse) ([]byte, bool) {
	b := binary.LittleEndian.AppendUint32(nil, 0xEC30A437)
	b = binary.LittleEndian.AppendUint32(b, dictID)
	if st.tabs[tabHuff].kind == descBytes {
		b = append(b, st.tabs[tabHuff].raw...)
	} else {
		b = append(b, 0x80, 0x10) // two symbols of one bit
	}
	for _, i := range []int{tabOF, tabML, tabLL} {
		switch d := st.tabs[i]; d.kind {
		case descRLE:
			return nil, false
		case descBytes:
			b = append(b, d.raw...)
		default:
			b = append(b, writeCounts(predefinedCounts[i].norm, predefinedCounts[i].log)...)
		}
	}
	size := max(win.top, 8)
	for _, r := range st.reps {
		if int64(r) <= st.frame.window {
			size = max(size, int64(r))
		}
	}
	for _, r := range st.reps {
		if int64(r) > size || r == 0 {
			r = 1 // not in use: the window is smaller
		}
		b = binary.LittleEndian.AppendUint32(b, r)
	}
	content := make([]byte, size)
	for i, r := range win.runs {
		copy(content[size-r.dist:], win.data[win.offs[i]:][:r.len])
	}
	return append(b, content...), true
}

// writeCounts writes the description of a distribution.
func writeCounts(norm []int16, log uint8) []byte {
	var acc uint64
	var n int
	put := func(v, k int) { acc, n = acc|uint64(v)<<n, n+k }
	var out []byte
	put(int(log)-5, 4)
	left := 1 << log
	for s := 0; left > 0; s++ {
		v := int(norm[s]) + 1
		top := left + 1
		width := bits.Len(uint(top))
		short := 1<<width - 1 - top
		half := 1 << (width - 1)
		switch {
		case v < short:
			put(v, width-1)
		case v >= half:
			put(v+short, width)
		default:
			put(v, width)
		}
		left -= max(v-1, 1-v)
		if v == 1 {
			panic("a count of 0 is not in the predefined tables")
		}
		for ; n >= 8; n -= 8 {
			out = append(out, byte(acc))
			acc >>= 8
		}
	}
	if n > 0 {
		out = append(out, byte(acc))
	}
	return out
}

func TestWriteCounts(t *testing.T) {
	for i, p := range predefinedCounts {
		var norm [64]int16
		b := writeCounts(p.norm, p.log)
		n, log, used, err := readCounts(b, fseLimits[i], &norm)
		if err != nil || used != len(b) || log != p.log || n != len(p.norm) {
			t.Fatalf("table %d: %d symbols, accuracy %d, %d of %d bytes, %v", i, n, log, used, len(b), err)
		}
		for s, c := range p.norm {
			if norm[s] != c {
				t.Errorf("table %d symbol %d: %d, want %d", i, s, norm[s], c)
			}
		}
	}
}

// checkDictionaries decodes every span with its overhang by the stock decoder.
func checkDictionaries(t testing.TB, stream []byte, c *collect, overhang int64) tally {
	t.Helper()
	var sum tally
	for i, cp := range c.cps {
		end := int64(len(c.out))
		if i+1 < len(c.cps) {
			end = min(end, c.cps[i+1].Out+overhang)
		}
		st, _, err := parseState(cp.State)
		if err != nil {
			t.Fatal(err)
		}
		if st.start {
			sum.Start++
			continue
		}
		win, err := unpackWindow(cp.Window, st.frame.window)
		if err != nil {
			t.Fatal(err)
		}
		dict, ok := dictionary(t, st, win)
		if !ok {
			sum.RLE++
			continue
		}
		frame, n := spanFrame(stream, cp, st, c, end)
		d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderDicts(dict), zstd.WithDecoderMaxWindow(1<<30))
		if err != nil {
			t.Fatalf("span %d at %d: dictionary: %v", i, cp.Out, err)
		}
		got, err := d.DecodeAll(frame, nil)
		d.Close()
		if err != nil {
			t.Fatalf("span %d at %d: stock decoder: %v", i, cp.Out, err)
		}
		if !bytes.Equal(got, c.out[cp.Out:cp.Out+n]) {
			t.Fatalf("span %d at %d: stock decoder gives other bytes", i, cp.Out)
		}
		sum.Exact++
	}
	return sum
}

// spanFrame makes a frame of the original blocks from a checkpoint up to the one that
// holds the last byte before end, or to the end of the frame, and says how many bytes that is.
func spanFrame(stream []byte, cp codec.Checkpoint, st state, c *collect, end int64) ([]byte, int64) {
	var blocks []byte
	in, out := cp.In, cp.Out
	stop := c.inEnd(end)
	var last int
	for {
		h := parseBlockHeader(stream[in:])
		last = len(blocks)
		next := in + 3 + int64(h.stored())
		blocks = append(blocks, stream[in:next]...)
		in = next
		for _, e := range c.ends {
			if e.in == in {
				out = e.out
			}
		}
		if h.last || in >= stop {
			break
		}
	}
	blocks[last] |= 1
	b := []byte{0x28, 0xb5, 0x2f, 0xfd, 0x83}
	b = append(b, windowByte(st.frame.window))
	b = binary.LittleEndian.AppendUint32(b, dictID)
	b = binary.LittleEndian.AppendUint32(b, uint32(out-cp.Out))
	return append(b, blocks...), out - cp.Out
}

// windowByte is the smallest window descriptor that is enough.
func windowByte(window int64) byte {
	for d := 0; ; d++ {
		base := int64(1) << (10 + d>>3)
		if base+base/8*int64(d&7) >= window {
			return byte(d)
		}
	}
}
