package tarx

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A ranged serves an archive made of headers and of contents that are not kept in memory.
type ranged struct {
	size     int64
	parts    []part
	requests int
	bytes    int64
	err      error
}

type part struct {
	off int64
	b   []byte
}

func (r *ranged) add(b []byte) {
	r.parts = append(r.parts, part{r.size, b})
	r.size += int64(len(b))
}

func (r *ranged) ReadAt(_ context.Context, p []byte, off int64) (int, error) {
	if off < 0 || off+int64(len(p)) > r.size {
		return 0, fmt.Errorf("read of %d at %d, past the end %d", len(p), off, r.size)
	}
	r.requests++
	r.bytes += int64(len(p))
	clear(p)
	for _, x := range r.parts {
		if from := max(off, x.off); from < min(off+int64(len(p)), x.off+int64(len(x.b))) {
			copy(p[from-off:], x.b[from-x.off:])
		}
	}
	return len(p), r.err
}

// big adds a file of n bytes of zeros.
func (r *ranged) big(name string, n int64) {
	r.add(rec{typ: '0', name: name, size: oct(n)}.bytes())
	r.size += n + padding(n)
}

func TestWalkCosts(t *testing.T) {
	for _, c := range []struct {
		name     string
		fill     func(r *ranged)
		entries  int
		requests int
		bytes    int64
	}{
		{"four files of 500 MiB", func(r *ranged) {
			r.add(rec{typ: '5', name: "model"}.bytes())
			for i := range 4 {
				r.big(fmt.Sprint("model/", i), 500<<20)
			}
			r.add(make([]byte, 1024))
		}, 5, 20, 2 << 20},
		{"20,000 small files", func(r *ranged) {
			r.add(bytes.Repeat(rec{typ: '0', name: "f", body: "small"}.bytes(), 20_000))
			r.add(make([]byte, 1024))
		}, 20_000, 20, 21 << 20},
		{"large between small", func(r *ranged) {
			b := bytes.Repeat(rec{typ: '0', name: "f", body: "small"}.bytes(), 2000)
			for i := range 20 {
				r.add(b)
				r.big(fmt.Sprint("big", i), 100<<20)
			}
		}, 20 * 2001, 200, 80 << 20},
		{"nothing", func(*ranged) {}, 0, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			var r ranged
			c.fill(&r)
			var s seen
			stats, err := Walk(t.Context(), &r, r.size, WalkOptions{}, &s)
			if err != nil {
				t.Fatal(err)
			}
			if len(s.Entries) != c.entries || stats.End > r.size {
				t.Errorf("%d entries, want %d; end %d of %d", len(s.Entries), c.entries, stats.End, r.size)
			}
			if stats.Requests != r.requests || stats.Bytes != r.bytes {
				t.Errorf("stats %+v, but %d requests of %d bytes", stats, r.requests, r.bytes)
			}
			t.Logf("%d requests, %d bytes", r.requests, r.bytes)
			if r.requests > c.requests || r.bytes > c.bytes {
				t.Errorf("%d requests of %d bytes, want at most %d of %d", r.requests, r.bytes, c.requests, c.bytes)
			}
		})
	}
}

type readerAt struct{ *bytes.Reader }

func (r readerAt) ReadAt(_ context.Context, p []byte, off int64) (int, error) {
	return r.Reader.ReadAt(p, off)
}

// checkWalk compares a walk with a parse of the whole.
func checkWalk(t *testing.T, b []byte, opt WalkOptions) {
	t.Helper()
	want, wantErr := parse(b, opt.Options)
	want.Contents = nil
	got := &seen{}
	stats, gotErr := Walk(t.Context(), readerAt{bytes.NewReader(b)}, int64(len(b)), opt, got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("%+v: -parser +walk:\n%s", opt, diff)
	}
	if fmt.Sprint(wantErr) != fmt.Sprint(gotErr) {
		t.Fatalf("%+v: parser: %v, walk: %v", opt, wantErr, gotErr)
	}
	if stats.End > int64(len(b)) {
		t.Fatalf("end %d of %d", stats.End, len(b))
	}
}

func TestWalkEqualsParser(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	mixed := []rec{}
	for i := range 50 {
		mixed = append(mixed, rec{typ: '0', name: fmt.Sprint("f", i), body: strings.Repeat("x", rnd.IntN(20_000))})
	}
	for _, b := range append(samples(), archive(mixed...), rec{typ: '0', name: "cut", size: oct(1 << 30)}.bytes()) {
		for _, opt := range []WalkOptions{
			{}, {MinRead: 512, MaxRead: 512, Gap: 1}, {MinRead: 513, MaxRead: 5000, Gap: 3000}, {MinRead: 1 << 20, Gap: 1 << 20},
		} {
			checkWalk(t, b, opt)
		}
	}
}

func TestWalkErrors(t *testing.T) {
	lots := bytes.Repeat(file("f").bytes(), 1000)
	var s seen
	_, err := Walk(t.Context(), readerAt{bytes.NewReader(lots)}, int64(len(lots)), WalkOptions{MinRead: 512, MaxRead: 1024, MaxRequests: 3}, &s)
	if !errors.Is(err, ErrBudget) || err.Error() != "walk over its budget: 3 requests, 2560 bytes, 2560 of 512000 bytes seen" {
		t.Errorf("too many requests: %v", err)
	}
	if _, err := Walk(t.Context(), readerAt{bytes.NewReader(lots)}, int64(len(lots)), WalkOptions{MaxBytes: 100_000}, &s); !errors.Is(err, ErrBudget) {
		t.Errorf("too many bytes: %v", err)
	}
	if _, err := Walk(t.Context(), readerAt{bytes.NewReader(lots[:9000])}, int64(len(lots)), WalkOptions{}, &s); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a blob that is shorter than it says: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Walk(ctx, readerAt{bytes.NewReader(lots)}, int64(len(lots)), WalkOptions{}, &s); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
	broken := errors.New("broken")
	r := ranged{err: broken}
	r.add(lots)
	if _, err := Walk(t.Context(), &r, r.size, WalkOptions{}, &s); !errors.Is(err, broken) {
		t.Errorf("reader's error: %v", err)
	}
}
