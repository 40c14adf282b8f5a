package zstdx

import (
	"bytes"
	"testing"

	"github.com/shalefs/shalefs/index/codec"
)

// A bitWriter writes the bit stream of sequences: what is put last is read first.
type bitWriter struct {
	bits []byte // one bit each
}

func (w *bitWriter) put(v uint64, n int) {
	for i := range n {
		w.bits = append(w.bits, byte(v>>i&1))
	}
}

// bytes ends the stream with its mark.
func (w *bitWriter) bytes() []byte {
	all := append(w.bits, 1)
	b := make([]byte, (len(all)+7)/8)
	for i, bit := range all {
		b[i/8] |= bit << (i % 8)
	}
	return b
}

// stateOf finds a state of a predefined table that stands for the symbol.
func stateOf(tab, sym int) uint64 {
	for i, e := range predefined[tab].entry[:1<<predefined[tab].log] {
		if e>>32 == fseValues[tab][sym]>>32 {
			return uint64(i)
		}
	}
	panic("no such symbol")
}

// handBlock makes a block of one sequence: 3 literals, match of 5 at the offset value
// (2 to 4 bits), with all tables in the mode. From the mode's predecessor prev modeRepeat knows
// which states to write.
func handBlock(mode, prev int, lits string, value uint64, last bool) []byte {
	body := []byte{byte(len(lits) << 3)} // raw literals
	body = append(body, lits...)
	body = append(body, 1, byte(mode<<6|mode<<4|mode<<2))
	code := 0
	for value>>(code+1) > 0 {
		code++
	}
	if mode == modeRLE {
		body = append(body, byte(len(lits)), byte(code), 2) // match code 2 is length 5
	}
	w := &bitWriter{}
	w.put(value&(1<<code-1), code)
	if mode == modePredefined || mode == modeRepeat && prev == modePredefined {
		w.put(stateOf(tabML, 2), 6)
		w.put(stateOf(tabOF, code), 5)
		w.put(stateOf(tabLL, len(lits)), 6)
	}
	body = append(body, w.bytes()...)
	return append(blockHead(blockCompressed, len(body), last), body...)
}

func blockHead(kind, size int, last bool) []byte {
	v := size<<3 | kind<<1
	if last {
		v |= 1
	}
	return []byte{byte(v), byte(v >> 8), byte(v >> 16)}
}

// TestRepeats covers what encoders rarely do: tables of one symbol, or predefined ones, repeated
// by later blocks, across raw and RLE blocks, which leave tables alone.
func TestRepeats(t *testing.T) {
	for name, first := range map[string]int{"RLE": modeRLE, "predefined": modePredefined} {
		t.Run(name, func(t *testing.T) {
			stream := []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x38} // window 128 KiB, no content size
			add := func(b []byte) { stream = append(stream, b...) }
			add(append(blockHead(blockRaw, 8, false), "01234567"...))
			add(handBlock(first, 0, "abc", 8, false)) // offset 5
			add(handBlock(modeRepeat, first, "def", 9, false))
			add(append(blockHead(blockRLE, 300, false), 'z'))
			add(handBlock(modeRepeat, first, "ghi", 15, false)) // the code of 8 ... 15
			add(append(blockHead(blockRaw, 0, false), ""...))
			add(handBlock(modeRepeat, first, "jkl", 12, true))

			want, err := stock(stream)
			if err != nil {
				t.Fatalf("stock decoder: %v", err)
			}
			c := scan(t, zstdCodec{everyBlock: true}, stream, codec.ScanOptions{SpanBytes: 1})
			if !bytes.Equal(c.out, want) {
				t.Fatalf("got %q, want %q", c.out, want)
			}
			if len(c.cps) != 6 {
				t.Errorf("%d checkpoints, want one per block with output: 6", len(c.cps))
			}
			checkSpans(t, stream, c, 0)
			sum := checkDictionaries(t, stream, c, 0)
			if (first == modeRLE) != (sum.RLE > 0) {
				t.Errorf("spans %+v", sum)
			}
		})
	}
}

// TestRepeatOffsets goes through all meanings of the small offset values.
func TestRepeatOffsets(t *testing.T) {
	stream := []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x38}
	add := func(b []byte) { stream = append(stream, b...) }
	add(append(blockHead(blockRaw, 30, false), "0123456789abcdefghijklmnopqrst"...))
	add(handBlock(modePredefined, 0, "A", 3+11, false))
	add(handBlock(modePredefined, 0, "B", 3+20, false))
	for i, lits := range []string{"x", "", "yy", "", "z", ""} {
		for v := uint64(1); v <= 3; v++ {
			add(handBlock(modePredefined, 0, lits, v, i == 5 && v == 3))
		}
	}
	want, err := stock(stream)
	if err != nil {
		t.Fatalf("stock decoder: %v", err)
	}
	c := scan(t, zstdCodec{everyBlock: true}, stream, codec.ScanOptions{SpanBytes: 1})
	if !bytes.Equal(c.out, want) {
		t.Fatalf("got %q, want %q", c.out, want)
	}
	checkSpans(t, stream, c, 0)
	checkDictionaries(t, stream, c, 0)
}
