package gzipx

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/shalefs/shalefs/index/codec"
)

// corpus is the file that SHALEFS_CORPUS names (a tar, or a gzip file as it is), or
// generated text.
func corpus(b *testing.B) (comp []byte, size int64) {
	plain := text(rand.New(rand.NewPCG(1, 2)), 16<<20)
	if f := os.Getenv("SHALEFS_CORPUS"); f != "" {
		var err error
		if plain, err = os.ReadFile(f); err != nil {
			b.Fatal(err)
		}
	}
	if len(plain) > 2 && plain[0] == 0x1f && plain[1] == 0x8b {
		zr, err := gzip.NewReader(bytes.NewReader(plain))
		if err != nil {
			b.Fatal(err)
		}
		size, err = io.Copy(io.Discard, zr)
		if err != nil {
			b.Fatal(err)
		}
		return plain, size
	}
	var buf bytes.Buffer
	zw := gzip.NewWriter(&buf)
	if _, err := zw.Write(plain); err != nil {
		b.Fatal(err)
	}
	if err := zw.Close(); err != nil {
		b.Fatal(err)
	}
	return buf.Bytes(), int64(len(plain))
}

// cpuSpeed starts to measure; the function it returns reports the speed in terms of processor
// time, which a loaded machine does not falsify.
func cpuSpeed(b *testing.B, size int64) func() {
	cpu := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	start := cpu()
	return func() {
		b.ReportMetric(float64(size)*float64(b.N)/1e6/(cpu()-start).Seconds(), "cpu-MB/s")
	}
}

// text generates n bytes that compress about as programs and their documents do.
func text(rng *rand.Rand, n int) []byte {
	words := make([][]byte, 4000)
	for i := range words {
		w := make([]byte, 2+rng.IntN(9))
		for j := range w {
			w[j] = byte('a' + rng.IntN(1+rng.IntN(26)))
		}
		words[i] = w
	}
	var out []byte
	for len(out) < n {
		switch rng.IntN(40) {
		case 0:
			out = append(out, make([]byte, rng.IntN(200))...)
		case 1:
			for range rng.IntN(60) {
				out = append(out, byte(rng.Uint32()))
			}
		default:
			out = append(append(out, words[min(rng.IntN(4000), rng.IntN(4000))]...), ' ')
		}
	}
	return out[:n]
}

func BenchmarkScan(b *testing.B) {
	comp, size := corpus(b)
	b.SetBytes(size)
	report := cpuSpeed(b, size)
	var rec *record
	for b.Loop() {
		rec = &record{noOut: true}
		if _, err := New().Scan(context.Background(), bytes.NewReader(comp), codec.ScanOptions{Overhang: 64 << 10}, rec); err != nil {
			b.Fatal(err)
		}
	}
	report()
	n := 0
	for _, cp := range rec.cps {
		n += len(cp.State) + len(cp.Window)
	}
	b.ReportMetric(float64(n)/float64(len(comp))*100, "index-%")
	b.ReportMetric(float64(n)/float64(len(rec.cps)), "bytes/checkpoint")
	b.ReportMetric(float64(len(rec.cps)), "checkpoints")
}

func BenchmarkStock(b *testing.B) {
	comp, size := corpus(b)
	b.SetBytes(size)
	report := cpuSpeed(b, size)
	for b.Loop() {
		zr, err := gzip.NewReader(bytes.NewReader(comp))
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, zr); err != nil {
			b.Fatal(err)
		}
	}
	report()
}

func BenchmarkDecodeSpan(b *testing.B) {
	comp, _ := corpus(b)
	rec := &record{noOut: true}
	if _, err := New().Scan(context.Background(), bytes.NewReader(comp), codec.ScanOptions{}, rec); err != nil {
		b.Fatal(err)
	}
	end := rec.data[len(rec.data)-1].out
	i := 0
	b.SetBytes(1 << 20)
	report := cpuSpeed(b, 1<<20)
	for b.Loop() {
		cp := rec.cps[i]
		if i++; i == len(rec.cps) {
			i = 0
		}
		n := min(1<<20, end-cp.Out)
		err := New().Decode(context.Background(), cp, bytes.NewReader(comp[cp.In:]), n, func([]byte) error { return nil })
		if err != nil {
			b.Fatal(err)
		}
	}
	report()
}
