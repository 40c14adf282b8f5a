package lazy_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/shalefs/shalefs/layout"
	"github.com/shalefs/shalefs/lazy"
	"github.com/shalefs/shalefs/lazy/cache"
	"github.com/shalefs/shalefs/lazy/lazytest"
)

// stallFirst stalls the first request before its first byte, until the channel is closed.
func stallFirst(stall chan struct{}) func(int, lazytest.Request) lazytest.Fault {
	return func(n int, _ lazytest.Request) lazytest.Fault {
		if n == 1 {
			return lazytest.Fault{Stall: stall}
		}
		return lazytest.Fault{}
	}
}

// One flight serves all who want the same, and those who want a part of it.
func TestSingleFlight(t *testing.T) {
	stall := make(chan struct{})
	r := newRig(t, rigOptions{layer: lazytest.LayerOptions{Size: 4 * mib}, hook: stallFirst(stall)})
	var wg sync.WaitGroup
	wg.Go(func() { r.want(mib, mib) })
	eventually(t, "a request is made", func() bool { return r.blob.Open() == 1 })
	for i := range int64(20) {
		wg.Go(func() { r.want(mib+i*50000, 10000) })
	}
	eventually(t, "all wait", func() bool { return r.Stats().Misses >= 16+20 })
	close(stall)
	wg.Wait()
	if n := len(r.blob.Requests()); n != 1 {
		t.Errorf("%d requests", n)
	}
}

// A reader that gives up gets its answer at once; the flight goes on as long as another
// waits, and ends with the last; who comes then starts a new one.
func TestInterrupt(t *testing.T) {
	stall := make(chan struct{})
	r := newRig(t, rigOptions{layer: lazytest.LayerOptions{Size: 4 * mib}, hook: stallFirst(stall)})
	read := func(ctx context.Context) chan error {
		done := make(chan error, 1)
		go func() {
			_, err := r.ReadAt(ctx, make([]byte, 1000), mib)
			done <- err
		}()
		return done
	}
	ctx1, cancel1 := context.WithCancel(context.Background())
	ctx2, cancel2 := context.WithCancel(context.Background())
	defer cancel1()
	defer cancel2()
	first := read(ctx1)
	eventually(t, "a request is made", func() bool { return r.blob.Open() == 1 })
	second := read(ctx2)
	eventually(t, "both wait", func() bool { return r.Stats().Misses == 2 })
	cancel1()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Fatalf("first: %v", err)
	}
	if r.blob.Open() != 1 {
		t.Fatal("the flight ended though somebody waits")
	}
	cancel2()
	if err := <-second; !errors.Is(err, context.Canceled) {
		t.Fatalf("second: %v", err)
	}
	// Not a moment later: the old flight may still be ending.
	r.want(mib, 1000)
	if n := len(r.blob.Requests()); n != 2 {
		t.Errorf("%d requests", n)
	}
	eventually(t, "the first stream is closed", func() bool { return r.blob.Open() == 0 })
	if s := r.Stats(); s.Errors != 0 {
		t.Errorf("interrupts count as errors: %+v", s)
	}
}

// Readers come and go all the time; who stays is served.
func TestInterruptStorm(t *testing.T) {
	r := newRig(t, rigOptions{
		layer: lazytest.LayerOptions{Size: 8 * mib, Span: 256 << 10},
		group: lazy.Options{MemoryBytes: 1}, // nothing is kept: everything is a flight
	})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 15 {
				ctx, cancel := context.WithCancel(context.Background())
				if i%2 == 0 {
					go cancel()
				}
				off := int64((i/2*31+j)%16) * 300000
				p, q := make([]byte, 100000), make([]byte, 100000)
				_, err := r.ReadAt(ctx, p, off)
				r.layer.Fill(q, off)
				if err == nil && string(p) != string(q) {
					t.Error("wrong bytes")
				}
				if err != nil && (i%2 == 1 || !errors.Is(err, context.Canceled)) {
					t.Errorf("reader %d: %v", i, err)
				}
				cancel()
			}
		})
	}
	wg.Wait()
}

// A request that brings nothing ends with the deadline, and the next one is tried (ERR-4).
func TestDeadline(t *testing.T) {
	stall := make(chan struct{})
	defer close(stall)
	r := newRig(t, rigOptions{
		layer: lazytest.LayerOptions{Size: 4 * mib}, hook: stallFirst(stall),
		group: lazy.Options{Deadline: 50 * time.Millisecond},
	})
	if err := r.try(0, 10); !errors.Is(err, layout.ErrUnavailable) {
		t.Fatalf("read: %v", err)
	}
	eventually(t, "the stream is closed", func() bool { return r.blob.Open() == 0 })
	eventually(t, "a read is served", func() bool { return r.try(0, 10) == nil })
}

