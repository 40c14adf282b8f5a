package fusefs

import (
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/shalefs/shalefs/fs"
	"github.com/shalefs/shalefs/index/tarx"
)

// DropCached makes the kernel forget what it has of the contents of all files, so that
// every later read of one is a request. It is for bytes that turned out to be wrong.
func (s *Server) DropCached() {
	tree := s.raw.tree
	for ino := fs.Root; ino <= tree.MaxIno(); ino++ {
		if !tree.Valid(ino) || tree.Kind(ino) != tarx.Regular {
			continue
		}
		// ENOENT says that the kernel does not know the file.
		if st := s.fuse.InodeNotify(uint64(ino), 0, 0); st != fuse.OK && st != fuse.ENOENT && st != fuse.Status(syscall.ENOTCONN) {
			s.log.Error("the kernel keeps what it has of a file", "ino", ino, "status", st)
		}
	}
}
