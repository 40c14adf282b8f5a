package lazy

import (
	"context"
	"time"
)

// calmWait bounds how long Calm holds work back, so that it gets on under any load.
const calmWait = time.Second

// Calm returns when no reader of the group waits for a flight, or after a second: work
// in the background that does not go through a loader calls it before each piece.
// Errors: that of ctx, ErrClosed.
func (g *Group) Calm(ctx context.Context) error {
	g.sched.mu.Lock()
	calm := g.sched.calm
	g.sched.mu.Unlock()
	timer := time.NewTimer(calmWait)
	defer timer.Stop()
	select {
	case <-calm:
	case <-timer.C:
	case <-ctx.Done():
	case <-g.ctx.Done():
		return ErrClosed
	}
	return ctx.Err()
}
