package share

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"github.com/klauspost/compress/zstd"
	"github.com/zeebo/blake3"

	"github.com/shalefs/shalefs/index"
	"github.com/shalefs/shalefs/layout"
	"github.com/shalefs/shalefs/lazy"
)

const (
	headMagic = "shalepk2"
	// headMagic1 is that of packs whose pieces lie layer by layer.
	headMagic1 = "shalepk1"

	// pieceBytes is the aimed length of a piece before compression.
	pieceBytes = 64 << 10
	// sumEntries is how many entries' file digests are a piece.
	sumEntries = 2048

	// maxHead bounds the compressed head, maxTree what it decompresses to.
	maxHead = 256 << 20
	maxTree = 2 << 30
	// maxPiece bounds a compressed piece; a span of zstd may need a window of megabytes.
	maxPiece = 192 << 20

	maxLayers = 4096
	maxPieces = 1 << 24
)

// A piece is a part of a layer's index in the pack.
type piece struct {
	off         int64 // in the pack
	len         int64
	first, last int // spans, or entries
	sum         [32]byte
}

// A packed is one layer in the pack.
type packed struct {
	tree     []byte
	file     [32]byte // sha256 of the whole index file
	spans    []piece
	fileSums []piece
}

// encode makes the pack of some indexes: head and pieces.
func encode(layers []*index.Layer) (head, pieces []byte, err error) {
	var sums []byte // the pieces of entries
	plain := []byte(headMagic)
	plain = binary.AppendUvarint(plain, uint64(len(layers)))
	for _, l := range layers {
		if !l.Info().Complete || !l.HasDigests() {
			return nil, nil, fmt.Errorf("index of layer %s is not complete: %w", l.Blob(), layout.ErrUnsupported)
		}
		tree, err := l.Tree()
		if err != nil {
			return nil, nil, err
		}
		plain = binary.AppendUvarint(plain, uint64(len(tree)))
		plain = append(plain, tree...)
		sum := sha256.Sum256(l.Bytes())
		plain = append(plain, sum[:]...)
		add := func(list []byte, last int, part []byte, to *[]byte) []byte {
			p := pack(part)
			*to = append(*to, p...)
			list = binary.AppendUvarint(list, uint64(len(p)))
			list = binary.AppendUvarint(list, uint64(last))
			sum := blake3.Sum256(p)
			return append(list, sum[:]...)
		}
		n, list := 0, []byte(nil)
		for first := 0; first < l.Spans(); n++ {
			last := first + 1
			for last < l.Spans() && l.SpanPartBytes(first, last+1) <= pieceBytes {
				last++
			}
			part, err := l.SpanPart(first, last)
			if err != nil {
				return nil, nil, err
			}
			list, first = add(list, last, part, &pieces), last
		}
		plain = append(binary.AppendUvarint(plain, uint64(n)), list...)
		n, list = 0, nil
		for first := 0; l.HasDigests() && first < l.NumEntries(); n++ {
			last := min(first+sumEntries, l.NumEntries())
			part, err := l.FileSumPart(first, last)
			if err != nil {
				return nil, nil, err
			}
			list, first = add(list, last, part, &sums), last
		}
		plain = append(binary.AppendUvarint(plain, uint64(n)), list...)
	}
	return pack(plain), append(pieces, sums...), nil
}

// decode reads a head. The trees alias what it returns first.
func decode(head []byte, packSize int64) ([]packed, error) {
	plain, err := unzstd(head, maxTree)
	if err != nil {
		return nil, fmt.Errorf("head: %w", err)
	}
	magic := string(plain[:min(len(plain), len(headMagic))])
	if magic != headMagic && magic != headMagic1 {
		return nil, fmt.Errorf("%w: head does not start with %s", index.ErrVersion, headMagic)
	}
	c := cursor{b: plain[len(headMagic):]}
	layers := make([]packed, c.number(maxLayers))
	for i := range layers {
		l := &layers[i]
		l.tree = c.bytes(c.number(maxTree))
		copy(l.file[:], c.bytes(32))
		l.spans = c.pieces()
		l.fileSums = c.pieces()
		if c.err != nil {
			return nil, fmt.Errorf("head, layer %d: %w", i, c.err)
		}
	}
	off := place(layers, int64(len(head)), magic == headMagic1)
	if off != packSize || len(c.b) != 0 {
		return nil, fmt.Errorf("head: %w: pieces end at %d of %d, %d bytes follow", lazy.ErrCorrupt, off, packSize, len(c.b))
	}
	return layers, nil
}

