package fusefs

import (
	"context"
	"errors"
	"io"
	"sync"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// Read fills the kernel's pages. When the kernel interrupts it, the content's ctx is
// canceled. A short answer means the end of the file and nothing else: an error
// discards what was read before it (ERR-3).
func (r *rawFS) Read(cancel <-chan struct{}, in *fuse.ReadIn, buf []byte) (fuse.ReadResult, fuse.Status) {
	start := r.begin()
	ino, ok := r.ino(in.NodeId)
	if !ok {
		return nil, r.end("READ", start, 0, fuse.Status(syscall.ESTALE))
	}
	ctx := &readContext{interrupt: cancel, stop: r.stop}
	n, err := r.content.ReadAt(ctx, ino, buf[:min(len(buf), int(in.Size))], int64(in.Offset))
	ctx.finish()
	switch {
	case err == nil || errors.Is(err, io.EOF):
		if int64(in.Offset)+int64(n) == r.tree.Size(ino) {
			r.ahead.read(ino)
		}
		return fuse.ReadResultData(buf[:n]), r.end("READ", start, n, fuse.OK)
	case ctx.stopped():
		return nil, r.end("READ", start, 0, fuse.EIO)
	}
	return nil, r.end("READ", start, 0, r.fail("READ", ino, int64(in.Offset), err))
}

// A readContext ends when the kernel interrupts the read, or when the server stops. Most
// reads never wait, so what it takes to wait for both is only made when Done is called.
type readContext struct {
	interrupt, stop <-chan struct{}

	mu       sync.Mutex
	done     chan struct{} // guarded by mu; closed when the context ends
	finished chan struct{} // guarded by mu; closed when the read has ended
	ended    bool          // guarded by mu
}

var _ context.Context = (*readContext)(nil)

// Deadline is part of context.Context; there is none.
func (*readContext) Deadline() (time.Time, bool) { return time.Time{}, false }

// Value is part of context.Context; there are none.
func (*readContext) Value(any) any { return nil }

// Done is part of context.Context.
func (c *readContext) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done == nil {
		c.done, c.finished = make(chan struct{}), make(chan struct{})
		if c.ended {
			close(c.done)
		} else {
			go c.watch(c.done, c.finished)
		}
	}
	return c.done
}

func (c *readContext) watch(done, finished chan struct{}) {
	select {
	case <-c.interrupt:
		close(done)
	case <-c.stop:
		close(done)
	case <-finished:
	}
}

// Err is part of context.Context.
func (c *readContext) Err() error {
	select {
	case <-c.interrupt:
	case <-c.stop:
	default:
		return nil
	}
	return context.Canceled
}

// stopped tells whether the server has stopped.
func (c *readContext) stopped() bool {
	select {
	case <-c.stop:
		return true
	default:
		return false
	}
}

// finish ends the watch when the read has ended.
func (c *readContext) finish() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	if c.finished != nil {
		close(c.finished)
	}
}
