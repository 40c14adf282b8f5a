package ztoc

import (
	"encoding/binary"

	digest "github.com/opencontainers/go-digest"

	"github.com/shalefs/shalefs/index/foreign"
)

// Checkpoints of a gzip layer, packed, little-endian:
//
//	i32 number of checkpoints, i64 distance of them in decoded bytes
//	per checkpoint: i64 in, i64 out, u8 bits, 32768 bytes window
//
// With bits > 0 the deflate data begins with the upper bits of the byte before in. Version 1 of the
// format leaves the first checkpoint out.
const (
	windowBytes = 32 << 10
	headBytes   = 4 + 8
	pointBytes  = 8 + 8 + 1 + windowBytes
)

const (
	algorithmGzip = 1
	algorithmNone = 2
)

// info reads the checkpoints and the spans.
func (l *Layer) info(f *buffer, info table, layerSize int64) error {
	algorithm, last := f.byteOr(info, infoAlgorithm, algorithmGzip), f.int32(info, infoMaxSpan)
	off, n := f.vector(info, infoCheckpoints, 1)
	packed := f.at(off, n)
	digests, count := f.vector(info, infoDigests, 4)
	if f.err != nil {
		return f.err
	}
	if count != last+1 {
		return foreign.Invalidf("ztoc: digests of %d spans for %d", count, last+1)
	}
	var ends []int64 // of the spans, in the layer
	switch algorithm {
	case algorithmGzip:
		l.Format = Gzip
		first, err := l.seeks(packed, count, layerSize)
		if err != nil {
			return err
		}
		for i := range l.Seeks {
			l.Spans = append(l.Spans, Span{In: l.Seeks[i].In})
			if s := &l.Seeks[i]; i > 0 {
				end := s.In
				if s.Bit > 0 {
					end++
				}
				ends = append(ends, end)
			}
		}
		l.Spans[0].In = first // what its maker hashed begins there
		ends = append(ends, layerSize)
	case algorithmNone:
		l.Format = Uncompressed
		z := &buffer{b: packed, budget: 1 << 20}
		root := z.root()
		span, size := z.int64(root, 1), z.int64(root, 2)
		if z.err != nil || span <= 0 || size != layerSize || (size+span-1)/span != count {
			return foreign.Invalidf("ztoc: spans of %d bytes of %d", span, size)
		}
		for in := int64(0); in < size; in += span {
			l.Spans = append(l.Spans, Span{In: in})
			ends = append(ends, min(in+span, size))
		}
	default:
		return foreign.Unsupportedf("ztoc of compression %d", algorithm)
	}
	for i := range l.Spans {
		d := digest.Digest(f.text(f.element(digests, int64(i))))
		if f.err != nil {
			return f.err
		}
		if d.Validate() != nil {
			return foreign.Invalidf("ztoc: digest %.80q", d)
		}
		l.Spans[i].InEnd, l.Spans[i].Digest = ends[i], d
	}
	return nil
}

// seeks reads the checkpoints of a gzip layer. It returns where the first one says that
// deflate data begins.
func (l *Layer) seeks(b []byte, count, layerSize int64) (first int64, err error) {
	if len(b) < headBytes || int64(int32(binary.LittleEndian.Uint32(b))) != count || count < 1 {
		return 0, foreign.Invalidf("ztoc: checkpoints")
	}
	b = b[headBytes:]
	// The first is the stream's start, whatever it says: its window is of no use, and
	// its place wrong where the gzip header is not 10 bytes long.
	l.Seeks = []foreign.Seek{{}}
	switch int64(len(b)) {
	case count * pointBytes:
		first, b = int64(binary.LittleEndian.Uint64(b)), b[pointBytes:]
	case (count - 1) * pointBytes:
		first = min(10, layerSize)
	default:
		return 0, foreign.Invalidf("ztoc: %d bytes of checkpoints for %d", len(b), count)
	}
	for ; len(b) > 0; b = b[pointBytes:] {
		in, out, bits := int64(binary.LittleEndian.Uint64(b)), int64(binary.LittleEndian.Uint64(b[8:])), b[16]
		before := l.Seeks[len(l.Seeks)-1]
		s := foreign.Seek{In: in, Out: out, Window: b[17:pointBytes:pointBytes]}
		if bits > 7 || out <= before.Out || out > l.Size || in > layerSize {
			return 0, foreign.Invalidf("ztoc: checkpoint at %d of the tar, %d of the layer", out, in)
		}
		if bits > 0 {
			s.In, s.Bit = in-1, 8-bits
		}
		if s.In < before.In || s.In == before.In && s.Bit <= before.Bit {
			return 0, foreign.Invalidf("ztoc: checkpoint at %d of the tar, %d of the layer", out, in)
		}
		l.Seeks = append(l.Seeks, s)
	}
	if len(l.Seeks) > 1 && first > l.Seeks[1].In || first < 0 || first > layerSize {
		return 0, foreign.Invalidf("ztoc: first checkpoint at %d of the layer", first)
	}
	return first, nil
}
