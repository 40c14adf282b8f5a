package fs_test

import (
	"context"
	"fmt"
	"runtime"
	"syscall"
	"testing"

	"github.com/shalefs/shalefs/fs"
	"github.com/shalefs/shalefs/fs/fstest"
	"github.com/shalefs/shalefs/index/tarx"
)

// bigLayer makes a layer of 20 x 50 x (files / 1000) files in the order of an archive.
func bigLayer(files int) *fstest.Layer {
	l := &fstest.Layer{}
	for i := range 20 {
		dir := fmt.Sprintf("usr/share/top-%02d", i)
		l.Entries = append(l.Entries, tarx.Entry{Path: dir, Kind: tarx.Directory, Mode: 0o755})
		for j := range 50 {
			sub := fmt.Sprintf("%s/sub-%02d", dir, j)
			l.Entries = append(l.Entries, tarx.Entry{Path: sub, Kind: tarx.Directory, Mode: 0o755})
			for k := range files / 1000 {
				l.Entries = append(l.Entries, tarx.Entry{
					Path: fmt.Sprintf("%s/file-%05d.py", sub, k*7919%(files/1000)), Mode: 0o644, Size: 100, Stored: 100,
				})
			}
		}
	}
	return l
}

// cpuSeconds is the processor time of this process so far: other processes do not count.
func cpuSeconds(b *testing.B) float64 {
	var ru syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &ru); err != nil {
		b.Fatal(err)
	}
	return float64(ru.Utime.Nano()+ru.Stime.Nano()) / 1e9
}

// BenchmarkMerge merges one million files in one layer; a second layer replaces a few.
func BenchmarkMerge(b *testing.B) {
	base := bigLayer(1_000_000)
	top := &fstest.Layer{}
	for i := range 1000 {
		top.Entries = append(top.Entries, base.Entries[i*997])
	}
	layers := []fs.Layer{base, top}
	runtime.GC()
	before := cpuSeconds(b)
	var t *fs.Tree
	for b.Loop() {
		var err error
		if t, err = fs.Merge(context.Background(), layers, fs.Options{}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric((cpuSeconds(b)-before)/float64(b.N), "cpu-s/op")
	runtime.GC()
	var with, without runtime.MemStats
	runtime.ReadMemStats(&with)
	n := t.NumInodes()
	runtime.KeepAlive(t) // and not longer
	runtime.GC()
	runtime.ReadMemStats(&without)
	runtime.KeepAlive(layers)
	b.ReportMetric(float64(with.HeapAlloc-without.HeapAlloc)/float64(n), "heap-B/inode")
}

// BenchmarkLookup looks names up in the directories of a big tree.
func BenchmarkLookup(b *testing.B) {
	l := bigLayer(100_000)
	t, err := fs.Merge(context.Background(), []fs.Layer{l}, fs.Options{})
	if err != nil {
		b.Fatal(err)
	}
	i := 0
	for b.Loop() {
		if _, err := t.Resolve(l.Entries[i%len(l.Entries)].Path, true); err != nil {
			b.Fatal(err)
		}
		i += 7
	}
}
