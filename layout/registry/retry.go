package registry

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

const (
	maxBackoff = 5 * time.Second
	// maxLies is how many broken answers one piece of work survives.
	maxLies = 4
	// documentTries bounds the tries for what a user waits for: about 3 s.
	documentTries = 5
	// downTime is how long a mirror is passed over after a failure.
	downTime = 10 * time.Second
)

// A budget bounds the tries of one piece of work: in time, counted from the
// last progress, and if maxTries is set in number.
type budget struct {
	opt      *Options
	maxTries int

	end   time.Time
	tries int
	lies  int
	delay time.Duration
}

func (s *Store) newBudget(maxTries int) *budget {
	b := &budget{opt: &s.opt, maxTries: maxTries}
	b.progress()
	return b
}

// progress starts the budget anew: something came.
func (b *budget) progress() {
	b.end = time.Now().Add(b.opt.Deadline)
	b.tries, b.lies, b.delay = 0, 0, b.opt.Backoff
}

// pause waits before another try after err. It returns nil when the time has
// come, and else the error that ends the work.
func (b *budget) pause(ctx context.Context, err error) error {
	b.tries++
	if b.maxTries > 0 && b.tries >= b.maxTries {
		return fmt.Errorf("after %d tries: %w", b.tries, err)
	}
	if classify(err) == lie {
		if b.lies++; b.lies >= maxLies {
			return err
		}
	}
	wait := b.delay/2 + rand.N(b.delay/2+1)
	b.delay = min(2*b.delay, maxBackoff)
	if asked := retryAfterOf(err); asked > 0 {
		wait = asked + rand.N(b.opt.Backoff)
		if time.Now().Add(wait).After(b.end) {
			return fmt.Errorf("asked to wait %s, longer than the deadline allows: %w", asked, err)
		}
	}
	if time.Now().Add(wait).After(b.end) {
		return fmt.Errorf("no progress for %s: %w", b.opt.Deadline, err)
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// each runs try on the endpoints in order until one succeeds. The last one, the
// registry itself, decides: an error of it that is final ends the work, any
// other starts a new round after a pause (REG-25, REG-27).
func (s *Store) each(ctx context.Context, bud *budget, eps []*endpoint, try func(*endpoint) error) error {
	for {
		var verdict error
		for _, ep := range inOrder(eps) {
			err := try(ep)
			if err == nil {
				return nil
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if ep == eps[len(eps)-1] {
				verdict = err
				continue
			}
			if classify(err) != final {
				ep.markDown(max(downTime, retryAfterOf(err)))
			}
			s.opt.Logger.Warn("mirror does not help", "mirror", ep.name, "error", err)
		}
		if classify(verdict) == final {
			return verdict
		}
		if err := bud.pause(ctx, verdict); err != nil {
			return err
		}
	}
}

// inOrder puts the mirrors that failed lately behind the others.
func inOrder(eps []*endpoint) []*endpoint {
	if len(eps) == 1 {
		return eps
	}
	out := make([]*endpoint, 0, len(eps))
	var down []*endpoint
	for i, ep := range eps {
		if i < len(eps)-1 && ep.isDown() {
			down = append(down, ep)
			continue
		}
		out = append(out, ep)
	}
	return append(out, down...)
}
