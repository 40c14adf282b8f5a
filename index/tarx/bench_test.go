package tarx

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"
)

func benchArchive(withPAX bool) []byte {
	var b []byte
	for i := range 20_000 {
		name := fmt.Sprintf("usr/lib/python3/dist-packages/package%d/module%d.py", i/50, i)
		if withPAX {
			b = append(b, pax("mtime=1700000000.123456789", "path="+name).bytes()...)
		}
		b = append(b, rec{typ: '0', name: name, body: "x = 1\n"}.bytes()...)
	}
	return append(b, make([]byte, 1024)...)
}

// BenchmarkParser reads 20,000 small files an operation.
func BenchmarkParser(b *testing.B) {
	for _, pax := range []bool{false, true} {
		data := benchArchive(pax)
		b.Run(fmt.Sprintf("pax=%v", pax), func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				p := NewParser(Options{}, &failing{})
				for i := 0; i < len(data); i += 64 << 10 {
					if _, err := p.Write(data[i:min(i+64<<10, len(data))]); err != nil {
						b.Fatal(err)
					}
				}
			}
			b.ReportMetric(20_000*float64(b.N)/b.Elapsed().Seconds(), "entries/s")
		})
		b.Run(fmt.Sprintf("archive-tar/pax=%v", pax), func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				tr := tar.NewReader(bytes.NewReader(data))
				for {
					if _, err := tr.Next(); errors.Is(err, io.EOF) {
						break
					} else if err != nil {
						b.Fatal(err)
					}
				}
			}
			b.ReportMetric(20_000*float64(b.N)/b.Elapsed().Seconds(), "entries/s")
		})
	}
}
