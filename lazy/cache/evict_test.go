package cache

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// eventually waits for a condition.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for start := time.Now(); !ok(); time.Sleep(time.Millisecond) {
		if time.Since(start) > time.Minute {
			t.Fatalf("still not: %s", what)
		}
	}
}

// Whole objects go first, those that were not used for the longest time; what is open stays.
func TestEvictWhole(t *testing.T) {
	c := open(t, t.TempDir(), Options{MaxBytes: 100 * UnitBytes, Open: 1})
	var names []Key
	for i := range 5 {
		b := content(uint64(i), 10*UnitBytes)
		o := object(t, c, fileKey(b), len(b))
		fill(t, o, b)
		*o.m.word64(24) = uint64(1000 + (i*3)%5) // used in the order 0 2 4 1 3
		_ = o.Close()
		names = append(names, fileKey(b))
	}
	open1 := object(t, c, names[0], 10*UnitBytes)
	defer open1.Close()
	p, err := c.Prune(context.Background(), PruneOptions{Bytes: 30 * UnitBytes})
	if err != nil || p.Bytes != 20*UnitBytes {
		t.Fatalf("%+v, %v", p, err)
	}
	var left []bool
	for _, n := range names {
		left = append(left, c.Present(n, 10*UnitBytes) == 10)
	}
	if want := []bool{true, true, false, true, false}; fmt.Sprint(left) != fmt.Sprint(want) {
		t.Errorf("left %v, want %v", left, want)
	}
	if p, err := c.Prune(context.Background(), PruneOptions{All: true}); err != nil || p.Objects != 2 || !open1.Complete() {
		t.Errorf("prune all: %+v, %v", p, err)
	}
	if p, err := c.Prune(context.Background(), PruneOptions{Unused: time.Hour}); err != nil || p.Objects != 0 {
		t.Errorf("prune unused: %+v, %v", p, err)
	}
}

// Parts of an open object go too, if there is nothing else: not those read lately, and
// nothing of a file that is handed out. The disk gets the blocks back.
func TestEvictParts(t *testing.T) {
	dir := t.TempDir()
	c := open(t, dir, Options{MaxBytes: 1000 * UnitBytes})
	b := content(1, 320*UnitBytes)
	o := object(t, c, fileKey(b), len(b))
	defer o.Close()
	fill(t, o, b)
	path, _ := c.path(o.id)
	blocks := func() int64 {
		st, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return st.Sys().(*syscall.Stat_t).Blocks * 512
	}
	before := blocks()
	if err := o.Seal(context.Background()); err != nil {
		t.Fatal(err)
	}
	f, err := o.File()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Prune(context.Background(), PruneOptions{Bytes: 100 * UnitBytes}); err != nil || !o.Complete() {
		t.Fatalf("a file that is handed out was evicted: %v", err)
	}
	_ = f.Close()
	for u := range int64(320) {
		o.m.unref(u)
	}
	p := make([]byte, UnitBytes)
	for u := 160; u < 176; u++ {
		if err := o.ReadAt(p, int64(u)*UnitBytes); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Prune(context.Background(), PruneOptions{Bytes: 100 * UnitBytes}); err != nil {
		t.Fatal(err)
	}
	if n := o.Present(); n > 100 || n < 80 {
		t.Errorf("%d units left", n)
	}
	for u := range int64(320) {
		err := o.ReadAt(p, u*UnitBytes)
		if err == nil && !bytes.Equal(p, b[u*UnitBytes:(u+1)*UnitBytes]) {
			t.Fatalf("wrong bytes in unit %d", u)
		}
		if u >= 160 && u < 176 && err != nil {
			t.Errorf("unit %d, read lately: %v", u, err)
		}
	}
	if after := blocks(); after > before/2 {
		t.Errorf("%d bytes on disk before, %d after", before, after)
	}
}

// Many readers and writers in a cache that is far too small: what is read is what was
// written, or missing, or, in the moment of eviction, found wrong by its digest and
// missing then; and the cache keeps to its size.
func TestEvictUnderLoad(t *testing.T) {
	dir := t.TempDir()
	const size = 64 * UnitBytes
	c1 := open(t, dir, Options{MaxBytes: 40 * UnitBytes})
	c2 := open(t, dir, Options{MaxBytes: 40 * UnitBytes})
	var bodies [4][]byte
	var keys [4]Key
	for i := range bodies {
		bodies[i] = content(uint64(i), size)
		keys[i] = fileKey(bodies[i])
	}
	var wg sync.WaitGroup
	var most, hits, wrong atomic.Int64
	for w := range 8 {
		c := c1
		if w%2 == 1 {
			c = c2
		}
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(1, uint64(w)))
			p := make([]byte, UnitBytes)
			for range 2000 {
				i := rnd.IntN(len(bodies))
				b := bodies[i]
				o, err := c.Object(keys[i], size)
				if err != nil {
					t.Error(err)
					return
				}
				off := rnd.Int64N(64) * UnitBytes
				want := b[off : off+UnitBytes]
				switch err := o.ReadAt(p, off); {
				case err == nil && bytes.Equal(p, want):
					hits.Add(1)
				case err == nil:
					wrong.Add(1)
					_ = o.Drop(off)
				case errors.Is(err, ErrMissing):
					if err := o.WriteAt(want, off); err != nil && !errors.Is(err, ErrFull) {
						t.Error(err)
					}
				default:
					t.Error(err)
				}
				most.Store(max(most.Load(), atomic.LoadInt64(c.used())))
				_ = o.Close()
			}
		})
	}
	wg.Wait()
	t.Logf("%d hits, %d wrong, at most %d units", hits.Load(), wrong.Load(), most.Load()/UnitBytes)
	if hits.Load() == 0 {
		t.Error("nothing was ever found")
	}
	if wrong.Load() != 0 {
		t.Errorf("%d reads gave wrong bytes", wrong.Load())
	}
	if m := most.Load(); m > 60*UnitBytes {
		t.Errorf("%d bytes used of %d", m, c1.max)
	}
}

