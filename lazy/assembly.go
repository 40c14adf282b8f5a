package lazy

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// The bounds of what is held. What was decoded long ago is not in the processor's cache any more.
const (
	heldBytes  = 4 << 20 // of a group
	heldChunks = 16      // of an assembly
)

// An assembly puts the decoded bytes of a span together into chunks. Chunks on the way to one
// that a reader waits for are held, and checked and kept when he has it; but not if the blob is
// far, where the next bytes may be late and somebody may come for what is held.
type assembly struct {
	r     *reading
	ctx   context.Context // of the reading, for the calls that the decoder makes
	span  int
	next  int // the chunk that is being filled
	until int
	x     *buf
	n     int // bytes of it that are there
	held  []heldChunk
	err   error // why write failed
}

// A heldChunk is decoded and not checked yet.
type heldChunk struct {
	chunk int
	x     *buf
}

var errEnough = errors.New("no more bytes are wanted")

func (a *assembly) write(p []byte) error {
	l := a.r.f.l
	for len(p) > 0 {
		if a.next >= a.until {
			return errEnough
		}
		if a.x == nil {
			a.x = newBuf(l.src.Chunk(a.next).Len)
		}
		k := copy(a.x.b[a.n:], p)
		a.n += k
		p = p[k:]
		if a.n == len(a.x.b) {
			if a.err = a.full(); a.err != nil {
				return a.err
			}
		}
	}
	return nil
}

// drop lets go of what was not checked.
func (a *assembly) drop() {
	if a.x != nil {
		a.x.free()
		a.x = nil
	}
	for _, h := range a.held {
		a.unhold(h)
	}
	a.held = nil
}

func (a *assembly) unhold(h heldChunk) {
	a.r.f.l.g.held.Add(-ChunkBytes)
	h.x.free()
}

// full takes care of a chunk that is complete.
func (a *assembly) full() error {
	f := a.r.f
	if err := a.ctx.Err(); err != nil {
		return context.Cause(a.ctx)
	}
	a.r.w.progress()
	a.held = append(a.held, heldChunk{a.next, a.x})
	a.x, a.n = nil, 0
	a.next++
	held := f.l.g.held.Add(ChunkBytes)
	awaited, later := f.awaited(a.held)
	for _, c := range awaited {
		if err := a.settle(c); err != nil {
			return err
		}
	}
	if later && !f.l.far() && held <= heldBytes && len(a.held) < heldChunks {
		return nil
	}
	return a.flush()
}

// flush takes care of the chunks that are held.
func (a *assembly) flush() error {
	for len(a.held) > 0 {
		if err := a.settle(a.held[0].chunk); err != nil {
			return err
		}
	}
	return nil
}

// settle checks a chunk that is held, and hands it out and keeps it.
func (a *assembly) settle(c int) error {
	l := a.r.f.l
	i := slices.IndexFunc(a.held, func(h heldChunk) bool { return h.chunk == c })
	h := a.held[i]
	a.held = slices.Delete(a.held, i, i+1)
	defer a.unhold(h)
	err := l.src.Check(a.ctx, c, h.x.b)
	if err == nil {
		l.count.decoded.Add(int64(len(h.x.b)))
		l.arrived(c, h.x)
		l.g.sched.yield(a.ctx, a.r.f.t)
		a.r.w.progress()
		return nil
	}
	err = fmt.Errorf("layer %s: chunk at offset %d: %w", l.name, l.src.Chunk(c).Off, err)
	if !errors.Is(err, ErrCorrupt) {
		return err
	}
	l.count.corrupt.Add(1)
	if !a.r.stubborn {
		return &damaged{a.span, err}
	}
	a.r.giveUp(c, err)
	return nil
}

// awaited returns those of the chunks that somebody waits for, and says whether somebody
// waits for another one of the flight.
func (f *flight) awaited(held []heldChunk) (chunks []int, later bool) {
	f.l.mu.Lock()
	defer f.l.mu.Unlock()
	n := f.waiters
	for _, h := range held {
		if p := f.l.pends[h.chunk]; p != nil && p.refs > 1 && !p.ended {
			chunks = append(chunks, h.chunk)
			if p.f == f {
				n -= p.refs - 1
			}
		}
	}
	return chunks, n > 0
}
