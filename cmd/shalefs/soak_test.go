package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/shalefs/shalefs/cmd/internal/control"
	"github.com/shalefs/shalefs/layout/registry/registrytest"
)

// TestLifecycleSoak reads at random from a mount whose cache holds a tenth of the image, while
// the registry fails in every way it can, and looks at the end whether anything was left
// behind. SHALEFS_SOAK says how long; one minute if it is not set.
func TestLifecycleSoak(t *testing.T) {
	span := time.Minute
	if s := os.Getenv("SHALEFS_SOAK"); s != "" {
		var err error
		if span, err = time.ParseDuration(s); err != nil {
			t.Fatal(err)
		}
	}
	img := newRemoteImage(t, 40, 1<<20)
	img.shared(t)
	b := newBox(t)
	dir := b.mount(img.ref, "--trust=registry", "--prefetch=none", "--cache-size=4MiB", "--deadline=4s")
	names := make([]string, 0, len(img.files))
	for n := range img.files {
		names = append(names, n)
	}
	slices.Sort(names)

	ctx, cancel := context.WithTimeout(context.Background(), span)
	defer cancel()
	var wg sync.WaitGroup
	wg.Go(func() { img.misbehave(ctx) })
	var reads, failed [6]int
	for i := range reads {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(i), 7))
			for ctx.Err() == nil {
				name := names[rnd.IntN(len(names))]
				ok, err := readPart(filepath.Join(dir, name), img.files[name], rnd)
				if err != nil {
					t.Errorf("%s: %v", name, err)
					return
				}
				reads[i]++
				if !ok {
					failed[i]++
				}
			}
		})
	}
	// Memory, goroutines and descriptors are looked at after a while and at the end.
	time.Sleep(span / 4)
	before := b.gauges(dir)
	wg.Wait()
	img.up()
	img.recovered(t, dir)
	after := b.settled(dir, before)
	total, bad := 0, 0
	for i := range reads {
		total, bad = total+reads[i], bad+failed[i]
	}
	t.Logf("%d reads, %d of them EIO; at a quarter %v, at the end %v", total, bad, before, after)
	if total < 50 || bad == total {
		t.Errorf("only %d reads, %d of them failed", total, bad)
	}
	for name, most := range map[string]float64{"go_goroutines": before["go_goroutines"] + 20, "process_open_fds": before["process_open_fds"] + 20,
		"process_resident_memory_bytes": before["process_resident_memory_bytes"] + 64<<20} {
		if after[name] > most {
			t.Errorf("%s grew from %.0f to %.0f", name, before[name], after[name])
		}
	}
	b.run("umount", dir)
	b.run("cache", "verify")
	if left, _ := filepath.Glob(filepath.Join(b.cacheDir(), "v1", "tmp", "*")); len(left) > 0 {
		t.Errorf("temporary files are left: %v", left)
	}
}

// misbehave changes the proxy's faults until ctx ends.
func (img *remoteImage) misbehave(ctx context.Context) {
	rnd := rand.New(rand.NewPCG(5, 6))
	faults := []registrytest.Fault{
		registrytest.IgnoreRange(), registrytest.ContentRange("bytes 0-9/10"), registrytest.Short(1000), registrytest.Reset(5000),
		registrytest.Reset(0), registrytest.Stall(100), registrytest.Gzip(), registrytest.Corrupt(),
		registrytest.Status(http.StatusInternalServerError, nil, "no"), registrytest.Status(http.StatusForbidden, nil, "expired"),
		registrytest.Status(http.StatusTooManyRequests, http.Header{"Retry-After": {"1"}}, ""), registrytest.Status(http.StatusNotFound, nil, ""),
	}
	for ctx.Err() == nil {
		img.proxy.SetRules(&registrytest.Rule{
			Match: registrytest.Blobs(registrytest.Front), From: 1 + rnd.IntN(4), Count: 1 + rnd.IntN(3), Fault: faults[rnd.IntN(len(faults))],
		})
		img.proxy.Forget()
		select {
		case <-time.After(time.Duration(50+rnd.IntN(400)) * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

// readPart reads a part of a file, without the kernel's cache. ok is false for an EIO; bytes that are
// wrong, and any other error, are errors.
func readPart(path string, want []byte, rnd *rand.Rand) (ok bool, err error) {
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
		return false, err
	}
	n := 1 + rnd.IntN(len(want))
	if rnd.IntN(3) > 0 {
		n = min(n, 4096)
	}
	off := rnd.IntN(len(want) - n + 1)
	buf := make([]byte, n)
	if _, err := f.ReadAt(buf, int64(off)); err != nil {
		if errors.Is(err, unix.EIO) {
			return false, nil
		}
		return false, err
	}
	if !bytes.Equal(buf, want[off:off+n]) {
		return false, fmt.Errorf("wrong bytes in [%d, +%d)", off, n)
	}
	return true, nil
}

func (b *box) cacheDir() string { return b.value("SHALEFS_CACHE_DIR") }

func (b *box) value(name string) string {
	for _, e := range slices.Backward(b.env) {
		if v, ok := strings.CutPrefix(e, name+"="); ok {
			return v
		}
	}
	return ""
}

var gaugeLine = regexp.MustCompile(`(?m)^(go_goroutines|process_open_fds|process_resident_memory_bytes) (\S+)$`)

// gauges asks the mount for the gauges that show leaks.
func (b *box) gauges(dir string) map[string]float64 {
	b.t.Helper()
	b.t.Setenv("SHALEFS_RUN_DIR", b.value("SHALEFS_RUN_DIR"))
	text, err := control.Get(context.Background(), dir, "/metrics")
	if err != nil {
		b.t.Fatal(err)
	}
	values := map[string]float64{}
	for _, m := range gaugeLine.FindAllStringSubmatch(string(text), -1) {
		if values[m[1]], err = strconv.ParseFloat(m[2], 64); err != nil {
			b.t.Fatal(err)
		}
	}
	if len(values) != 3 {
		b.t.Fatalf("gauges: %v", values)
	}
	return values
}

// settled waits until the flights of the last reads have ended, or for half a minute.
func (b *box) settled(dir string, before map[string]float64) map[string]float64 {
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(200 * time.Millisecond) {
		g := b.gauges(dir)
		if g["go_goroutines"] <= before["go_goroutines"]+20 && g["process_open_fds"] <= before["process_open_fds"]+20 || time.Now().After(end) {
			return g
		}
	}
}
