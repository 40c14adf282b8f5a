package lazy_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/shalefs/shalefs/lazy"
	"github.com/shalefs/shalefs/lazy/cache"
	"github.com/shalefs/shalefs/lazy/lazytest"
)

// What one loader recorded, another one fetches in few requests, and reads without any.
func TestProfile(t *testing.T) {
	lo := lazytest.LayerOptions{Size: 256 * mib, Keep: true}
	r := newRig(t, rigOptions{layer: lo, cache: openCache(t, t.TempDir(), cache.Options{})})
	r.want(0, 10) // before
	r.Record()
	read := func(r *rig) {
		for i := range int64(60) {
			r.want(100*mib+i*i*1000, 3000)
			r.want(200*mib-i*20000, 100)
		}
	}
	read(r)
	profile := r.Recorded()
	if len(profile) < 60 || len(profile) > 140 || profile[0] != 1600 || profile[1] != 3200 {
		t.Fatalf("profile of %d chunks: %v", len(profile), profile)
	}

	r2 := newRig(t, rigOptions{layer: lo, cache: openCache(t, t.TempDir(), cache.Options{})})
	ctx := context.Background()
	if err := r2.Prefetch(ctx, append(profile, -5, 1<<30, profile[0])); err != nil {
		t.Fatal(err)
	}
	n, b := len(r2.blob.Requests()), r2.blob.Bytes()
	t.Logf("%d chunks, %d requests, %d bytes", len(profile), n, b)
	if n > 6 || b > 8*mib {
		t.Errorf("%d requests, %d bytes", n, b)
	}
	read(r2)
	if err := r2.Prefetch(ctx, profile); err != nil {
		t.Fatal(err)
	}
	if k := len(r2.blob.Requests()) - n; k != 0 {
		t.Errorf("%d requests after the prefetch", k)
	}
}

// What a profile names is not fetched by a reader himself while it is on its way, and reads of it
// start no read-ahead; other reads do.
func TestProfileLeads(t *testing.T) {
	lo := lazytest.LayerOptions{Size: 64 * mib, Keep: true}
	r := newRig(t, rigOptions{layer: lo, cache: openCache(t, t.TempDir(), cache.Options{})})
	var profile []int
	for c := range 400 { // 25 MiB
		profile = append(profile, c)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := r.Prefetch(context.Background(), profile); err != nil {
			t.Error(err)
		}
	})
	eventually(t, "the prefetch is under way", func() bool { return len(r.blob.Requests()) > 0 })
	p := make([]byte, 128<<10)
	stream := func(from, to int64) {
		for off := from; off < to; off += int64(len(p)) {
			if _, err := r.ReadStream(context.Background(), 7, p, off, 64*mib); err != nil {
				t.Fatal(err)
			}
		}
	}
	stream(0, 20*mib)
	wg.Wait()
	if n := r.Stats().ReadAhead; n != 0 {
		t.Errorf("%d flights of read-ahead", n)
	}
	if n := len(r.blob.Requests()); n > 2 {
		t.Errorf("%d requests: %v", n, r.blob.Requests())
	}
	stream(30*mib, 50*mib)
	if r.Stats().ReadAhead == 0 {
		t.Error("no read-ahead beside the profile")
	}
}

// A layer is completed in large ranges, only what is missing, and then needs no network.
func TestComplete(t *testing.T) {
	lo := lazytest.LayerOptions{Size: 48*mib + 5, Keep: true, Files: []lazytest.File{{Off: 5*mib + 512, Len: 20*mib + 3}}}
	c := openCache(t, t.TempDir(), cache.Options{})
	r := newRig(t, rigOptions{layer: lo, cache: c})
	r.want(30*mib, mib)
	if err := r.Complete(context.Background()); err != nil {
		t.Fatal(err)
	}
	n := len(r.blob.Requests())
	if n > 5 {
		t.Errorf("%d requests", n)
	}
	if s := r.Stats(); s.BytesFetched > r.layer.BlobSize()+4*mib || s.BytesFetched < r.layer.BlobSize() {
		t.Errorf("%d bytes fetched of %d", s.BytesFetched, r.layer.BlobSize())
	}
	if err := r.Complete(context.Background()); err != nil || len(r.blob.Requests()) != n {
		t.Errorf("again: %d requests, %v", len(r.blob.Requests())-n, err)
	}
	r2 := newRig(t, rigOptions{layer: lo, cache: c, hook: func(int, lazytest.Request) lazytest.Fault {
		return lazytest.Fault{Err: lazytest.ErrFault} // offline
	}})
	r2.want(0, 48*mib+5)
	if s := r2.Stats(); s.Present != s.Chunks {
		t.Errorf("%d of %d chunks present", s.Present, s.Chunks)
	}
}

func TestCompleteEnds(t *testing.T) {
	stall := make(chan struct{})
	r := newRig(t, rigOptions{
		layer: lazytest.LayerOptions{Size: 100 * mib, Keep: true},
		cache: openCache(t, t.TempDir(), cache.Options{}),
		hook:  func(int, lazytest.Request) lazytest.Fault { return lazytest.Fault{Stall: stall, After: 1000} },
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- r.Complete(ctx) }()
	eventually(t, "it is under way", func() bool { return r.blob.Open() > 0 })
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("complete: %v", err)
	}
	eventually(t, "all streams are closed", func() bool { return r.blob.Open() == 0 })
	close(stall)
}

