package fusefs

import (
	"errors"
	"io"
	"syscall"

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
	ctx := &fuse.Context{Caller: in.Caller, Cancel: cancel}
	n, err := r.content.ReadAt(ctx, ino, buf[:min(len(buf), int(in.Size))], int64(in.Offset))
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, r.end("READ", start, 0, r.fail("READ", ino, int64(in.Offset), err))
	}
	return fuse.ReadResultData(buf[:n]), r.end("READ", start, n, fuse.OK)
}