// place says of each piece where it is, the first one at off, and returns where the last one ends.
func place(layers []packed, off int64, byLayer bool) int64 {
	set := func(list []piece) {
		for i := range list {
			list[i].off = off
			off += list[i].len
		}
	}
	for i := range layers {
		set(layers[i].spans)
		if byLayer {
			set(layers[i].fileSums)
		}
	}
	for i := range layers {
		if !byLayer {
			set(layers[i].fileSums)
		}
	}
	return off
}

// A cursor reads a head; after an error it reads zeros.
type cursor struct {
	b   []byte
	err error
}

func (c *cursor) number(limit uint64) int {
	v, n := binary.Uvarint(c.b)
	if n <= 0 || v > limit {
		c.fail("number %d over %d", v, limit)
		return 0
	}
	c.b = c.b[n:]
	return int(v)
}

func (c *cursor) bytes(n int) []byte {
	if n > len(c.b) {
		c.fail("%d bytes of %d", n, len(c.b))
		return nil
	}
	b := c.b[:n:n]
	c.b = c.b[n:]
	return b
}

func (c *cursor) fail(format string, args ...any) {
	if c.err == nil {
		c.err = fmt.Errorf("%w: %s", lazy.ErrCorrupt, fmt.Sprintf(format, args...))
	}
	c.b = nil
}

func (c *cursor) pieces() []piece {
	n := c.number(maxPieces)
	if n > len(c.b)/34 {
		c.fail("%d pieces in %d bytes", n, len(c.b))
		return nil
	}
	list := make([]piece, 0, n)
	first := 0
	for range n {
		p := piece{len: int64(c.number(maxPiece)), first: first, last: c.number(1 << 40)}
		copy(p.sum[:], c.bytes(32))
		if p.last <= first {
			c.fail("piece [%d, %d)", first, p.last)
			return nil
		}
		first = p.last
		list = append(list, p)
	}
	return list
}

// pack compresses one frame.
func pack(b []byte) []byte { return encoder().EncodeAll(b, nil) }

var encoder = sync.OnceValue(func() *zstd.Encoder {
	e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBetterCompression), zstd.WithEncoderConcurrency(1))
	if err != nil {
		panic(err) // the options are constant
	}
	return e
})

// unzstd decompresses one frame of at most limit bytes.
func unzstd(b []byte, limit uint64) ([]byte, error) {
	dec, err := zstd.NewReader(nil, zstd.WithDecoderMaxMemory(limit), zstd.WithDecoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	defer dec.Close()
	return decompress(dec, b, limit)
}

// pieceDecoders decompress pieces, of which there are many.
var pieceDecoders = sync.Pool{New: func() any {
	dec, err := zstd.NewReader(nil, zstd.WithDecoderMaxMemory(maxPiece), zstd.WithDecoderConcurrency(1))
	if err != nil {
		panic(err) // the options are constant
	}
	return dec
}}

// unzstdPiece decompresses a piece.
func unzstdPiece(b []byte) ([]byte, error) {
	dec := pieceDecoders.Get().(*zstd.Decoder)
	defer pieceDecoders.Put(dec)
	return decompress(dec, b, maxPiece)
}

func decompress(dec *zstd.Decoder, b []byte, limit uint64) ([]byte, error) {
	out, err := dec.DecodeAll(b, nil)
	if errors.Is(err, zstd.ErrDecoderSizeExceeded) || errors.Is(err, zstd.ErrWindowSizeExceeded) {
		return nil, fmt.Errorf("%w: over %d bytes", layout.ErrTooLarge, limit)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", lazy.ErrCorrupt, err)
	}
	return out, nil
}
