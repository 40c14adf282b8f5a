package fs

import "context"

// Content reads the bytes of the tree's regular files. It may be called from several goroutines.
type Content interface {
	// ReadAt fills p with bytes of the file from off on, holes as zeros. It
	// returns io.EOF, with the bytes there are, when the range ends past the file's
	// size, and no byte that was not checked. Errors name layer, path and offset; they
	// wrap ErrCorrupt, ErrUnavailable or ctx.Err().
	ReadAt(ctx context.Context, ino Ino, p []byte, off int64) (int, error)
}
