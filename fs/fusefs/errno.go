package fusefs

import (
	"context"
	"errors"
	"sync"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/shalefs/shalefs/fs"
)

// errnos says which errno an error is. What is not here is EIO: corrupt content,
// a registry that is away, anything unforeseen. An error of the content is never
// ENOENT: the tree knows which names there are (D10).
var errnos = []struct {
	err   error
	errno syscall.Errno
}{
	{context.Canceled, syscall.EINTR},
	{fs.ErrNotRegular, syscall.EINVAL},
	{fs.ErrNotSymlink, syscall.EINVAL},
}

// errno maps an error by errors.Is.
func errno(err error) syscall.Errno {
	for _, e := range errnos {
		if errors.Is(err, e.err) {
			return e.errno
		}
	}
	return syscall.EIO
}

// fail logs an error, once for a while, and returns its status. The kernel's caller sees
// only a number, so the line has all that is known.
func (r *rawFS) fail(op string, ino fs.Ino, off int64, err error) fuse.Status {
	no := errno(err)
	if no == syscall.EIO && r.seen.first(ino, off, time.Now()) {
		r.log.Error("read failed", "op", op, "path", r.tree.Path(ino), "layer", r.tree.Attr(ino).Layer,
			"offset", off, "error", err)
	}
	return fuse.Status(no)
}

// seenErrors remembers which failures were logged: programs and the kernel's read-ahead
// try again and again, and the log is to be read.
type seenErrors struct {
	mu   sync.Mutex
	last map[seenKey]time.Time
}

type seenKey struct {
	ino   fs.Ino
	chunk int64
}

const (
	seenFor   = 30 * time.Second
	seenLimit = 1024
	seenChunk = 1 << 20
)

// first tells whether the failure was not seen lately.
func (s *seenErrors) first(ino fs.Ino, off int64, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := seenKey{ino, off / seenChunk}
	if t, ok := s.last[key]; ok && now.Sub(t) < seenFor {
		return false
	}
	if s.last == nil || len(s.last) >= seenLimit {
		s.last = map[seenKey]time.Time{}
	}
	s.last[key] = now
	return true
}
