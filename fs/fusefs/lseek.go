package fusefs

import (
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/shalefs/shalefs/index/tarx"
)

// Lseek answers SEEK_DATA and SEEK_HOLE from the sparse map; the kernel does the rest itself.
func (r *rawFS) Lseek(_ <-chan struct{}, in *fuse.LseekIn, out *fuse.LseekOut) fuse.Status {
	start := r.begin()
	return r.end("LSEEK", start, 0, r.lseek(in, out))
}

func (r *rawFS) lseek(in *fuse.LseekIn, out *fuse.LseekOut) fuse.Status {
	ino, ok := r.ino(in.NodeId)
	if !ok {
		return fuse.Status(syscall.ESTALE)
	}
	if r.tree.Kind(ino) != tarx.Regular {
		return fuse.EINVAL
	}
	ext, err := r.tree.Open(ino)
	if err != nil {
		return r.fail("LSEEK", ino, int64(in.Offset), err)
	}
	next := ext.NextData
	switch in.Whence {
	case unix.SEEK_DATA:
	case unix.SEEK_HOLE:
		next = ext.NextHole
	default:
		return fuse.EINVAL
	}
	at, ok := next(int64(in.Offset))
	if !ok {
		return fuse.Status(syscall.ENXIO)
	}
	out.Offset = uint64(at)
	return fuse.OK
}