// A reader is served while a layer is being completed, and gets chunks that are on
// their way in the background.
func TestForegroundFirst(t *testing.T) {
	stall := make(chan struct{})
	r := newRig(t, rigOptions{
		layer: lazytest.LayerOptions{Size: 64 * mib, Keep: true},
		cache: openCache(t, t.TempDir(), cache.Options{}),
		hook: func(n int, _ lazytest.Request) lazytest.Fault {
			if n <= 2 {
				return lazytest.Fault{Stall: stall, After: 1 << 20} // the background's
			}
			return lazytest.Fault{}
		},
	})
	done := make(chan error)
	go func() { done <- r.Complete(context.Background()) }()
	eventually(t, "background runs", func() bool { return r.blob.Open() == 2 })
	p := make([]byte, 100)
	var wg sync.WaitGroup
	wg.Go(func() { // rides on the background's flight, which does not move
		if _, err := r.ReadAt(context.Background(), p, 20*mib); err != nil {
			t.Error(err)
		}
	})
	r.want(0, mib) // it has come that far
	close(stall)
	wg.Wait()
	if err := <-done; err != nil {
		t.Error(err)
	}
	want := make([]byte, 100)
	if r.layer.Fill(want, 20*mib); !bytes.Equal(p, want) {
		t.Error("wrong bytes")
	}
}

// Bytes that change in the cache directory are found, dropped and fetched again (DIG-16).
func TestDamagedCache(t *testing.T) {
	dir := t.TempDir()
	lo := lazytest.LayerOptions{Size: 6 * mib, Keep: true, Files: []lazytest.File{{Off: mib, Len: 2 * mib}}}
	c := openCache(t, dir, cache.Options{})
	r := newRig(t, rigOptions{layer: lo, cache: c})
	if err := r.Complete(context.Background()); err != nil {
		t.Fatal(err)
	}
	flip := func() {
		t.Helper()
		n := 0
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || strings.HasSuffix(path, ".map") || !strings.Contains(path, fmt.Sprintf("%c%s", os.PathSeparator, "file")) && !strings.Contains(path, "tar") {
				return err
			}
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			if err != nil {
				return err
			}
			n++
			b := make([]byte, 1)
			if _, err := f.ReadAt(b, 100000); err != nil {
				return err
			}
			b[0] ^= 1
			_, err = f.WriteAt(b, 100000)
			return errors.Join(err, f.Close())
		})
		if err != nil || n != 2 {
			t.Fatalf("%d files changed, %v", n, err)
		}
	}
	flip()
	r2 := newRig(t, rigOptions{layer: lo, cache: c})
	r2.want(0, 6*mib)
	if s := r2.Stats(); s.CacheCorrupt != 2 || s.Corrupt != 0 || s.Requests == 0 || s.Requests > 2 {
		t.Errorf("stats %+v", s)
	}
	_ = r2.group.Close()
	r3 := newRig(t, rigOptions{layer: lo, cache: c})
	r3.want(0, 6*mib)
	if s := r3.Stats(); s.Requests != 0 {
		t.Errorf("%d requests when all was mended", s.Requests)
	}
}

// Readers at random in a cache of a tenth of the layer, in little memory, with faults.
func TestSoak(t *testing.T) {
	lo := lazytest.LayerOptions{Size: 20 * mib, Span: 256 << 10, Slack: 500, Keep: true, Files: []lazytest.File{{Off: 3 * mib, Len: 8 * mib}}}
	c := openCache(t, t.TempDir(), cache.Options{MaxBytes: 2 * mib})
	r := newRig(t, rigOptions{
		layer: lo, cache: c, group: lazy.Options{MemoryBytes: mib},
		hook: func(n int, q lazytest.Request) lazytest.Fault {
			switch n % 20 {
			case 7:
				return lazytest.Fault{Err: lazytest.ErrFault, After: q.Len / 2}
			case 13:
				return lazytest.Fault{Corrupt: true, At: q.Off + q.Len/2}
			}
			return lazytest.Fault{}
		},
	})
	var wg sync.WaitGroup
	for i := range int64(6) {
		wg.Go(func() {
			p, q := make([]byte, 100<<10), make([]byte, 100<<10)
			for j := range int64(60) {
				off := (i*7919 + j*j*104729) % (20*mib - int64(len(p)))
				if i%2 == 0 {
					off = i*3*mib + j*int64(len(p))
				}
				_, err := r.ReadStream(context.Background(), uint64(i), p, off, 20*mib)
				if r.layer.Fill(q, off); err == nil && !bytes.Equal(p, q) {
					t.Errorf("wrong bytes at %d", off)
				}
				if err != nil && !errors.Is(err, lazytest.ErrFault) && !errors.Is(err, lazy.ErrCorrupt) {
					t.Errorf("at %d: %v", off, err)
				}
			}
		})
	}
	wg.Wait()
	t.Logf("%+v", r.Stats())
}
