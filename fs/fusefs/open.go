package fusefs

import (
	"os"
	"sync"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/shalefs/shalefs/fs"
)

// A handleTable knows how the inodes are open. The kernel wants all opens of an inode
// to be alike: while one is cached, another with passthrough is refused with EIO, and
// the reverse. So the first open decides for as long as the inode is open.
//
// Where there can be no passthrough, OPEN is answered once with ENOSYS, and then the
// kernel opens files by itself.
type handleTable struct {
	backer    Backer // nil without passthrough
	noOpendir bool
	server    *fuse.Server

	mu   sync.Mutex
	open map[fs.Ino]*handle // guarded by mu
}

// A handle is an inode that is open.
type handle struct {
	opens int
	file  fs.BackingFile // the backing file, nil when the opens are cached ones
	id    int32          // what the kernel calls it
}

// init is called before the mount.
func (t *handleTable) init(c fs.Content, opt Options) {
	if b, ok := c.(Backer); ok && !opt.NoPassthrough && os.Geteuid() == 0 {
		t.backer = b
	}
	t.noOpendir = true
	t.open = map[fs.Ino]*handle{}
}

// disabled are the capabilities that are of no use here.
func (t *handleTable) disabled() uint64 {
	if t.backer == nil {
		return fuse.CAP_PASSTHROUGH
	}
	return 0
}

// start is called when the kernel has said what it can.
func (t *handleTable) start(s *fuse.Server, passthrough bool) {
	t.server = s
	t.noOpendir = s.KernelSettings().Flags64()&fuse.CAP_NO_OPENDIR_SUPPORT != 0
	if !passthrough {
		t.backer = nil
	}
}

// Open decides how a file is read.
func (r *rawFS) Open(_ <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	start := r.begin()
	return r.end("OPEN", start, 0, r.openFile(in, out))
}

func (r *rawFS) openFile(in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	ino, ok := r.ino(in.NodeId)
	if !ok {
		return fuse.Status(syscall.ESTALE)
	}
	if in.Flags&syscall.O_ACCMODE != syscall.O_RDONLY {
		return fuse.EROFS
	}
	t := &r.handles
	if t.backer == nil {
		return fuse.ENOSYS
	}
	h := t.acquire(ino)
	out.OpenFlags = fuse.FOPEN_KEEP_CACHE | fuse.FOPEN_NOFLUSH
	if h.file != nil {
		out.OpenFlags, out.BackingID = fuse.FOPEN_PASSTHROUGH|fuse.FOPEN_NOFLUSH, h.id
	}
	return fuse.OK
}

// Release ends what an open began.
func (r *rawFS) Release(_ <-chan struct{}, in *fuse.ReleaseIn) {
	start := r.begin()
	r.handles.release(fs.Ino(in.NodeId))
	r.end("RELEASE", start, 0, fuse.OK)
}

// acquire counts an open of the inode.
func (t *handleTable) acquire(ino fs.Ino) *handle {
	t.mu.Lock()
	if h := t.open[ino]; h != nil {
		h.opens++
		t.mu.Unlock()
		return h
	}
	t.mu.Unlock()

	f, ok := t.backer.Backing(ino)
	var spare fs.BackingFile // closed after the lock
	defer func() {
		if spare != nil {
			_ = spare.Close() // only read from
		}
	}()
	t.mu.Lock()
	defer t.mu.Unlock()
	if h := t.open[ino]; h != nil { // another open was quicker
		if ok {
			spare = f
		}
		h.opens++
		return h
	}
	h := &handle{opens: 1}
	t.open[ino] = h
	if ok {
		id, errno := t.server.RegisterBackingFd(&fuse.BackingMap{Fd: int32(f.Fd())})
		if errno != 0 { // this file cannot back anything (it lies on an overlayfs); others may
			spare = f
			return h
		}
		h.file, h.id = f, id
	}
	return h
}

// release counts a close.
func (t *handleTable) release(ino fs.Ino) {
	t.mu.Lock()
	h := t.open[ino]
	if h == nil {
		t.mu.Unlock()
		return
	}
	if h.opens--; h.opens > 0 {
		t.mu.Unlock()
		return
	}
	delete(t.open, ino)
	if h.file != nil {
		_ = t.server.UnregisterBackingFd(h.id) // EBADF when the connection is gone, and the id with it
	}
	t.mu.Unlock()
	if h.file != nil {
		_ = h.file.Close() // only read from
	}
}

// closeAll closes what the kernel did not, because the connection ended first.
func (t *handleTable) closeAll() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for ino, h := range t.open {
		if h.file != nil {
			_ = h.file.Close() // only read from
		}
		delete(t.open, ino)
	}
}

// Flush is not wanted; the kernel remembers.
func (r *rawFS) Flush(<-chan struct{}, *fuse.FlushIn) fuse.Status { return fuse.ENOSYS }
