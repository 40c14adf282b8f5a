package lazy

import (
	"context"
	"slices"
	"sync"
	"time"
)

// A Class says how urgent a flight is. Lower is more urgent.
type Class int

// The classes.
const (
	Foreground Class = iota // somebody waits
	ReadAhead               // somebody probably comes for it soon
	Prefetch                // a profile says so
	Background              // the rest of the layer
	classes
)

// A sched lets flights start: the urgent ones first, and of each class not more than
// its limit, counted over all classes, so that there is always room for the more urgent.
type sched struct {
	limit [classes]int

	mu      sync.Mutex // guards what follows and the tickets
	running int
	queue   [classes][]*ticket
	waiting int           // foreground tickets, queued or running
	calm    chan struct{} // closed while there are none
}

// A ticket is a flight's place in a sched.
type ticket struct {
	class    Class
	started  chan struct{} // closed when the flight may run
	urgent   chan struct{} // closed when the class became Foreground
	in, runs bool
}

func newTicket(c Class) *ticket {
	t := &ticket{class: c, started: make(chan struct{}), urgent: make(chan struct{})}
	if c == Foreground {
		close(t.urgent)
	}
	return t
}

func newSched(n int) *sched {
	s := &sched{calm: make(chan struct{})}
	close(s.calm)
	s.limit = [classes]int{n + max(1, n/2), n, max(1, n*3/4), max(1, n/4)}
	return s
}

// enter puts the ticket at the end of its queue. release must follow.
func (s *sched) enter(t *ticket) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t.in = true
	s.queue[t.class] = append(s.queue[t.class], t)
	if t.class == Foreground {
		s.rise()
	}
	s.dispatch()
}

// acquire waits until the flight of a ticket that was entered may run.
func (s *sched) acquire(ctx context.Context, t *ticket) error {
	select {
	case <-t.started:
		return nil
	case <-ctx.Done():
		s.release(t)
		return context.Cause(ctx)
	}
}

// release gives the ticket's place away, or takes it out of the queue.
func (s *sched) release(t *ticket) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !t.in {
		return
	}
	t.in = false
	if t.runs {
		s.running--
	} else {
		s.unqueue(t)
	}
	if t.class == Foreground {
		s.fall()
	}
	s.dispatch()
}

// promote makes a flight that somebody waits for now urgent.
func (s *sched) promote(t *ticket) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t.class == Foreground {
		return
	}
	if t.in && !t.runs {
		s.unqueue(t)
		s.queue[Foreground] = append(s.queue[Foreground], t)
	}
	t.class = Foreground
	close(t.urgent)
	if t.in {
		s.rise()
		s.dispatch()
	}
}

// underway tells whether the ticket's flight is under way.
func (s *sched) underway(t *ticket) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return t.in && t.runs
}

func (s *sched) unqueue(t *ticket) {
	q := s.queue[t.class]
	if i := slices.Index(q, t); i >= 0 {
		s.queue[t.class] = slices.Delete(q, i, i+1)
	}
}

func (s *sched) rise() {
	if s.waiting++; s.waiting == 1 {
		s.calm = make(chan struct{})
	}
}

func (s *sched) fall() {
	if s.waiting--; s.waiting == 0 {
		close(s.calm)
	}
}

// dispatch starts what may start. Background does not start while anybody waits.
func (s *sched) dispatch() {
	for c := range classes {
		for len(s.queue[c]) > 0 && s.running < s.limit[c] && (c < Background || s.waiting == 0) {
			t := s.queue[c][0]
			s.queue[c] = s.queue[c][1:]
			t.runs = true
			s.running++
			close(t.started)
		}
	}
}

// yield holds up a flight of the class Background while somebody waits for
// another one, for a second at most, so that its connection stays alive.
func (s *sched) yield(ctx context.Context, t *ticket) {
	s.mu.Lock()
	calm, class := s.calm, t.class
	s.mu.Unlock()
	if class != Background {
		return
	}
	select {
	case <-calm:
		return
	default:
	}
	timer := time.NewTimer(time.Second)
	defer timer.Stop()
	select {
	case <-calm:
	case <-t.urgent:
	case <-timer.C:
	case <-ctx.Done():
	}
}
