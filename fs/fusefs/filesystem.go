package fusefs

import (
	"log/slog"
	"sync"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/shalefs/shalefs/fs"
)

// rawFS answers the kernel's requests from the tree.
type rawFS struct {
	fuse.RawFileSystem // ENOSYS for all that is not here

	tree    *fs.Tree
	content fs.Content
	opt     Options
	log     *slog.Logger
	seen    seenErrors

	stop     chan struct{} // closed when reads are to end
	stopOnce sync.Once

	entryValid, entryNsec uint64
	handles               handleTable
	ahead                 ahead
}

var _ fuse.RawFileSystem = (*rawFS)(nil)

func newRawFS(t *fs.Tree, c fs.Content, opt Options) *rawFS {
	r := &rawFS{
		RawFileSystem: fuse.NewDefaultRawFileSystem(),
		tree:          t, content: c, opt: opt, log: opt.Logger,
		entryValid: uint64(opt.Timeout / time.Second),
		entryNsec:  uint64(opt.Timeout % time.Second),
		stop:       make(chan struct{}),
	}
	r.handles.init(c, opt)
	r.ahead.init(r, c)
	return r
}

func (r *rawFS) String() string { return "shalefs" }

// Init is called with the first request.
func (r *rawFS) Init(s *fuse.Server) {
	r.handles.start(s, s.KernelSettings().Flags64()&fuse.CAP_PASSTHROUGH != 0)
	r.ahead.start(s)
}

// OnUnmount is called after the last request.
func (r *rawFS) OnUnmount() {
	r.ahead.close()
	r.handles.closeAll()
}

// stopReads ends the reads in flight, and every later one.
func (r *rawFS) stopReads() {
	r.stopOnce.Do(func() {
		close(r.stop)
		r.ahead.cancel()
	})
}

// begin starts the clock of an operation, if anybody looks at it.
func (r *rawFS) begin() time.Time {
	if r.opt.Metrics == nil {
		return time.Time{}
	}
	return time.Now()
}

// end reports an operation and returns its status.
func (r *rawFS) end(name string, start time.Time, bytes int, st fuse.Status) fuse.Status {
	if r.opt.Metrics != nil {
		r.opt.Metrics.Op(name, time.Since(start), bytes, syscall.Errno(st))
	}
	return st
}

// ino checks a node ID that the kernel gave back.
func (r *rawFS) ino(node uint64) (fs.Ino, bool) {
	ino := fs.Ino(node)
	return ino, r.tree.Valid(ino)
}