func TestFull(t *testing.T) {
	c := open(t, t.TempDir(), Options{MaxBytes: 10 * UnitBytes})
	b := content(1, 30*UnitBytes)
	if _, err := c.NewTemp(int64(len(b))); !errors.Is(err, ErrFull) {
		t.Errorf("temp: %v", err)
	}
	o := object(t, c, fileKey(b), len(b))
	defer o.Close()
	full := 0
	for off := 0; off < len(b); off += UnitBytes {
		if err := o.WriteAt(b[off:off+UnitBytes], int64(off)); errors.Is(err, ErrFull) {
			full++
		} else if err != nil {
			t.Fatal(err)
		}
	}
	// It makes room by itself.
	eventually(t, "there is room", func() bool { return o.WriteAt(b[:UnitBytes], 0) == nil })
	if n := o.Present(); n > 10 {
		t.Errorf("%d units in a cache of 10", n)
	}
	big := make([]byte, 11*UnitBytes)
	if err := c.PutDoc("k", "n", big); !errors.Is(err, ErrFull) {
		t.Errorf("document: %v", err)
	}
	if left, _ := os.ReadDir(filepath.Join(c.root, "tmp")); len(left) != 0 {
		t.Errorf("left %v", left)
	}
}

// The disk is full: writes fail with that, and everything else goes on.
func TestNoSpace(t *testing.T) {
	var full atomic.Bool
	c := open(t, t.TempDir(), Options{Fault: func(op, _ string) error {
		if full.Load() && op == "write" {
			return unix.ENOSPC
		}
		return nil
	}})
	b := content(1, 4*UnitBytes)
	o := object(t, c, fileKey(b), len(b))
	defer o.Close()
	if err := o.WriteAt(b[:UnitBytes], 0); err != nil {
		t.Fatal(err)
	}
	full.Store(true)
	if err := o.WriteAt(b[UnitBytes:2*UnitBytes], UnitBytes); !errors.Is(err, unix.ENOSPC) || o.Has(UnitBytes) {
		t.Errorf("write: %v", err)
	}
	if err := c.PutDoc("k", "n", b[:9]); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("document: %v", err)
	}
	if _, err := c.Object(tarKey("ff"), 100); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("object: %v", err)
	}
	p := make([]byte, UnitBytes)
	if err := o.ReadAt(p, 0); err != nil || !bytes.Equal(p, b[:UnitBytes]) {
		t.Errorf("read: %v", err)
	}
	full.Store(false)
	fill(t, o, b)
	if err := o.Seal(context.Background()); err != nil {
		t.Error(err)
	}
}

// Documents may take a quarter of the cache before the oldest go.
func TestEvictDocs(t *testing.T) {
	c := open(t, t.TempDir(), Options{MaxBytes: 1 << 20})
	for i := range 8 {
		name := fmt.Sprint(i)
		if err := c.PutDoc("k", name, make([]byte, 100<<10)); err != nil {
			t.Fatal(err)
		}
		old := time.Now().Add(time.Duration(i-100) * time.Hour)
		if err := os.Chtimes(c.DocPath("k", name), old, old); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.GetDoc("k", "0"); err != nil { // used now
		t.Fatal(err)
	}
	if _, err := c.Prune(context.Background(), PruneOptions{Bytes: 1}); err != nil {
		t.Fatal(err)
	}
	names, err := c.Docs("k")
	if err != nil || fmt.Sprint(names) != "[0 7]" {
		t.Errorf("left %v, %v", names, err)
	}
}

// A map or data file that is damaged or foreign is replaced, not trusted.
func TestForeignFiles(t *testing.T) {
	dir := t.TempDir()
	b := content(1, 3*UnitBytes)
	spoil := map[string]func(path string) error{
		"no map":    func(p string) error { return os.Remove(p + ".map") },
		"no data":   os.Remove,
		"empty map": func(p string) error { return os.WriteFile(p+".map", nil, 0o600) },
		"other map": func(p string) error { return os.WriteFile(p+".map", newMap(9*UnitBytes, true, [16]byte{}), 0o600) },
		"garbage": func(p string) error {
			return os.WriteFile(p+".map", bytes.Repeat([]byte("x"), mapBytes(int64(len(b)))), 0o600)
		},
	}
	for name, f := range spoil {
		c := open(t, dir, Options{})
		o := object(t, c, fileKey(b), len(b))
		fill(t, o, b)
		path, _ := c.path(o.id)
		_ = o.Close()
		_ = c.Close()
		if err := f(path); err != nil {
			t.Fatal(err)
		}
		c = open(t, dir, Options{})
		o = object(t, c, fileKey(b), len(b))
		if o.Present() != 0 {
			t.Errorf("%s: %d units present", name, o.Present())
		}
		fill(t, o, b)
		if err := o.Seal(context.Background()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		_ = o.Close()
		_ = c.Close()
	}
	// A data file that was cut is found by reading.
	c := open(t, dir, Options{})
	o := object(t, c, fileKey(b), len(b))
	defer o.Close()
	path, _ := c.path(o.id)
	if err := os.Truncate(path, 10); err != nil {
		t.Fatal(err)
	}
	if err := o.ReadAt(make([]byte, 100), UnitBytes); err == nil {
		t.Error("read of a cut file")
	}
	if v, err := c.Verify(context.Background()); err != nil || len(v.Bad) != 1 || o.Present() != 0 {
		t.Errorf("verify: %+v, %v", v, err)
	}
}
