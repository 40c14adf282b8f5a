package lazy

import (
	"context"
	"errors"
	"fmt"
	"testing"
)

// started says which of the tickets may run.
func started(ts ...*ticket) string {
	s := ""
	for _, t := range ts {
		select {
		case <-t.started:
			s += "1"
		default:
			s += "0"
		}
	}
	return s
}

// enter puts a new ticket into the queue.
func enter(s *sched, c Class) *ticket {
	t := newTicket(c)
	s.enter(t)
	return t
}

// Urgent flights start first, each class keeps to its limit, and Background waits
// until nobody waits.
func TestSchedOrder(t *testing.T) {
	s := newSched(4) // 6, 4, 3, 1
	var ahead []*ticket
	for range 5 {
		ahead = append(ahead, enter(s, ReadAhead))
	}
	if got := started(ahead...); got != "11110" {
		t.Fatalf("read-ahead: %s", got)
	}
	back, fetch := enter(s, Background), enter(s, Prefetch)
	fg := []*ticket{enter(s, Foreground), enter(s, Foreground), enter(s, Foreground)}
	if got := started(fg...); got != "110" {
		t.Fatalf("foreground: %s", got)
	}
	s.release(ahead[0])
	if got := started(fg[2], ahead[4], fetch, back); got != "1000" {
		t.Fatalf("after one: %s", got)
	}
	for _, x := range fg {
		s.release(x)
	}
	if got := started(ahead[4], fetch, back); got != "100" {
		t.Fatalf("after foreground: %s", got)
	}
	for _, x := range ahead[1:] {
		s.release(x)
	}
	if got := started(fetch, back); got != "10" {
		t.Fatalf("after read-ahead: %s", got)
	}
	s.release(fetch)
	if got := started(back); got != "1" {
		t.Fatalf("at last: %s", got)
	}
	s.release(back)
	s.release(back) // once more does nothing
	if s.running != 0 || s.waiting != 0 {
		t.Errorf("%d run, %d wait", s.running, s.waiting)
	}
}

func TestSchedPromote(t *testing.T) {
	s := newSched(1) // 2, 1, 1, 1
	a, b, c := enter(s, Background), enter(s, Background), enter(s, ReadAhead)
	if got := started(a, b, c); got != "100" {
		t.Fatal(got)
	}
	s.promote(b) // overtakes c, and uses the room for the urgent
	if got := started(b, c); got != "10" {
		t.Fatal(got)
	}
	s.promote(a) // while it runs
	if s.waiting != 2 {
		t.Errorf("%d wait", s.waiting)
	}
	s.yield(context.Background(), a) // does not wait any more
	for _, x := range []*ticket{a, b, c} {
		s.release(x)
	}
	if s.running != 0 || s.waiting != 0 {
		t.Errorf("%d run, %d wait", s.running, s.waiting)
	}
}

func TestSchedCancel(t *testing.T) {
	s := newSched(1)
	a := enter(s, Background)
	ctx, cancel := context.WithCancelCause(context.Background())
	why := errors.New("why")
	cancel(why)
	b := enter(s, Background)
	if err := s.acquire(ctx, b); !errors.Is(err, why) {
		t.Fatal(err)
	}
	s.release(a)
	if s.running != 0 || len(s.queue[Background]) != 0 {
		t.Errorf("%d run, %d queued", s.running, len(s.queue[Background]))
	}
}

// Background stops while somebody waits, and goes on after that.
func TestSchedYield(t *testing.T) {
	s := newSched(8)
	back := enter(s, Background)
	s.yield(context.Background(), back) // nobody waits
	fg := enter(s, Foreground)
	done := make(chan struct{})
	go func() {
		s.yield(context.Background(), back)
		close(done)
	}()
	s.release(fg)
	<-done
	s.release(back)
}

func TestMemory(t *testing.T) {
	m := newMemory(3 * ChunkBytes)
	key := func(i int) memKey { return memKey{nil, i} }
	for i := range 5 {
		x := newBuf(10)
		x.b[0] = byte(i)
		m.put(key(i), x)
		m.put(key(i), x) // twice is once
		x.free()
		if i == 3 {
			m.get(key(1)).free() // used again
		}
	}
	got := ""
	for i := range 5 {
		x := m.get(key(i))
		if x == nil {
			got += "-"
			continue
		}
		got += fmt.Sprint(x.b[0])
		x.free()
	}
	if got != "-1-34" {
		t.Errorf("kept %s", got)
	}
	m.forget(nil)
	if m.bytes != 0 || len(m.items) != 0 {
		t.Errorf("%d bytes left", m.bytes)
	}
	none := newMemory(0)
	x := newBuf(1)
	none.put(key(1), x)
	if none.has(key(1)) {
		t.Error("kept in no memory")
	}
	x.free()
}
