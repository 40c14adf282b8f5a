package zstdx

import (
	"bytes"
	"context"
	"io"
	"math/rand"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/shalefs/shalefs/index/codec"
)

// corpora gives the files named by SHALEFS_CORPUS (a pattern): plain ones compressed by the stock encoder at
// its default level, .zst ones as they are; without it, made up data.
var corpora = sync.OnceValue(func() map[string][]byte {
	m := map[string][]byte{}
	names, _ := filepath.Glob(os.Getenv("SHALEFS_CORPUS"))
	for _, n := range names {
		b, err := os.ReadFile(n)
		if err != nil {
			panic(err)
		}
		if filepath.Ext(n) != ".zst" {
			b = compress(&testing.B{}, b)
		}
		m[filepath.Base(n)] = b
	}
	if len(m) == 0 {
		m["madeup"] = compress(&testing.B{}, madeUp(1, 16<<20))
	}
	return m
})

// forCorpora runs a benchmark per stream with its decoded size set.
func forCorpora(b *testing.B, f func(b *testing.B, stream []byte, size int64)) {
	names := []string{}
	for n := range corpora() {
		names = append(names, n)
	}
	slices.Sort(names)
	for _, n := range names {
		b.Run(n, func(b *testing.B) {
			stream := corpora()[n]
			r, err := zstd.NewReader(bytes.NewReader(stream), zstd.WithDecoderMaxWindow(1<<30))
			if err != nil {
				b.Fatal(err)
			}
			defer r.Close()
			size, err := io.Copy(io.Discard, r)
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(size)
			b.ResetTimer()
			before := cpuTime()
			f(b, stream, size)
			// Wall times mean little on a busy machine: report the processor's time too.
			b.ReportMetric(float64(size)*float64(b.N)/1e6/(cpuTime()-before).Seconds(), "cpu-MB/s")
		})
	}
}

// cpuTime is what the process has used, all threads.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// counter is a sink that only counts.
type counter struct {
	cps []codec.Checkpoint
}

func (c *counter) Data([]byte, int64) error { return nil }
func (c *counter) Checkpoint(cp codec.Checkpoint) error {
	c.cps = append(c.cps, cp)
	return nil
}
func (c *counter) Pause(func() (codec.Snapshot, error)) error { return nil }

func BenchmarkScan(b *testing.B) {
	forCorpora(b, func(b *testing.B, stream []byte, size int64) {
		var c counter
		for b.Loop() {
			c = counter{}
			if _, err := New().Scan(context.Background(), bytes.NewReader(stream), codec.ScanOptions{Overhang: 64 << 10}, &c); err != nil {
				b.Fatal(err)
			}
		}
		var windows, states int
		var spans []int64
		squares := 0.0
		for i, cp := range c.cps {
			windows += len(cp.Window)
			states += len(cp.State)
			end := size
			if i+1 < len(c.cps) {
				end = c.cps[i+1].Out
			}
			spans = append(spans, end-cp.Out)
			squares += float64(end-cp.Out) * float64(end-cp.Out)
		}
		slices.Sort(spans)
		b.ReportMetric(100*float64(windows)/float64(len(stream)), "window-%")
		b.ReportMetric(100*float64(states)/float64(len(stream)), "state-%")
		b.ReportMetric(float64(len(spans)), "spans")
		b.ReportMetric(squares/2/float64(size)/(1<<20), "mean-MiB") // decoded to read a random byte
		b.ReportMetric(float64(spans[len(spans)/2])/(1<<20), "median-MiB")
		b.ReportMetric(float64(spans[len(spans)-1])/(1<<20), "max-MiB")
	})
}

// BenchmarkStock is the yardstick: the stock decoder, streaming on one core, and at once.
func BenchmarkStock(b *testing.B) {
	b.Run("stream", func(b *testing.B) {
		forCorpora(b, func(b *testing.B, stream []byte, _ int64) {
			for b.Loop() {
				r, err := zstd.NewReader(bytes.NewReader(stream), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(1<<30))
				if err != nil {
					b.Fatal(err)
				}
				if _, err := io.Copy(io.Discard, r); err != nil {
					b.Fatal(err)
				}
				r.Close()
			}
		})
	})
	b.Run("all", func(b *testing.B) {
		forCorpora(b, func(b *testing.B, stream []byte, size int64) {
			r, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(1<<30))
			if err != nil {
				b.Fatal(err)
			}
			defer r.Close()
			dst := make([]byte, 0, size+64)
			for b.Loop() {
				if _, err := r.DecodeAll(stream, dst); err != nil {
					b.Fatal(err)
				}
			}
		})
	})
}

// BenchmarkDecodeSpan reads 4 KiB at random places.
func BenchmarkDecodeSpan(b *testing.B) {
	forCorpora(b, func(b *testing.B, stream []byte, size int64) {
		var c counter
		if _, err := New().Scan(context.Background(), bytes.NewReader(stream), codec.ScanOptions{Overhang: 64 << 10}, &c); err != nil {
			b.Fatal(err)
		}
		rnd := rand.New(rand.NewSource(1))
		b.SetBytes(0)
		b.ResetTimer()
		for b.Loop() {
			off := rnd.Int63n(size - 4096)
			i, found := slices.BinarySearchFunc(c.cps, off, func(cp codec.Checkpoint, off int64) int { return int(cp.Out - off) })
			if !found {
				i--
			}
			cp := c.cps[i]
			if err := New().Decode(context.Background(), cp, bytes.NewReader(stream[cp.In:]), off+4096-cp.Out, func([]byte) error { return nil }); err != nil {
				b.Fatal(err)
			}
		}
	})
}
