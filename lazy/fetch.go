package lazy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/shalefs/shalefs/layout"
)

// maxBadSpans is how many damaged spans a flight suffers before it gives up.
const maxBadSpans = 3

// run is the flight's goroutine.
func (f *flight) run() {
	l := f.l
	defer l.wg.Done()
	err := f.fly()
	if err != nil && f.ctx.Err() != nil {
		err = context.Cause(f.ctx)
	}
	f.cancel(nil)
	l.g.sched.release(f.t)
	l.mu.Lock()
	for _, p := range f.pends {
		if !p.ended {
			if err == nil {
				err = fmt.Errorf("layer %s: %w", l.name, io.ErrUnexpectedEOF)
			}
			l.end(p, nil, err)
		}
		l.clearPend(p)
	}
	f.err = err
	l.mu.Unlock()
	close(f.done)
}

func (f *flight) fly() error {
	l := f.l
	if err := l.g.sched.acquire(f.ctx, f.t); err != nil {
		return err
	}
	// What came while the flight waited is not fetched again.
	var chunks []int
	wanted := false
	for _, p := range f.pends {
		if !f.already(p) {
			chunks = append(chunks, p.chunk)
			wanted = wanted || !p.extra
		}
	}
	if !wanted {
		f.excuse()
		return nil
	}
	first, last := l.src.SpanOf(chunks[0]), l.src.SpanOf(chunks[len(chunks)-1])
	prepared := l.prepareBeside(f.ctx, first, last+1)
	defer func() { _ = prepared() }() // ends before the flight does; who needed it has its error
	w := watchdog{f.cancel, l.late(), l.g.opt.Deadline, nil}
	w.timer = time.AfterFunc(w.limit, func() { w.cancel(w.err) })
	defer w.timer.Stop()

	bad := 0
	for span := first; span <= last; {
		r := &reading{f: f, w: w, chunks: chunks, prepared: prepared}
		var damage *damaged
		next, err := r.spans(f.ctx, span, last)
		if err == nil {
			span = next
			continue
		}
		if !errors.As(err, &damage) {
			return err
		}
		// Once more, from the damaged span on, on another connection; what is wrong
		// again is given up, and the rest goes on.
		if bad++; bad > maxBadSpans {
			return damage
		}
		r = &reading{f: f, w: w, chunks: chunks, prepared: prepared, stubborn: true}
		if _, err := r.spans(layout.WithFreshConnection(f.ctx), damage.span, damage.span); err != nil {
			return err
		}
		span = damage.span + 1
	}
	return nil
}

// excuse ends the pends of a flight that has nothing to bring but what nobody asked for;
// should somebody ask meanwhile, that starts another one.
func (f *flight) excuse() {
	f.l.mu.Lock()
	defer f.l.mu.Unlock()
	for _, p := range f.pends {
		f.l.end(p, nil, nil)
	}
}

