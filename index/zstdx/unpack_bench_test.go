package zstdx

import (
	"bytes"
	"testing"
)

// BenchmarkUnpack decodes the sequences of the first frame, one list after the other, and
// leaves the literals and the copying out.
func BenchmarkUnpack(b *testing.B) {
	forCorpora(b, func(b *testing.B, stream []byte, _ int64) {
		n := 0
		for b.Loop() {
			d := newDecoder()
			in := newInput()
			in.reset(bytes.NewReader(stream), 0)
			f, _, err := nextFrame(in, 1<<30)
			if err != nil {
				b.Fatal(err)
			}
			d.begin(f)
			d.note = true
			n = 0
			for last := false; !last; {
				hb, err := in.bytes(3)
				if err != nil {
					b.Fatal(err)
				}
				h := parseBlockHeader(hb)
				last = h.last
				p, err := in.take(h.stored())
				if err != nil {
					b.Fatal(err)
				}
				size := h.size
				if h.kind == blockCompressed {
					lit, rest, err := d.literals(p)
					if err != nil {
						b.Fatal(err)
					}
					var k int
					if size, k, err = d.sequences(rest, lit.hi-lit.lo); err != nil {
						b.Fatal(err)
					}
					n += k
				}
				d.since += int64(size)
				d.hist.pos += int64(size)
			}
		}
		b.ReportMetric(float64(n), "sequences")
	})
}
