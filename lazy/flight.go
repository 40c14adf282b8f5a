package lazy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/shalefs/shalefs/layout"
)

// A pend is a chunk that is on its way. Its fields are guarded by Loader.mu, but for
// done, and x and err once done is closed.
type pend struct {
	chunk int
	extra bool // nobody asked for it; never changes
	f     *flight
	refs  int           // those who will look at it: waiters, and the flight
	done  chan struct{} // closed when x or err is set
	ended bool          // done is closed
	x     *buf          // nil: look in the cache
	err   error
}

// A flight is one range of the blob that is fetched and decoded. Its fields are guarded
// by Loader.mu, but for those that never change.
type flight struct {
	l      *Loader
	pends  []*pend // what it was started for, by chunk; never changes
	t      *ticket
	ctx    context.Context
	cancel context.CancelCauseFunc
	done   chan struct{} // closed when it is over
	err    error         // why it failed, once it is over

	waiters int  // for chunks that are not there yet
	owned   bool // it was sent, and who did that still wants it
}

// errLeft is why a flight ends that nobody waits for.
var errLeft = errors.New("nobody waits")

// A seat is one reader's interest in one chunk.
type seat struct {
	p    *pend
	left bool
}

// fetch waits for the missing chunks and copies them into p. more are chunks to bring along.
func (l *Loader) fetch(ctx context.Context, missing []int, p []byte, off int64, more []int) error {
	ctx, cancel := context.WithTimeoutCause(ctx, l.g.opt.Deadline, l.late())
	defer cancel()
	for i := 0; len(missing) > 0; i++ {
		if i > 0 {
			more = nil
		}
		seats := l.board(missing, more, Foreground)
		var again []int
		for j := range seats {
			s := &seats[j]
			if err := l.wait(ctx, s); err != nil {
				l.leave(seats)
				return err
			}
			if s.p.x != nil {
				deliver(p, off, s.p.x.b, l.src.Chunk(s.p.chunk).Off)
				l.rise(s)
				continue
			}
			l.rise(s)
			ok, err := l.serve(ctx, s.p.chunk, p, off)
			if err != nil {
				l.leave(seats)
				return err
			}
			if !ok { // evicted in between
				again = append(again, s.p.chunk)
			}
		}
		missing = again
	}
	return nil
}

func (l *Loader) late() error {
	return fmt.Errorf("layer %s: no answer within %v: %w", l.name, l.g.opt.Deadline, layout.ErrUnavailable)
}