// Flights of read-ahead that bring nothing end too, though nobody waits.
func TestDeadlineOfReadAhead(t *testing.T) {
	stall := make(chan struct{})
	defer close(stall)
	r := newRig(t, rigOptions{
		layer: lazytest.LayerOptions{Size: 4 * mib, Keep: true},
		cache: openCache(t, t.TempDir(), cache.Options{}),
		group: lazy.Options{Deadline: 50 * time.Millisecond},
		hook:  stallFirst(stall),
	})
	if err := r.Prefetch(context.Background(), []int{1, 2, 3}); !errors.Is(err, layout.ErrUnavailable) {
		t.Fatalf("prefetch: %v", err)
	}
}

// A chunk that comes wrong once is asked for once more, on another connection (section 4 of
// the trust rules), and nobody notices.
func TestCorruptOnce(t *testing.T) {
	r := newRig(t, rigOptions{
		layer: lazytest.LayerOptions{Size: 16 * mib, Slack: 300, Keep: true},
		cache: openCache(t, t.TempDir(), cache.Options{}),
		hook: func(n int, _ lazytest.Request) lazytest.Fault {
			return lazytest.Fault{Corrupt: n == 1, At: 3 * mib / 2}
		},
	})
	r.want(2*mib, 6*mib)
	q := r.blob.Requests()
	if len(q) != 3 || q[0].Fresh || !q[1].Fresh || q[2].Fresh {
		t.Errorf("requests %+v", q)
	}
	if s := r.Stats(); s.Corrupt != 1 || s.Errors != 0 {
		t.Errorf("stats %+v", s)
	}
}

// A chunk that is always wrong is an error, for those who read it only; it is not
// asked for all the time (ERR-3, DIG-15).
func TestCorruptForEver(t *testing.T) {
	for _, bad := range []int64{0, 3*mib + 100<<10, 4*mib - 1} {
		r := newRig(t, rigOptions{
			layer: lazytest.LayerOptions{Size: 4 * mib, Slack: 300, Keep: true},
			cache: openCache(t, t.TempDir(), cache.Options{}),
			hook: func(int, lazytest.Request) lazytest.Fault {
				return lazytest.Fault{Corrupt: true, At: bad / 2}
			},
		})
		if err := r.try(0, 4*mib); !errors.Is(err, lazy.ErrCorrupt) {
			t.Fatalf("%d: read of all: %v", bad, err)
		}
		for off := int64(0); off < 4*mib; off += lazy.ChunkBytes {
			err := r.try(off, lazy.ChunkBytes)
			if off/lazy.ChunkBytes == bad/lazy.ChunkBytes {
				if !errors.Is(err, lazy.ErrCorrupt) {
					t.Errorf("%d: the bad chunk: %v", bad, err)
				}
			} else if err != nil {
				t.Errorf("%d: chunk at %d: %v", bad, off, err)
			}
		}
		n := len(r.blob.Requests())
		for range 5 {
			if err := r.try(bad, 1); !errors.Is(err, lazy.ErrCorrupt) {
				t.Errorf("%d: again: %v", bad, err)
			}
		}
		if k := len(r.blob.Requests()) - n; k != 0 {
			t.Errorf("%d: %d more requests for a chunk known to be bad", bad, k)
		}
	}
}

// The memory of bad chunks is short.
func TestCorruptIsForgotten(t *testing.T) {
	var heal atomic.Bool
	r := newRig(t, rigOptions{
		layer: lazytest.LayerOptions{Size: mib},
		group: lazy.Options{BadFor: time.Millisecond},
		hook: func(int, lazytest.Request) lazytest.Fault {
			return lazytest.Fault{Corrupt: !heal.Load()}
		},
	})
	if err := r.try(0, 10); !errors.Is(err, lazy.ErrCorrupt) {
		t.Fatal(err)
	}
	heal.Store(true)
	eventually(t, "the chunk is read", func() bool { return r.try(0, 10) == nil })
}

