package fs

import (
	"context"

	"github.com/shalefs/shalefs/index/tarx"
)

// presentReader is a streamReader that can tell what it need not fetch: *lazy.Loader.
type presentReader interface {
	ReadPresent(ctx context.Context, key uint64, p []byte, off, end int64) bool
}

// ReadPresent fills p with the first len(p) bytes of a file, if they are all here: nothing is fetched
// for them. Every byte was checked, as with ReadAt. ok is false for what is not here, and for sparse
// files; then p holds nothing of use.
func (c *LayerContent) ReadPresent(ctx context.Context, ino Ino, p []byte) (ok bool) {
	if r := c.tree.rec(ino); r.kind() != tarx.Regular || r.mode&moreBit != 0 || int64(len(p)) > r.size {
		return false
	}
	ext, err := c.tree.Open(ino)
	if err != nil || int64(len(p)) > ext.Stored {
		return false
	}
	r, ok := c.readers[ext.Layer].(presentReader)
	return ok && r.ReadPresent(ctx, uint64(ino), p, ext.Off, ext.Off+ext.Stored)
}