// already ends a pend whose chunk is there.
func (f *flight) already(p *pend) bool {
	l := f.l
	if x := l.g.mem.get(memKey{l, p.chunk}); x != nil {
		l.mu.Lock()
		l.end(p, x, nil)
		l.mu.Unlock()
		x.free()
		return true
	}
	if !l.kept(p.chunk) {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	// Who waits reads the cache itself; should the chunk be damaged there, it is dropped
	// by that and fetched by another flight.
	l.end(p, nil, nil)
	l.clearPend(p)
	return true
}

// A watchdog ends a flight that makes no progress.
type watchdog struct {
	cancel context.CancelCauseFunc
	err    error
	limit  time.Duration
	timer  *time.Timer
}

func (w watchdog) progress() { w.timer.Reset(w.limit) }

// damaged: the bytes that came for a span are not what they should be.
type damaged struct {
	span int
	err  error
}

func (d *damaged) Error() string { return d.err.Error() }
func (d *damaged) Unwrap() error { return d.err }

// A reading is one go at a flight: one range, and the spans decoded from it.
type reading struct {
	f        *flight
	w        watchdog
	chunks   []int        // wanted, sorted
	prepared func() error // waits until the source is ready for the spans
	stubborn bool         // damage does not end it: what is damaged is given up
}

// maxOverlap is how many bytes of the blob are held for the next span, which needs them
// too, before that one is rather read from a range of its own.
const maxOverlap = 4 << 20

// spans decodes the spans [first, last] as far as there is something in them that is
// wanted, or missing and fetched anyway. It returns the span to go on with, which is
// at least first+1 and more than last when all is done.
func (r *reading) spans(ctx context.Context, first, last int) (int, error) {
	l := r.f.l
	start := l.src.Span(first).In
	end := l.src.InEnd(r.chunks[len(r.chunks)-1])
	if s := l.src.Span(last); last < l.src.SpanOf(r.chunks[len(r.chunks)-1]) {
		end = min(end, l.src.InEnd(s.Last-1))
	}
	if start < 0 || start >= end || end > l.blob.Size() {
		return 0, fmt.Errorf("layer %s: %w: index names the bytes [%d, %d) of a blob of %d", l.name, ErrCorrupt, start, end, l.blob.Size())
	}
	l.count.requests.Add(1)
	asked := time.Now()
	body, err := l.blob.Range(ctx, start, end-start)
	l.trip.Store((3*l.trip.Load() + int64(time.Since(asked))) / 4)
	if err != nil {
		return 0, fmt.Errorf("layer %s: %w", l.name, err)
	}
	defer func() { _ = body.Close() }()
	if err := r.prepared(); err != nil {
		return 0, err
	}
	t := &tape{r: body, pos: start, from: start, progress: func(n int) {
		l.count.fetched.Add(int64(n))
		r.w.progress()
	}}
	for s := first; s <= last; s++ {
		until := r.until(s, last)
		if until == 0 {
			r.f.pass(s)
			continue
		}
		stop, next := min(end, l.src.InEnd(until-1)), end
		if s < last {
			next = l.src.Span(s + 1).In
		}
		if stop-next > maxOverlap {
			next = stop
		}
		err := t.section(l.src.Span(s).In, stop, next)
		if errors.Is(err, errGone) && s > first {
			return s, nil
		}
		if err != nil {
			return 0, fmt.Errorf("layer %s: %w", l.name, err)
		}
		if err := r.span(ctx, s, until, t); err != nil {
			return 0, err
		}
	}
	return last + 1, nil
}

// until is the chunk before which decoding of span s may stop; 0 if the span is not needed.
func (r *reading) until(s, last int) int {
	l := r.f.l
	sp := l.src.Span(s)
	final := r.chunks[len(r.chunks)-1]
	if s == l.src.SpanOf(final) {
		return final + 1
	}
	if r.stubborn && s == last {
		return sp.Last
	}
	for c := sp.First; c < sp.Last; c++ {
		if !l.here(c) {
			return sp.Last
		}
	}
	return 0
}

// pass ends the pends of a span whose chunks have all come by another way since the flight
// began, from another process perhaps: who waits reads the cache himself.
func (f *flight) pass(span int) {
	f.l.mu.Lock()
	defer f.l.mu.Unlock()
	for _, p := range f.pends {
		if !p.ended && f.l.src.SpanOf(p.chunk) == span {
			f.l.end(p, nil, nil)
			f.l.clearPend(p)
		}
	}
}

// span decodes one span up to the chunk until.
func (r *reading) span(ctx context.Context, s, until int, t *tape) error {
	l := r.f.l
	a := assembly{r: r, ctx: ctx, span: s, next: l.src.Span(s).First, until: until}
	defer a.drop()
	err := l.src.Decode(ctx, s, until, t, a.write)
	if a.err == nil && ctx.Err() == nil {
		a.err = a.flush()
	}
	switch {
	case a.err != nil:
		return a.err
	case t.err != nil:
		return fmt.Errorf("layer %s: %w", l.name, t.err)
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case a.next >= until:
		return nil // whatever the decoder says about what comes after
	case err == nil:
		err = io.ErrUnexpectedEOF
	case errors.Is(err, layout.ErrUnavailable):
		return fmt.Errorf("layer %s: %w", l.name, err) // part of the index is not here
	}
	err = fmt.Errorf("layer %s: span %d, offset %d: %w: %w", l.name, s, l.src.Chunk(min(a.next, until-1)).Off, ErrCorrupt, err)
	if !r.stubborn {
		l.count.corrupt.Add(1)
		return &damaged{s, err}
	}
	for c := a.next; c < until; c++ {
		r.giveUp(c, err)
	}
	return nil
}

// giveUp fails a chunk that was wrong twice, and remembers that for a while.
func (r *reading) giveUp(c int, err error) {
	l := r.f.l
	l.mu.Lock()
	p := l.pends[c]
	if p == nil || p.ended {
		l.mu.Unlock()
		return
	}
	if len(l.bad) > 1000 {
		clear(l.bad)
	}
	l.bad[c] = badChunk{err, time.Now().Add(l.g.opt.BadFor)}
	l.end(p, nil, err)
	l.mu.Unlock()
	l.g.opt.Logger.Error("layer content is corrupt", "layer", l.name, "offset", l.src.Chunk(c).Off, "error", err)
}

// arrived hands a checked chunk to those who wait, and keeps it: on disk, and also in
// memory if somebody waits for it or the disk does not take it.
func (l *Loader) arrived(c int, x *buf) {
	if l.refused() != nil {
		return
	}
	l.mu.Lock()
	p := l.pends[c]
	awaited := p != nil && p.refs > 1
	if p != nil {
		l.end(p, x, nil)
	}
	l.mu.Unlock()
	if awaited {
		l.g.mem.put(memKey{l, c}, x)
	}
	if !l.keep(c, x.b) && !awaited {
		l.g.mem.put(memKey{l, c}, x)
	}
	if p != nil {
		l.mu.Lock()
		l.clearPend(p)
		l.mu.Unlock()
	}
}
