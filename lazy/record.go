package lazy

import (
	"sync"
	"time"

	"github.com/shalefs/shalefs/lazy/cache"
)

// A recorder notes which chunks are read, in the order of their first use.
type recorder struct {
	mu    sync.Mutex // guards what follows
	on    bool
	seen  map[int]struct{}
	order []int
}

func (r *recorder) touch(first, last int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.on {
		return
	}
	for c := first; c <= last; c++ {
		if !has(r.seen, c) {
			r.seen[c] = struct{}{}
			r.order = append(r.order, c)
		}
	}
}

// Record begins to note which chunks are read. What was noted before is forgotten.
func (l *Loader) Record() {
	l.record.mu.Lock()
	defer l.record.mu.Unlock()
	l.record.on, l.record.seen, l.record.order = true, map[int]struct{}{}, nil
}

// Recorded returns the chunks that were read since Record, in the order of their first use.
func (l *Loader) Recorded() []int {
	l.record.mu.Lock()
	defer l.record.mu.Unlock()
	return append([]int(nil), l.record.order...)
}

// An objectName is an object of the cache that holds chunks of a layer.
type objectName struct {
	key  cache.Key
	size int64
}

// An objectList lists them, once.
type objectList struct {
	once sync.Once
	all  []objectName

	mu      sync.Mutex // guards what follows
	present int64
	counted time.Time
}

func (o *objectList) list(src Source) []objectName {
	o.once.Do(func() {
		seen := map[objectName]struct{}{}
		var last objectName
		for c := range src.Chunks() {
			key, size, _, ok := src.Object(c)
			n := objectName{key, size}
			if !ok || n == last {
				continue
			}
			last = n
			if _, ok := seen[n]; !ok {
				seen[n] = struct{}{}
				o.all = append(o.all, n)
			}
		}
	})
	return o.all
}

// present counts the layer's chunks in the cache, but not more often than every other second.
func (l *Loader) present() int64 {
	if l.cache == nil {
		return 0
	}
	o := &l.objects
	o.mu.Lock()
	defer o.mu.Unlock()
	if time.Since(o.counted) < 2*time.Second {
		return o.present
	}
	o.present = 0
	for _, n := range o.list(l.src) {
		o.present += l.cache.Present(n.key, n.size)
	}
	o.counted = time.Now()
	return o.present
}