// wait waits until the chunk is there or has failed.
func (l *Loader) wait(ctx context.Context, s *seat) error {
	select {
	case <-s.p.done:
	default:
		select {
		case <-s.p.done:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	if s.p.err != nil {
		return s.p.err
	}
	return l.refused()
}

// board finds a place for each chunk: on a flight that is to bring it already, or on a
// new one. more are chunks that new flights bring along though nobody waits for them.
func (l *Loader) board(chunks, more []int, class Class) []seat {
	l.mu.Lock()
	defer l.mu.Unlock()
	seats := make([]seat, 0, len(chunks))
	var fresh []*pend
	for _, c := range chunks {
		p := l.pends[c]
		if p == nil {
			p = l.newPend(c)
			if !p.ended {
				fresh = append(fresh, p)
			}
		}
		p.refs++
		seats = append(seats, seat{p: p})
	}
	if len(fresh) > 0 {
		for _, c := range more {
			if l.pends[c] == nil {
				if p := l.newPend(c); !p.ended {
					p.extra = true
					fresh = append(fresh, p)
				}
			}
		}
		slices.SortFunc(fresh, func(a, b *pend) int { return a.chunk - b.chunk })
		for _, run := range l.cut(fresh) {
			l.start(run, class)
		}
	}
	for _, s := range seats {
		if f := s.p.f; f != nil && !s.p.ended {
			f.waiters++
			if class == Foreground {
				l.g.sched.promote(f.t)
			}
		}
	}
	return seats
}

// newPend makes a pend, which is over at once if the chunk cannot be had. The caller holds l.mu.
func (l *Loader) newPend(c int) *pend {
	p := &pend{chunk: c, done: make(chan struct{})}
	if err := l.refused(); err != nil {
		p.err = err
	} else if l.closed {
		p.err = ErrClosed
	} else if b, ok := l.bad[c]; ok {
		if time.Now().Before(b.until) {
			p.err = b.err
		} else {
			delete(l.bad, c)
		}
	}
	if p.err != nil {
		p.ended = true
		close(p.done)
		return p
	}
	p.refs = 1 // the flight's
	l.pends[c] = p
	return p
}

// start makes a flight for these pends. The caller holds l.mu.
func (l *Loader) start(run []*pend, class Class) *flight {
	f := &flight{l: l, pends: run, t: newTicket(class), done: make(chan struct{})}
	// The flight outlives the reader who started it, so it has a context of its own.
	f.ctx, f.cancel = context.WithCancelCause(l.ctx)
	for _, p := range run {
		p.f = f
	}
	l.wg.Add(1)
	l.g.sched.enter(f.t) // here, so that those started first are first
	go f.run()
	return f
}

// send starts flights for the chunks, which nobody waits for yet; those that are on
// their way already are left alone. Each flight has the caller as its owner, who
// calls disown.
func (l *Loader) send(chunks []int, class Class) []*flight {
	l.mu.Lock()
	defer l.mu.Unlock()
	var fresh []*pend
	for _, c := range chunks {
		if l.pends[c] == nil {
			if p := l.newPend(c); !p.ended {
				fresh = append(fresh, p)
			}
		}
	}
	var fs []*flight
	for _, run := range l.cut(fresh) {
		f := l.start(run, class)
		f.owned = true
		fs = append(fs, f)
	}
	return fs
}

// disown gives up a flight; it goes on if somebody waits for it.
func (l *Loader) disown(f *flight) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f.owned = false
	if f.waiters == 0 {
		l.abandon(f)
	}
}

// rise ends a reader's interest in a chunk that was there.
func (l *Loader) rise(s *seat) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s.left = true
	l.unref(s.p)
}

// leave ends a reader's interest in all chunks that it still has a seat for. A flight
// that this leaves without anybody is ended.
func (l *Loader) leave(seats []seat) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range seats {
		s := &seats[i]
		if s.left {
			continue
		}
		s.left = true
		if f := s.p.f; f != nil && !s.p.ended {
			if f.waiters--; f.waiters == 0 && !f.owned {
				l.abandon(f)
			}
		}
		l.unref(s.p)
	}
}

// abandon ends a flight and takes its chunks from the table in the same
// moment, so that who comes now starts a new one. The caller holds l.mu.
func (l *Loader) abandon(f *flight) {
	f.cancel(errLeft)
	for _, p := range f.pends {
		if !p.ended {
			l.end(p, nil, errLeft)
		}
	}
}

// end gives a pend its content or its error, and wakes who waits. The flight's hold
// stays. The caller holds l.mu.
func (l *Loader) end(p *pend, x *buf, err error) {
	if p.ended {
		return
	}
	p.x, p.err, p.ended = x, err, true
	if x != nil {
		x.hold()
	}
	p.f.waiters -= p.refs - 1 // these do not wait any more
	close(p.done)
	if err != nil {
		l.clearPend(p)
	}
}

// clearPend takes a pend from the table and ends the flight's hold on it. The
// caller holds l.mu.
func (l *Loader) clearPend(p *pend) {
	if l.pends[p.chunk] == p {
		delete(l.pends, p.chunk)
		l.unref(p)
	}
}

func (l *Loader) unref(p *pend) {
	if p.refs--; p.refs == 0 && p.x != nil {
		p.x.free()
		p.x = nil
	}
}
