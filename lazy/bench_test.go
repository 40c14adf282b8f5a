package lazy_test

import (
	"context"
	"testing"
	"time"

	"github.com/shalefs/shalefs/lazy"
	"github.com/shalefs/shalefs/lazy/cache"
	"github.com/shalefs/shalefs/lazy/lazytest"
)

// BenchmarkWarmRead reads from a cache that has all of it, in reads as the kernel sends them.
func BenchmarkWarmRead(b *testing.B) {
	for name, n := range map[string]int64{"4KiB": 4 << 10, "128KiB": 128 << 10, "1MiB": mib} {
		b.Run(name, func(b *testing.B) {
			const size = 64 * mib
			r := newRig(b, rigOptions{
				layer: lazytest.LayerOptions{Size: size, Keep: true},
				cache: openCache(b, b.TempDir(), cache.Options{}),
			})
			if err := r.Complete(context.Background()); err != nil {
				b.Fatal(err)
			}
			r.blob.Reset()
			p := make([]byte, n)
			b.SetBytes(n)
			b.ResetTimer()
			for i := range int64(b.N) {
				if _, err := r.ReadStream(context.Background(), 1, p, i*n%size, size); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(len(r.blob.Requests()))/float64(b.N), "requests/op")
		})
	}
}

// BenchmarkColdSequential reads a file for the first time, over a line with 20 ms a
// request and 50 MB/s of compressed bytes; share is the part of the line's speed that is reached.
func BenchmarkColdSequential(b *testing.B) {
	const size, line = 256 * mib, 50e6
	for b.Loop() {
		r := newRig(b, rigOptions{
			layer: lazytest.LayerOptions{Size: size, Keep: true},
			cache: openCache(b, b.TempDir(), cache.Options{}),
		})
		r.blob.Latency, r.blob.BytesPerSecond = 20*time.Millisecond, line
		start := time.Now()
		r.stream(1, 0, size, 128<<10)
		b.ReportMetric(float64(size/2)/line/time.Since(start).Seconds(), "share")
		b.ReportMetric(float64(len(r.blob.Requests())), "requests/op")
		b.ReportMetric(float64(r.blob.Bytes()), "wire-bytes/op")
		_ = r.group.Close()
	}
	b.SetBytes(size)
}

// BenchmarkColdRandom reads 4 KiB at a time from anywhere, from a blob without delay.
func BenchmarkColdRandom(b *testing.B) {
	const size = 4096 * mib
	r := newRig(b, rigOptions{layer: lazytest.LayerOptions{Size: size}, group: lazy.Options{MemoryBytes: 1}})
	p := make([]byte, 4096)
	for i := range int64(b.N) {
		if _, err := r.ReadAt(context.Background(), p, i*104729*4096%size); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(r.blob.Requests()))/float64(b.N), "requests/op")
	b.ReportMetric(float64(r.blob.Bytes())/float64(b.N), "wire-bytes/op")
}
