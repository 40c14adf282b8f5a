package cache

import (
	"cmp"
	"errors"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// groupUnits is how many units are punched out together.
const groupUnits = 16

// evictSoon starts the evictor unless it is at work in this process.
func (c *Cache) evictSoon() {
	if !c.evicting.CompareAndSwap(false, true) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		c.evicting.Store(false)
		return
	}
	c.wg.Add(1)
	go func() {
		defer c.wg.Done()
		defer c.evicting.Store(false)
		if err := c.sweep(c.low()); err != nil {
			c.opt.Logger.Warn("cache eviction", "dir", c.root, "error", err)
		}
	}()
}

// sweepAll makes a sweep count and clean only.
const sweepAll = int64(1) << 62

// sweep counts what is there, cleans up after crashes, and evicts until at most target
// bytes are left: first whole objects that nobody has open, those that were not used
// for the longest time first; then parts of those that are open.
func (c *Cache) sweep(target int64) error {
	release, err := c.disk.exclusive(filepath.Join(c.root, "evict.lock"), unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil // another process is at it
	}
	if err != nil {
		return err
	}
	defer release()

	if err := c.orphans(); err != nil {
		return err
	}
	all, err := c.recount()
	if err != nil || atomic.LoadInt64(c.used()) <= target {
		return err
	}
	c.closeIdle()
	before := atomic.LoadInt64(c.used())
	err = c.evict(all, target)
	c.opt.Logger.Debug("cache eviction", "dir", c.root, "before", before, "after", atomic.LoadInt64(c.used()), "target", target)
	return err
}

// recount sets the shared count to what is there. What others add or take away
// meanwhile may be missed; the next sweep counts again.
func (c *Cache) recount() ([]found, error) {
	n, err := c.tmpBytes()
	if err != nil {
		return nil, err
	}
	all, err := c.scan()
	if err != nil {
		return nil, err
	}
	for _, f := range all {
		n += f.bytes
	}
	atomic.StoreInt64(c.used(), n)
	return all, nil
}

func (c *Cache) evict(all []found, target int64) error {
	slices.SortFunc(all, func(a, b found) int { return cmp.Compare(a.lastUse, b.lastUse) })
	enough := func() bool { return atomic.LoadInt64(c.used()) <= target }
	var open, docs []found
	var docBytes int64
	for _, f := range all {
		if f.doc {
			docs = append(docs, f)
			docBytes += f.bytes
		}
	}
	for _, f := range all {
		if enough() {
			return nil
		}
		if f.doc {
			continue
		}
		gone, err := c.removeIdle(f)
		if err != nil {
			return err
		}
		if !gone {
			open = append(open, f)
		}
	}
	// Documents are what makes a mount possible without network: they may take a
	// quarter of the cache before the oldest of them go.
	for _, f := range docs {
		if enough() {
			return nil
		}
		if docBytes <= c.max/4 {
			break
		}
		gone, err := c.removeDoc(f)
		if err != nil {
			return err
		}
		if gone {
			docBytes -= f.bytes
		}
	}
	// The first turn spares what was read since the last eviction, and the second one what
	// is read while we are at it.
	for range 2 {
		for _, f := range open {
			if enough() {
				return nil
			}
			if err := c.punchObject(f, enough); err != nil {
				return err
			}
		}
	}
	return nil
}

// punchObject takes parts out of an object that is open: the clock algorithm over
// groups of units.
func (c *Cache) punchObject(f found, enough func() bool) error {
	o, err := c.Object(f.id.key, f.id.size)
	if err != nil {
		if errors.Is(err, ErrClosed) {
			return nil
		}
		return err
	}
	defer func() { _ = o.Close() }()
	units := unitsOf(o.id.size)
	for u := int64(0); u < units && !enough(); u += groupUnits {
		end := min(u+groupUnits, units)
		used, here := false, false
		for i := u; i < end; i++ {
			used = o.m.unref(i) || used
			here = o.m.has(i) || here
		}
		if used || !here {
			continue
		}
		err := o.punch(u, end)
		for try := 0; errors.Is(err, unix.EWOULDBLOCK) && try < 50 && !o.Sealed(); try++ {
			time.Sleep(200 * time.Microsecond) // somebody writes; that never takes long
			err = o.punch(u, end)
		}
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil // the file is handed out
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// punch forgets the units [u, end) and gives their blocks back. The first unit may
// hold the end of the chunk that starts in the unit before, so in a "tar" object its
// blocks stay.
// Errors: unix.EWOULDBLOCK if the file is handed out or something is written just now.
func (o *Object) punch(u, end int64) error {
	release, err := o.alone(unix.LOCK_NB)
	if err != nil {
		return err
	}
	defer release()
	if err := o.c.disk.step("clearbit", o.mapf.Name()); err != nil {
		return err
	}
	o.m.lose()
	for i := u; i < end; i++ {
		if o.m.clear(i) {
			o.c.add(-o.m.unitLen(i))
		}
	}
	o.m.lose()
	first := u
	if u > 0 && o.id.key.Kind != "file" {
		first++
	}
	if first >= end {
		return nil
	}
	err = o.c.disk.punch(o.data, first*UnitBytes, (end-first)*UnitBytes)
	if errors.Is(err, unix.EOPNOTSUPP) {
		return nil // forgotten all the same; the blocks come back with the object
	}
	return err
}
