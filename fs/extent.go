package fs

import (
	"fmt"

	"github.com/shalefs/shalefs/index/tarx"
)

// An Extent says where a regular file's bytes are.
type Extent struct {
	Layer int // in the order of Merge's layers
	Entry int
	// Off and Stored say which bytes of the layer's tar stream are the content.
	Off, Stored int64
	Size        int64      // logical size
	Sparse      []tarx.Run // as in tarx.Entry
	Digest      [32]byte   // blake3 of the stored bytes; zero if not known
}

// Open returns a regular file's extent.
func (t *Tree) Open(ino Ino) (Extent, error) {
	r := t.rec(ino)
	if r.kind() != tarx.Regular {
		return Extent{}, fmt.Errorf("%s: %w", t.Path(ino), ErrNotRegular)
	}
	var e tarx.Entry
	if err := t.entry(int(r.layer), int(r.entry), &e); err != nil {
		return Extent{}, err
	}
	return Extent{
		Layer: int(r.layer), Entry: int(r.entry),
		Off: e.Off, Stored: e.Stored, Size: e.Size, Sparse: e.Sparse, Digest: e.Digest,
	}, nil
}
