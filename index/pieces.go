package index

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/shalefs/shalefs/index/codec"
	"github.com/shalefs/shalefs/index/foreign"
	"github.com/shalefs/shalefs/lazy"
)

// piecesSuffix is on the format of an index whose spans are pieces of a foreign
// index: each starts at a gzip member or a zstd frame.
const piecesSuffix = "-pieces"

const (
	// maxPiece bounds a piece with a digest, which is decoded whole before a byte leaves.
	maxPiece = 64 << 20
	// maxSkip bounds what is decoded before a piece.
	maxSkip = 64 << 20
)

// The state of a piece's checkpoint: a byte for what it is, then for a piece uvarint
// skip, uvarint length and, if known, its sha256.
const (
	stateGap   = 0 // zeros that are in no blob
	statePiece = 1
	stateKnown = 2
)

func gapCheckpoint(out, in int64) codec.Checkpoint {
	return codec.Checkpoint{Out: out, In: in, State: []byte{stateGap}}
}

func pieceCheckpoint(p *foreign.Piece) codec.Checkpoint {
	state := []byte{statePiece}
	state = binary.AppendUvarint(state, uint64(p.Skip))
	state = binary.AppendUvarint(state, uint64(p.Len))
	if p.Known {
		state[0] = stateKnown
		state = append(state, p.Digest[:]...)
	}
	return codec.Checkpoint{Out: p.Off, In: p.In, State: state}
}

// A pieceDecoder decodes pieces by the codec of their format.
type pieceDecoder struct {
	inner codec.Codec
	start func() ([]byte, error) // the inner codec's state at a stream's start
}

var errPieceState = errors.New("broken state of a piece")

func (d *pieceDecoder) decode(ctx context.Context, cp codec.Checkpoint, r io.Reader, n int64, emit func(p []byte) error) error {
	if len(cp.State) == 0 {
		return errPieceState
	}
	if cp.State[0] == stateGap {
		return emitZeros(ctx, n, emit)
	}
	c := cp.State[1:]
	skip, k := binary.Uvarint(c)
	if k <= 0 || skip > maxSkip {
		return errPieceState
	}
	length, m := binary.Uvarint(c[k:])
	if m <= 0 || uint64(n) > length {
		return errPieceState
	}
	sum := c[k+m:]
	start, err := d.start()
	if err != nil {
		return err
	}
	inner := codec.Checkpoint{In: cp.In, State: start}
	if cp.State[0] != stateKnown {
		return d.inner.Decode(ctx, inner, r, int64(skip)+n, skipping(int64(skip), emit))
	}
	if len(sum) != sha256.Size || length > maxPiece {
		return errPieceState
	}
	var whole []byte
	err = d.inner.Decode(ctx, inner, r, int64(skip+length), skipping(int64(skip), func(p []byte) error {
		whole = append(whole, p...)
		return nil
	}))
	if err != nil {
		return err
	}
	if got := sha256.Sum256(whole); !bytes.Equal(got[:], sum) {
		return fmt.Errorf("%w: piece of %d bytes: sha256 is %x, not %x", lazy.ErrCorrupt, len(whole), got, sum)
	}
	return emit(whole[:n])
}

// skipping keeps the first bytes from emit.
func skipping(skip int64, emit func(p []byte) error) func(p []byte) error {
	return func(p []byte) error {
		n := min(skip, int64(len(p)))
		skip -= n
		if p = p[n:]; len(p) == 0 {
			return nil
		}
		return emit(p)
	}
}

func emitZeros(ctx context.Context, n int64, emit func(p []byte) error) error {
	zeros := make([]byte, min(n, lazy.ChunkBytes))
	for ; n > 0; n -= int64(len(zeros)) {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := emit(zeros[:min(n, int64(len(zeros)))]); err != nil {
			return err
		}
	}
	return nil
}

// decoders of pieces, by format.
var pieceDecoders = map[string]*pieceDecoder{
	"gzip" + piecesSuffix: {inner: codecs["gzip"], start: sync.OnceValues(func() ([]byte, error) {
		var b bytes.Buffer
		if err := gzip.NewWriter(&b).Close(); err != nil {
			return nil, err
		}
		return startState(codecs["gzip"], b.Bytes())
	})},
	"zstd" + piecesSuffix: {inner: codecs["zstd"], start: sync.OnceValues(func() ([]byte, error) {
		// A frame without content: magic, no flags, a window of 1 KiB, a last raw block of no bytes.
		return startState(codecs["zstd"], []byte{0x28, 0xb5, 0x2f, 0xfd, 0, 0, 1, 0, 0})
	})},
}

// startState asks a codec for its state at the start of a stream.
func startState(c codec.Codec, empty []byte) ([]byte, error) {
	var s startSink
	_, err := c.Scan(context.Background(), bytes.NewReader(empty), codec.ScanOptions{Overhang: lazy.ChunkBytes}, &s)
	return s.state, err
}

type startSink struct{ state []byte }

func (s *startSink) Data([]byte, int64) error { return nil }
func (s *startSink) Checkpoint(cp codec.Checkpoint) error {
	if cp.Out == 0 && s.state == nil {
		s.state = cp.State
	}
	return nil
}
func (s *startSink) Pause(func() (codec.Snapshot, error)) error { return nil }

// trimFormat is the compression that a format name stands for.
func trimFormat(format string) string { return strings.TrimSuffix(format, piecesSuffix) }
