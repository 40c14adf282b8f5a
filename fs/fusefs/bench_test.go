package fusefs

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	shalefs "github.com/shalefs/shalefs/fs"
	"github.com/shalefs/shalefs/fs/fstest"
	"github.com/shalefs/shalefs/index/tarx"
)

// emptyContent has zeros.
type emptyContent struct{}

func (emptyContent) ReadAt(_ context.Context, _ shalefs.Ino, p []byte, _ int64) (int, error) {
	clear(p)
	return len(p), nil
}

// bigTree has 20 x 50 x 40 files.
func bigTree(b *testing.B) *shalefs.Tree {
	b.Helper()
	l := &fstest.Layer{}
	for i := range 20 {
		for j := range 50 {
			for k := range 40 {
				l.Entries = append(l.Entries, tarx.Entry{Path: fmt.Sprintf("top-%02d/sub-%02d/file-%03d", i, j, k), Mode: 0o644, Size: 4096, Stored: 4096})
			}
		}
	}
	t, err := shalefs.Merge(context.Background(), []shalefs.Layer{l}, shalefs.Options{})
	if err != nil {
		b.Fatal(err)
	}
	return t
}

// run runs a program and adds its processor time to *cpu: on a busy machine that says more
// than the clock.
func run(b *testing.B, cpu *time.Duration, name string, args ...string) {
	b.Helper()
	cmd := exec.Command(name, args...)
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		b.Fatal(err)
	}
	*cpu += cmd.ProcessState.SystemTime() + cmd.ProcessState.UserTime()
}

// BenchmarkWalk lists 40,000 files: cold is the first time after the mount.
func BenchmarkWalk(b *testing.B) {
	tree := bigTree(b)
	programs := map[string][]string{
		"find":   {"find", ".", "-name", "nope"},
		"printf": {"find", ".", "-printf", "%m %u %g %s %T@ %p\n"},
		"tar":    {"tar", "cf", "-", "."},
	}
	for name, words := range programs {
		walk := func(b *testing.B, cpu *time.Duration, dir string) {
			b.Helper()
			run(b, cpu, "sh", append([]string{"-c", `cd "$0" && exec "$@" >/dev/null`, dir}, words...)...)
		}
		if name == "tar" { // GNU tar does not read what it writes to /dev/null
			walk = func(b *testing.B, cpu *time.Duration, dir string) {
				b.Helper()
				run(b, cpu, "sh", "-c", `tar c -C "$0" . | cat >/dev/null`, dir)
			}
		}
		b.Run(name+"/cold", func(b *testing.B) {
			var cpu time.Duration
			for range b.N {
				b.StopTimer()
				s := mountTree(b, tree, emptyContent{}, Options{})
				b.StartTimer()
				walk(b, &cpu, s.Dir())
				b.StopTimer()
				if err := s.Unmount(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(cpu.Seconds()*1000/float64(b.N), "reader-cpu-ms/op")
		})
		b.Run(name+"/warm", func(b *testing.B) {
			s := mountTree(b, tree, emptyContent{}, Options{})
			var cpu time.Duration
			walk(b, &cpu, s.Dir())
			walk(b, &cpu, s.Dir())
			cpu = 0
			b.ResetTimer()
			for range b.N {
				walk(b, &cpu, s.Dir())
			}
			b.StopTimer()
			b.ReportMetric(cpu.Seconds()*1000/float64(b.N), "reader-cpu-ms/op")
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			b.ReportMetric(float64(m.HeapAlloc)/(1<<20), "heap-MiB")
		})
	}
}

// BenchmarkRead reads one big file, cold: the cost of the way through the kernel.
func BenchmarkRead(b *testing.B) {
	const size = 1 << 30
	l := &fstest.Layer{Entries: []tarx.Entry{{Path: "big", Mode: 0o644, Size: size, Stored: size}}}
	tree, err := shalefs.Merge(context.Background(), []shalefs.Layer{l}, shalefs.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(size)
	for range b.N {
		b.StopTimer()
		s := mountTree(b, tree, emptyContent{}, Options{})
		b.StartTimer()
		var cpu time.Duration
		run(b, &cpu, "dd", "if="+filepath.Join(s.Dir(), "big"), "of=/dev/null", "bs=1M", "status=none")
		b.StopTimer()
		if err := s.Unmount(); err != nil {
			b.Fatal(err)
		}
	}
}
