package lazy_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/shalefs/shalefs/lazy"
	"github.com/shalefs/shalefs/lazy/cache"
	"github.com/shalefs/shalefs/lazy/lazytest"
)

// A checkedLayer notes in which order chunks are checked, and finds some wrong at first.
type checkedLayer struct {
	*lazytest.Layer
	mu    sync.Mutex
	order []int
	wrong map[int]int // how often
}

func (l *checkedLayer) Check(ctx context.Context, c int, p []byte) error {
	l.mu.Lock()
	l.order = append(l.order, c)
	bad := l.wrong[c] > 0
	if bad {
		l.wrong[c]--
	}
	l.mu.Unlock()
	if bad {
		return fmt.Errorf("chunk %d: %w", c, lazy.ErrCorrupt)
	}
	return l.Layer.Check(ctx, c, p)
}

func (l *checkedLayer) checked() []int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.order)
}

func newChecked(t *testing.T, wrong map[int]int, hook func(int, lazytest.Request) lazytest.Fault) (*rig, *checkedLayer) {
	r := newRig(t, rigOptions{
		layer: lazytest.LayerOptions{Size: 4 * mib, Keep: true}, hook: hook,
		cache: openCache(t, t.TempDir(), cache.Options{}),
	})
	src := &checkedLayer{Layer: r.layer, wrong: wrong}
	r.Loader = r.group.Loader(r.blob, src, r.cache, lazy.LoaderOptions{Name: "test"})
	return r, src
}

// What a reader waits for is checked before what was decoded on the way to it, and that
// is kept nevertheless.
func TestAwaitedFirst(t *testing.T) {
	r, src := newChecked(t, nil, nil)
	c := src.ChunkAt(mib + mib/2)
	first := src.Span(src.SpanOf(c)).First
	r.want(src.Chunk(c).Off, 4096)
	if order := src.checked(); order[0] != c {
		t.Errorf("checked %v, wanted %d first", order, c)
	}
	eventually(t, "all on the way is kept", func() bool { return r.Stats().Present >= int64(c-first+1) })
	for i := first; i < c; i++ {
		r.want(src.Chunk(i).Off, int64(src.Chunk(i).Len))
	}
	if n := len(r.blob.Requests()); n != 1 {
		t.Errorf("%d requests", n)
	}
}

// Damage on the way does not keep a reader from what is right, and is mended behind it.
func TestDamageOnTheWay(t *testing.T) {
	c := 24
	r, src := newChecked(t, map[int]int{c - 3: 1}, nil)
	r.want(src.Chunk(c).Off, 4096)
	eventually(t, "the span is fetched again", func() bool {
		reqs := r.blob.Requests()
		return len(reqs) == 2 && reqs[1].Fresh
	})
	for i := src.Span(src.SpanOf(c)).First; i <= c; i++ {
		r.want(src.Chunk(i).Off, int64(src.Chunk(i).Len))
	}
	if n := r.Stats().Corrupt; n != 1 {
		t.Errorf("%d chunks corrupt", n)
	}
}

// What was decoded before the line broke is kept.
func TestKeptBeforeCut(t *testing.T) {
	r, src := newChecked(t, nil, func(n int, q lazytest.Request) lazytest.Fault {
		if n == 1 {
			return lazytest.Fault{Err: lazytest.ErrFault, After: q.Len / 2}
		}
		return lazytest.Fault{}
	})
	c := src.ChunkAt(2*mib - 1)
	if err := r.try(src.Chunk(c).Off, 4096); err == nil {
		t.Fatal("no error")
	}
	eventually(t, "the first half is kept", func() bool { return r.Stats().Present >= 4 })
	r.want(src.Chunk(c).Off, 4096)
}