// The n'th request fails in every way there is, for every n: each run ends in right bytes or a
// clean error, and the next one is right.
func TestNetworkFaults(t *testing.T) {
	kinds := map[string]func(lazytest.Request) lazytest.Fault{
		"refused": func(lazytest.Request) lazytest.Fault { return lazytest.Fault{Err: lazytest.ErrFault} },
		"reset": func(r lazytest.Request) lazytest.Fault {
			return lazytest.Fault{Err: lazytest.ErrFault, After: r.Len / 2}
		},
		"late": func(r lazytest.Request) lazytest.Fault {
			return lazytest.Fault{Err: lazytest.ErrFault, After: r.Len - 1}
		},
		"cut":     func(r lazytest.Request) lazytest.Fault { return lazytest.Fault{Cut: true, After: r.Len / 3} },
		"empty":   func(lazytest.Request) lazytest.Fault { return lazytest.Fault{Cut: true} },
		"corrupt": func(r lazytest.Request) lazytest.Fault { return lazytest.Fault{Corrupt: true, At: r.Off + r.Len/2} },
	}
	for name, kind := range kinds {
		t.Run(name, func(t *testing.T) {
			for n := 1; ; n++ {
				if n > 50 {
					t.Fatal("still failing")
				}
				reached := false
				r := newRig(t, rigOptions{
					layer: lazytest.LayerOptions{Size: 2 * mib, Span: 256 << 10, Slack: 200, Keep: true},
					cache: openCache(t, t.TempDir(), cache.Options{}),
					hook: func(k int, q lazytest.Request) lazytest.Fault {
						if k == n {
							reached = true
							return kind(q)
						}
						return lazytest.Fault{}
					},
				})
				failed := 0
				for _, off := range []int64{3 * mib / 2, 0, mib, mib + 5, 0, -1} {
					size := int64(300 << 10)
					if off < 0 {
						off, size = 0, 2*mib
					}
					if err := r.try(off, size); err != nil {
						failed++
						if !errors.Is(err, lazytest.ErrFault) && !errors.Is(err, layout.ErrUnavailable) {
							t.Errorf("fault %d: %v", n, err)
						}
					}
				}
				if failed > 1 || name == "corrupt" && failed > 0 {
					t.Errorf("fault %d: %d reads failed", n, failed)
				}
				r.want(0, 2*mib)
				_ = r.group.Close()
				if !reached {
					return
				}
			}
		})
	}
}

// The disk fails at its n'th operation, for every n, once or from then on, and writes short: no read fails or
// is wrong, and what the cache holds afterwards is right.
func TestDiskFaults(t *testing.T) {
	for _, mode := range []string{"once", "for ever", "short"} {
		step := 1
		if mode != "once" {
			step = 5
		}
		for n := 1; ; n += step {
			var count atomic.Int64
			var armed atomic.Bool
			fault := func(op, path string) error {
				if !armed.Load() {
					return nil
				}
				k := count.Add(1)
				switch {
				case mode == "once" && k == int64(n):
					return fmt.Errorf("%s: %w", op, lazytest.ErrFault)
				case mode == "for ever" && k >= int64(n):
					return fmt.Errorf("%s: %w", op, lazytest.ErrFault)
				case mode == "short" && k == int64(n) && op == "write":
					return cache.ErrShort
				}
				return nil
			}
			dir := t.TempDir()
			c, err := cache.Open(dir, cache.Options{MaxBytes: 1 << 30, Fault: fault})
			if err != nil {
				t.Fatal(err)
			}
			armed.Store(true)
			lo := lazytest.LayerOptions{Size: 400 << 10, Span: 200 << 10, Keep: true, Files: []lazytest.File{{Off: 130 << 10, Len: 130<<10 + 5}}}
			r := newRig(t, rigOptions{layer: lo, cache: c})
			r.want(100, 100<<10)
			r.want(0, lo.Size)
			r.want(0, lo.Size)
			_ = r.group.Close()
			done := count.Load() < int64(n)
			armed.Store(false)
			_ = c.Close()

			// Another process, with a disk that works.
			c2 := openCache(t, dir, cache.Options{})
			r2 := newRig(t, rigOptions{layer: lo, cache: c2})
			r2.want(0, lo.Size)
			if s := r2.Stats(); s.CacheCorrupt != 0 {
				t.Fatalf("%s %d: %d damaged chunks in the cache", mode, n, s.CacheCorrupt)
			}
			_ = r2.group.Close()
			_ = c2.Close()
			if done {
				break
			}
		}
	}
}

// What another process puts into the shared cache while a flight is under way is read from there.
func TestOvertaken(t *testing.T) {
	lo := lazytest.LayerOptions{Size: 4 * mib, Span: mib, Keep: true}
	c := openCache(t, t.TempDir(), cache.Options{})
	other := newRig(t, rigOptions{layer: lo, cache: c})
	first := other.layer.Span(0)
	last := other.layer.Chunk(first.Last - 1)
	r := newRig(t, rigOptions{layer: lo, cache: c, hook: func(n int, _ lazytest.Request) lazytest.Fault {
		if n == 1 {
			other.want(0, last.Off+int64(last.Len))
		}
		return lazytest.Fault{}
	}})
	r.want(0, 2*mib)
}
