package lazy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/shalefs/shalefs/layout"
	"github.com/shalefs/shalefs/lazy/cache"
)

// LoaderOptions are the settings of one Loader. The zero value works.
type LoaderOptions struct {
	// Name is how messages call the layer; empty is the blob's digest.
	Name string
	// Trip is about how long the blob takes to answer, as far as the caller knows: the
	// loader learns it by itself, but not before the first reads.
	Trip time.Duration
}

// A Loader reads the tar stream of one layer. Its methods may be called from several
// goroutines.
type Loader struct {
	g     *Group
	blob  layout.Blob
	src   Source
	cache *cache.Cache // nil for none
	name  string
	count counters

	ctx    context.Context // ends with the loader
	cancel context.CancelCauseFunc
	wg     sync.WaitGroup // flights

	failed atomic.Pointer[error] // set by Fail
	trip   atomic.Int64          // how long the blob took to answer lately, in nanoseconds

	mu       sync.Mutex // guards what follows, and the fields of pends and flights
	closed   bool
	pends    map[int]*pend
	bad      map[int]badChunk
	heat     map[int]int      // misses by region
	prepared []uint64         // a bit for each span
	shunned  map[int]struct{} // chunks that are not read from the cache
	foreseen map[int]struct{} // chunks that a profile named, or Ahead

	streams streams
	record  recorder
	objects objectList
}

type badChunk struct {
	err   error
	until time.Time
}

// Loader makes the loader of a layer. The blob and the source stay the caller's and must
// be open until the loader or the group is closed; c may be nil.
func (g *Group) Loader(blob layout.Blob, src Source, c *cache.Cache, opt LoaderOptions) *Loader {
	l := &Loader{
		g: g, blob: blob, src: src, cache: c, name: opt.Name,
		pends: map[int]*pend{}, bad: map[int]badChunk{}, heat: map[int]int{}, prepared: make([]uint64, (src.Spans()+63)/64), shunned: map[int]struct{}{},
	}
	if l.name == "" {
		l.name = blob.Digest().String()
	}
	l.trip.Store(int64(opt.Trip))
	l.ctx, l.cancel = context.WithCancelCause(g.ctx)
	g.mu.Lock()
	g.loaders = append(g.loaders, l)
	g.mu.Unlock()
	return l
}

// Close ends the loader's flights and waits for them. Reads that are under way fail.
func (l *Loader) Close() error {
	l.shut()
	l.g.mem.forget(l)
	l.g.mu.Lock()
	defer l.g.mu.Unlock()
	for i, x := range l.g.loaders {
		if x == l {
			rest := append([]*Loader(nil), l.g.loaders[:i]...)
			l.g.loaders = append(rest, l.g.loaders[i+1:]...)
			break
		}
	}
	return nil
}

func (l *Loader) shut() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.cancel(ErrClosed)
	l.wg.Wait()
}

// Size is the length of the tar stream in bytes.
func (l *Loader) Size() int64 { return l.src.Size() }

// ReadAt fills p with the bytes [off, off+len(p)) of the tar stream. All of them were
// checked. With an error other than io.EOF it returns 0, and what is in p means nothing.
// Errors: io.EOF if the range ends past the stream; ErrCorrupt; layout.ErrUnavailable, also
// when the deadline passes; what Fail was given; ErrClosed; ctx.Err() at once when ctx ends.
func (l *Loader) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	return l.readAt(ctx, p, off, 0, false)
}

// ReadStream is ReadAt for the bytes of a file, named by any number, that ends at
// fileEnd in the tar stream. It watches how the file is read and reads ahead.
func (l *Loader) ReadStream(ctx context.Context, key uint64, p []byte, off, fileEnd int64) (int, error) {
	n, err := l.readAt(ctx, p, off, fileEnd, !l.streams.known(key))
	if err == nil && n > 0 {
		l.watch(key, off, n, fileEnd)
	}
	return n, err
}

func (l *Loader) readAt(ctx context.Context, p []byte, off, fileEnd int64, first bool) (int, error) {
	l.count.reads.Add(1)
	n, err := l.read(ctx, p, off, fileEnd, first)
	l.count.served.Add(int64(n))
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, context.Canceled) {
		l.count.failed(err)
	}
	return n, err
}

