package foreign

import (
	"errors"
	"fmt"

	"github.com/shalefs/shalefs/index/tarx"
)

var (
	// ErrInvalid: the index breaks its format or contradicts itself.
	ErrInvalid = errors.New("invalid foreign index")
	// ErrUnsupported: the index is of a version or kind that is not read.
	ErrUnsupported = errors.New("unsupported foreign index")
	// ErrTooLarge: the index is over a limit (ERR-6).
	ErrTooLarge = errors.New("foreign index too large")
	// ErrDigest: the index does not have the digest that it should have.
	ErrDigest = errors.New("foreign index digest mismatch")
	// ErrNone: the blob has no such index.
	ErrNone = errors.New("no foreign index")
)

// Limits on what is read, in bytes.
const (
	// MaxPacked is the longest index as it is stored (compressed, or a ztoc).
	MaxPacked = 150 << 20
	// MaxUnpacked is the longest index after decompression.
	MaxUnpacked = 512 << 20
)

// An Index is what another program's index says of a layer. Its slices are the
// receiver's.
type Index struct {
	// Entries are the layer's entries in archive order. Off is in the stream.
	Entries []tarx.Entry
	// Warnings are what was tolerated in them.
	Warnings []Warning
	// Size is the length of the stream in bytes.
	Size int64
	// Exact says that the stream is the layer's tar, byte for byte; else it is a
	// stand-in (see the package comment).
	Exact bool
	// Pieces cover the stored bytes of all regular files, in order of Off, or there are none.
	Pieces []Piece
	// Seeks are in order of Out.
	Seeks []Seek
}

// A Warning is something that was tolerated in an entry.
type Warning struct {
	Kind tarx.WarningKind
	Path string
}

// A Piece is a run of one file's stored bytes that decodes by itself.
type Piece struct {
	// Off and Len are its place in the stream.
	Off, Len int64
	// In and InEnd are the compressed bytes that are enough: from the start of a gzip member or
	// zstd frame to some member's or frame's end.
	In, InEnd int64
	// Skip is how many decoded bytes come before the piece's first one.
	Skip int64
	// Digest is the sha256 of the piece's bytes, if Known.
	Digest [32]byte
	Known  bool
}

// A Seek is a place inside a deflate stream from which decoding can go on, at a block's header.
type Seek struct {
	// Out is the offset in the stream of the first byte that is produced.
	Out int64
	// In is the offset in the blob of the first byte that is needed, and Bit the number of
	// its low bits, 0 to 7, that belong to what came before.
	In  int64
	Bit uint8
	// Window is the output before Out, 32 KiB of it (zeros in front where there was less);
	// nil for Out 0.
	Window []byte
}

// Invalidf makes an error that wraps ErrInvalid.
func Invalidf(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrInvalid, fmt.Sprintf(format, args...))
}

// Unsupportedf makes an error that wraps ErrUnsupported.
func Unsupportedf(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrUnsupported, fmt.Sprintf(format, args...))
}
