package gzipx

import (
	"bytes"
	"compress/gzip"
	"math/rand/v2"
	"testing"

	"github.com/shalefs/shalefs/index/codec"
)

func TestSmoke(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, level := range []int{1, 6, 9, 0, -2} {
		plain := text(rng, 5<<20)
		var buf bytes.Buffer
		zw, _ := gzip.NewWriterLevel(&buf, level)
		zw.Write(plain)
		zw.Close()
		rec, res := scan(t, buf.Bytes(), codec.ScanOptions{SpanBytes: 100000})
		if !bytes.Equal(rec.out.Bytes(), plain) {
			t.Fatal("differs")
		}
		t.Log(level, res, len(rec.cps))
		for i, cp := range rec.cps {
			got, err := decode(cp, bytes.NewReader(buf.Bytes()[cp.In:]), 200000)
			if err != nil && i < len(rec.cps)-3 || !bytes.Equal(got, plain[cp.Out:min(len(plain), int(cp.Out)+200000)]) {
				t.Fatal(i, err)
			}
		}
	}
}