func (l *Loader) read(ctx context.Context, p []byte, off, fileEnd int64, fresh bool) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("layer %s: read at %d", l.name, off)
	}
	var end error
	if size := l.src.Size(); off >= size {
		return 0, io.EOF
	} else if int64(len(p)) > size-off {
		p, end = p[:size-off], io.EOF
	}
	if len(p) == 0 {
		return 0, end
	}
	first, last := l.src.ChunkAt(off), l.src.ChunkAt(off+int64(len(p))-1)
	l.record.touch(first, last)
	var missing []int
	for c := first; c <= last; c++ {
		ok, err := l.serve(ctx, c, p, off)
		if err != nil {
			return 0, err
		}
		if !ok {
			missing = append(missing, c)
		}
	}
	if len(missing) > 0 {
		l.count.misses.Add(int64(len(missing)))
		if err := l.fetch(ctx, missing, p, off, l.more(missing, fileEnd, fresh)); err != nil {
			return 0, err
		}
	}
	return len(p), end
}

// refused is why nothing may be read, if nothing may.
func (l *Loader) refused() error {
	if e := l.failed.Load(); e != nil {
		return *e
	}
	return nil
}

// serve copies chunk c into p, which is to hold the stream from off on, if the
// chunk is in memory or in the cache.
func (l *Loader) serve(ctx context.Context, c int, p []byte, off int64) (bool, error) {
	if err := l.refused(); err != nil {
		return false, err
	}
	ch := l.src.Chunk(c)
	if x := l.g.mem.get(memKey{l, c}); x != nil {
		defer x.free()
		if err := l.refused(); err != nil {
			return false, err
		}
		l.count.memoryHits.Add(1)
		deliver(p, off, x.b, ch.Off)
		return true, nil
	}
	if ch.Off >= off && ch.Off+int64(ch.Len) <= off+int64(len(p)) {
		// The whole chunk is wanted: no need for a copy.
		q := p[ch.Off-off:][:ch.Len]
		ok, err := l.cached(ctx, c, q)
		if ok {
			l.count.cacheHits.Add(1)
		}
		return ok, err
	}
	x := newBuf(ch.Len)
	defer x.free()
	ok, err := l.cached(ctx, c, x.b)
	if !ok || err != nil {
		return false, err
	}
	l.count.cacheHits.Add(1)
	l.g.mem.put(memKey{l, c}, x)
	deliver(p, off, x.b, ch.Off)
	return true, nil
}

// deliver copies what a chunk at chunkOff and p at off have in common.
func deliver(p []byte, off int64, b []byte, chunkOff int64) {
	if chunkOff >= off {
		copy(p[chunkOff-off:], b)
	} else {
		copy(p, b[off-chunkOff:])
	}
}

// cached reads a chunk from the cache and checks it. One that is wrong is dropped, and q
// is wiped.
func (l *Loader) cached(ctx context.Context, c int, q []byte) (bool, error) {
	o, off := l.object(c)
	if o == nil {
		return false, nil
	}
	defer func() { _ = o.Close() }()
	if !o.Has(off) {
		return false, nil
	}
	if err := o.ReadAt(q, off); err != nil {
		clear(q)
		if !errors.Is(err, cache.ErrMissing) { // else it was evicted just now
			l.distrust(o, c, off, err)
		}
		return false, nil
	}
	err := l.check(ctx, c, q)
	if err == nil {
		err = l.refused()
	}
	if err == nil {
		return true, nil
	}
	clear(q)
	if !errors.Is(err, ErrCorrupt) {
		return false, err
	}
	l.count.cacheCorrupt.Add(1)
	l.distrust(o, c, off, err)
	return false, nil
}

// distrust drops a chunk from the cache that cannot be read or is wrong. If the cache does
// not let go of it then the loader does without the cache for this chunk.
func (l *Loader) distrust(o *cache.Object, c int, off int64, err error) {
	l.g.opt.Logger.Warn("cached chunk is damaged, fetching it again", "layer", l.name, "offset", l.src.Chunk(c).Off, "error", err)
	if err := o.Drop(off); err != nil {
		l.count.cacheErrors.Add(1)
	}
	if o.Has(off) {
		l.mu.Lock()
		l.shunned[c] = struct{}{}
		l.mu.Unlock()
	}
}

