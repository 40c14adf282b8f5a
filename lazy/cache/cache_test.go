package cache

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/zeebo/blake3"
)

// content is deterministic and different in every unit.
func content(seed uint64, n int) []byte {
	r := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), 1})
	b := make([]byte, n)
	_, _ = r.Read(b)
	return b
}

func fileKey(b []byte) Key {
	s := blake3.Sum256(b)
	return Key{Kind: "file", Name: hex.EncodeToString(s[:])}
}

func tarKey(seed string) Key { return Key{Kind: "tar", Name: "sha256-" + seed} }

func open(t testing.TB, dir string, opt Options) *Cache {
	t.Helper()
	if opt.MaxBytes == 0 {
		opt.MaxBytes = 1 << 30
	}
	c, err := Open(dir, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func object(t testing.TB, c *Cache, k Key, size int) *Object {
	t.Helper()
	o, err := c.Object(k, int64(size))
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func fill(t testing.TB, o *Object, b []byte) {
	t.Helper()
	for off := 0; off < len(b); off += UnitBytes {
		if err := o.WriteAt(b[off:min(off+UnitBytes, len(b))], int64(off)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestObjectRoundTrip(t *testing.T) {
	for _, size := range []int{1, UnitBytes - 1, UnitBytes, UnitBytes + 1, 70*UnitBytes + 5} {
		dir := t.TempDir()
		b := content(1, size)
		c := open(t, dir, Options{})
		o := object(t, c, fileKey(b), size)
		if o.Complete() || o.Has(0) {
			t.Fatal("new object is not empty")
		}
		if err := o.ReadAt(make([]byte, 1), 0); !errors.Is(err, ErrMissing) {
			t.Fatalf("read of nothing: %v", err)
		}
		fill(t, o, b)
		if !o.Complete() {
			t.Fatal("not complete")
		}
		if err := o.Close(); err != nil {
			t.Fatal(err)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}

		c = open(t, dir, Options{})
		in, err := c.Info()
		if err != nil {
			t.Fatal(err)
		}
		if in.UsedBytes != int64(size) || in.Files != 1 || in.Complete != 1 {
			t.Fatalf("size %d: info %+v", size, in)
		}
		o = object(t, c, fileKey(b), size)
		for off := 0; off < size; off += UnitBytes {
			p := make([]byte, min(UnitBytes, size-off))
			if err := o.ReadAt(p, int64(off)); err != nil || !bytes.Equal(p, b[off:off+len(p)]) {
				t.Fatalf("size %d: read at %d: %v", size, off, err)
			}
		}
		_ = o.Close()
		_ = c.Close()
	}
}

// The chunks of a tar stream start anywhere, one to a unit, and reach into the next.
func TestUnalignedChunks(t *testing.T) {
	c := open(t, t.TempDir(), Options{})
	b := content(2, 10*UnitBytes)
	o := object(t, c, tarKey("aa"), len(b))
	defer o.Close()
	const shift = 512
	for off := shift; off+UnitBytes <= len(b); off += UnitBytes {
		if err := o.WriteAt(b[off:off+UnitBytes], int64(off)); err != nil {
			t.Fatal(err)
		}
	}
	// Forget the middle: what is around it stays whole.
	if err := o.punch(3, 5); err != nil {
		t.Fatal(err)
	}
	p := make([]byte, UnitBytes)
	for u, off := 0, shift; off+UnitBytes <= len(b); u, off = u+1, off+UnitBytes {
		err := o.ReadAt(p, int64(off))
		if gone := u == 3 || u == 4; gone != errors.Is(err, ErrMissing) {
			t.Fatalf("unit %d: %v", u, err)
		} else if !gone && !bytes.Equal(p, b[off:off+UnitBytes]) {
			t.Fatalf("unit %d: wrong bytes", u)
		}
	}
}

func TestNames(t *testing.T) {
	c := open(t, t.TempDir(), Options{})
	for _, k := range []Key{{"tar", ""}, {"tar", "../../x"}, {"other", "abcdef"}, {"file", "ab/cd"}, {"file", "ABCDEF"}, {"", "abcdef"}} {
		if _, err := c.Object(k, 1); !errors.Is(err, os.ErrInvalid) {
			t.Errorf("%v: %v", k, err)
		}
	}
	if _, err := c.Object(tarKey("aa"), maxSize+1); !errors.Is(err, os.ErrInvalid) {
		t.Errorf("huge: %v", err)
	}
	o := object(t, c, tarKey("aa"), 100)
	defer o.Close()
	for _, off := range []int64{-1, 1, 100, 1 << 62} {
		if err := o.WriteAt(make([]byte, 100), off); !errors.Is(err, os.ErrInvalid) {
			t.Errorf("write at %d: %v", off, err)
		}
	}
}

func TestSeal(t *testing.T) {
	c := open(t, t.TempDir(), Options{})
	b := content(3, 5*UnitBytes+7)
	o := object(t, c, fileKey(b), len(b))
	defer o.Close()
	ctx := context.Background()
	if err := o.Seal(ctx); !errors.Is(err, ErrMissing) {
		t.Fatalf("seal of nothing: %v", err)
	}
	fill(t, o, b)
	if _, err := o.File(); !errors.Is(err, ErrMissing) {
		t.Fatalf("file before seal: %v", err)
	}
	if err := o.Seal(ctx); err != nil {
		t.Fatal(err)
	}
	f, err := o.File()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(f.Name()); err != nil || !bytes.Equal(got, b) {
		t.Fatalf("file: %v", err)
	}
	// Nobody takes anything from a sealed object, not even somebody with other digests.
	if err := o.Drop(0); err != nil || !o.Has(0) {
		t.Fatalf("drop: %v", err)
	}
	if err := o.punch(0, 2); err == nil {
		t.Fatal("punched a file that is handed out")
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := o.punch(0, 2); err != nil || o.Has(0) || o.Sealed() {
		t.Fatalf("punch: %v", err)
	}
}

func TestSealFindsDamage(t *testing.T) {
	dir := t.TempDir()
	c := open(t, dir, Options{})
	b := content(4, 3*UnitBytes)
	o := object(t, c, fileKey(b), len(b))
	defer o.Close()
	bad := bytes.Clone(b)
	bad[UnitBytes+9] ^= 1
	fill(t, o, bad)
	if err := o.Seal(context.Background()); !errors.Is(err, ErrDamaged) {
		t.Fatalf("seal: %v", err)
	}
	if o.Present() != 0 {
		t.Fatal("damaged content stayed")
	}
	fill(t, o, b)
	if err := o.Seal(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func TestTemp(t *testing.T) {
	dir := t.TempDir()
	c := open(t, dir, Options{})
	b := content(5, 20*UnitBytes+1)
	write := func() *Temp {
		tmp, err := c.NewTemp(int64(len(b)))
		if err != nil {
			t.Fatal(err)
		}
		for off := 0; off < len(b); off += 1000 {
			if _, err := tmp.WriteAt(b[off:min(off+1000, len(b))], int64(off)); err != nil {
				t.Fatal(err)
			}
		}
		return tmp
	}
	if err := write().Commit(fileKey(b)); err != nil {
		t.Fatal(err)
	}
	o := object(t, c, fileKey(b), len(b))
	if !o.Sealed() || !o.Complete() {
		t.Fatal("not sealed")
	}
	_ = o.Close()
	// In use and not complete: filled in place.
	b2 := content(6, len(b))
	o = object(t, c, fileKey(b2), len(b2))
	if err := o.WriteAt(b2[:UnitBytes], 0); err != nil {
		t.Fatal(err)
	}
	copy(b, b2)
	if err := write().Commit(fileKey(b2)); err != nil {
		t.Fatal(err)
	}
	if err := o.Seal(context.Background()); err != nil {
		t.Fatal(err)
	}
	_ = o.Close()
	// Too little written, and given up: nothing stays.
	tmp, err := c.NewTemp(100)
	if err != nil {
		t.Fatal(err)
	}
	if err := tmp.Commit(fileKey(b)); err == nil {
		t.Fatal("committed nothing")
	}
	write().Abort()
	in, err := c.Info()
	if err != nil {
		t.Fatal(err)
	}
	if in.UsedBytes != int64(2*len(b)) || in.TempBytes != 0 || in.Complete != 2 {
		t.Fatalf("info %+v", in)
	}
	left, _ := os.ReadDir(filepath.Join(dir, version, "tmp"))
	if len(left) != 0 {
		t.Fatalf("left: %v", left)
	}
}

func TestDocs(t *testing.T) {
	c := open(t, t.TempDir(), Options{})
	long := string(bytes.Repeat([]byte("x/"), 300))
	for _, name := range []string{"sha256:ab", "host:5000/a/b:tag", "..", ".", "", long, "a\x00\xffb"} {
		if _, err := c.GetDoc("k", name); !errors.Is(err, ErrMissing) {
			t.Fatalf("%q: %v", name, err)
		}
		for _, s := range []string{"one", "", "another"} {
			if err := c.PutDoc("k", name, []byte(s)); err != nil {
				t.Fatal(err)
			}
			if got, err := c.GetDoc("k", name); err != nil || string(got) != s {
				t.Fatalf("%q: %q %v", name, got, err)
			}
		}
	}
	names, err := c.Docs("k")
	if err != nil || len(names) != 3 {
		t.Fatalf("docs %q %v", names, err)
	}
	in, _ := c.Info()
	if in.Docs != 7 || in.UsedBytes != 7*7 {
		t.Fatalf("info %+v", in)
	}
	if err := c.RemoveDoc("k", "sha256:ab"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.GetDoc("k", "sha256:ab"); !errors.Is(err, ErrMissing) {
		t.Fatal(err)
	}
}