// check is Source.Check once the span is prepared.
func (l *Loader) check(ctx context.Context, c int, b []byte) error {
	s := l.src.SpanOf(c)
	if err := l.prepare(ctx, s, s+1); err != nil {
		return err
	}
	return l.src.Check(ctx, c, b)
}

// prepare is Source.Prepare for those spans that were not prepared yet.
func (l *Loader) prepare(ctx context.Context, first, last int) error {
	l.mu.Lock()
	for first < last && l.prepared[first/64]>>(first%64)&1 == 1 {
		first++
	}
	for first < last && l.prepared[(last-1)/64]>>((last-1)%64)&1 == 1 {
		last--
	}
	l.mu.Unlock()
	if first == last {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, l.g.opt.Deadline, l.late())
	defer cancel()
	if err := l.src.Prepare(ctx, first, last); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return fmt.Errorf("layer %s: %w", l.name, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for s := first; s < last; s++ {
		l.prepared[s/64] |= 1 << (s % 64)
	}
	return nil
}

// prepareBeside begins to prepare spans while the caller asks for their bytes. The function it
// returns waits for the end, and must be called.
func (l *Loader) prepareBeside(ctx context.Context, first, last int) func() error {
	l.mu.Lock()
	all := true
	for s := first; s < last; s++ {
		all = all && l.prepared[s/64]>>(s%64)&1 == 1
	}
	l.mu.Unlock()
	if all {
		return func() error { return nil }
	}
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		err = l.prepare(ctx, first, last)
	}()
	return func() error {
		<-done
		return err
	}
}

func has(m map[int]struct{}, k int) bool { _, ok := m[k]; return ok }

// object opens the object of the cache in which chunk c is kept, if it is, and says where.
func (l *Loader) object(c int) (*cache.Object, int64) {
	if l.cache == nil {
		return nil, 0
	}
	l.mu.Lock()
	shunned := has(l.shunned, c)
	l.mu.Unlock()
	if shunned {
		return nil, 0
	}
	key, size, off, ok := l.src.Object(c)
	if !ok {
		return nil, 0
	}
	o, err := l.cache.Object(key, size)
	if err != nil {
		l.count.cacheErrors.Add(1)
		return nil, 0
	}
	return o, off
}

// here says whether a chunk is in memory or in the cache.
func (l *Loader) here(c int) bool {
	if l.g.mem.has(memKey{l, c}) {
		return true
	}
	return l.kept(c)
}

// kept says whether a chunk is in the cache.
func (l *Loader) kept(c int) bool {
	o, off := l.object(c)
	if o == nil {
		return false
	}
	defer func() { _ = o.Close() }()
	return o.Has(off)
}

// keep puts a chunk that was checked into the cache, and says whether it is there now.
// It never fails a read.
func (l *Loader) keep(c int, b []byte) bool {
	o, off := l.object(c)
	if o == nil {
		return false
	}
	defer func() { _ = o.Close() }()
	if l.refused() != nil {
		return false
	}
	if err := o.WriteAt(b, off); err != nil {
		l.count.cacheErrors.Add(1)
		if !errors.Is(err, cache.ErrFull) {
			l.g.opt.Logger.Debug("chunk not kept", "layer", l.name, "error", err)
		}
		return false
	}
	return true
}

// Fail refutes the layer: its bytes are not what its digest names. Every later read
// fails with err, and nothing of the layer stays in memory or in the cache.
func (l *Loader) Fail(err error) {
	if !l.failed.CompareAndSwap(nil, &err) {
		return
	}
	l.g.opt.Logger.Error("layer refused", "layer", l.name, "error", err)
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.cancel(err)
	l.wg.Wait()
	l.g.mem.forget(l)
	if l.cache == nil {
		return
	}
	for _, o := range l.objects.list(l.src) {
		if err := l.cache.Remove(o.key, o.size); err != nil {
			l.g.opt.Logger.Error("refused layer stays in the cache", "layer", l.name, "object", o.key.Name, "error", err)
		}
	}
}
