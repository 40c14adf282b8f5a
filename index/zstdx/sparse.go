package zstdx

import (
	"encoding/binary"
	"fmt"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// A run is a stretch of referenced bytes before a checkpoint.
type run struct {
	dist int64 // distance of its first byte before the checkpoint
	len  int
}

// maxRunBytes bounds an unpacked window with its run list. A span with its overhang is at
// most limitSpan + limitOverhang bytes, and every referenced byte is copied to one of
// these; the rest is for the list, a few bytes a run. Real windows have some 100 KiB.
const maxRunBytes = 80 << 20

// The packed form of a window is, inside one zstd frame with content size:
//
//	uvarint  number of runs
//	per run, the farthest first:
//	    uvarint  gap: distance from the end of the run before it; for the first
//	             run the distance of its first byte before the checkpoint
//	    uvarint  length
//	the bytes of all runs
//
// The byte order of the stream makes the data compress as well as its surroundings did.

var windowEncoder = sync.OnceValue(func() *zstd.Encoder {
	e, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(2), zstd.WithEncoderCRC(false), zstd.WithSingleSegment(true),
		zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(1<<20), zstd.WithLowerEncoderMem(true))
	if err != nil {
		panic(err)
	}
	return e
})

var windowDecoder = sync.OnceValue(func() *zstd.Decoder {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxMemory(maxRunBytes), zstd.WithDecoderMaxWindow(maxRunBytes))
	if err != nil {
		panic(err)
	}
	return d
})

// packWindow packs the runs, whose bytes are data.
func packWindow(runs []run, data []byte) []byte {
	if len(runs) == 0 {
		return nil
	}
	b := binary.AppendUvarint(nil, uint64(len(runs)))
	end := int64(0)
	for i, r := range runs {
		gap := end - r.dist
		if i == 0 {
			gap = r.dist
		}
		b = binary.AppendUvarint(b, uint64(gap))
		b = binary.AppendUvarint(b, uint64(r.len))
		end = r.dist - int64(r.len)
	}
	b = append(b, data...)
	return windowEncoder().EncodeAll(b, nil)
}

// A sparse is the unpacked window of a checkpoint.
type sparse struct {
	runs []run
	offs []uint32 // where in data the bytes of each run start
	data []byte
	// index[k] is the first run that ends nearer to the checkpoint than the distance
	// top - k<<bucketBits.
	index []int32
	top   int64 // distance of the farthest byte
}

// bucketBits is the size of the buckets by which runs are found.
const bucketBits = 10

// unpackWindow is the inverse of packWindow, for input that nobody vouches for.
func unpackWindow(b []byte, window int64) (*sparse, error) {
	s := &sparse{}
	if len(b) == 0 {
		return s, nil
	}
	var h zstd.Header
	if err := h.Decode(b); err != nil || !h.HasFCS || h.FrameContentSize > maxRunBytes {
		return nil, fmt.Errorf("window header: %w", errCheckpoint)
	}
	raw, err := windowDecoder().DecodeAll(b, nil)
	if err != nil {
		return nil, fmt.Errorf("window: %w: %w", errCheckpoint, err)
	}
	n, raw, ok := uvarint(raw)
	if !ok || n > uint64(len(raw))/2 {
		return nil, fmt.Errorf("window: runs: %w", errCheckpoint)
	}
	s.runs = make([]run, n)
	s.offs = make([]uint32, n)
	end, sum := int64(0), uint64(0)
	for i := range s.runs {
		var gap, size uint64
		if gap, raw, ok = uvarint(raw); ok {
			size, raw, ok = uvarint(raw)
		}
		dist := int64(gap)
		if i > 0 {
			dist = end - int64(gap)
		} else {
			s.top = dist
		}
		if !ok || gap > 1<<40 || size == 0 || size > 1<<40 || dist < int64(size) || dist > window {
			return nil, fmt.Errorf("window: run %d: %w", i, errCheckpoint)
		}
		s.runs[i] = run{dist, int(size)}
		s.offs[i] = uint32(sum)
		sum += size
		if sum > uint64(len(raw)) {
			return nil, fmt.Errorf("window: run %d: %w", i, errCheckpoint)
		}
		end = dist - int64(size)
	}
	if sum != uint64(len(raw)) {
		return nil, fmt.Errorf("window: %d bytes for runs of %d: %w", len(raw), sum, errCheckpoint)
	}
	s.data = raw
	s.index = make([]int32, s.top>>bucketBits+1)
	next := 0
	for k := range s.index {
		for next < len(s.runs) && s.runs[next].dist-int64(s.runs[next].len) >= s.top-int64(k)<<bucketBits {
			next++
		}
		s.index[k] = int32(next)
	}
	return s, nil
}

// copy fills dst with the bytes from the distance on; false if they are not there.
func (s *sparse) copy(dst []byte, dist int64) bool {
	if dist > s.top || dist < int64(len(dst)) {
		return len(dst) == 0
	}
	i := int(s.index[(s.top-dist)>>bucketBits])
	for i < len(s.runs) && s.runs[i].dist-int64(s.runs[i].len) >= dist {
		i++
	}
	if i == len(s.runs) {
		return false
	}
	r := s.runs[i]
	skip := r.dist - dist
	// Runs never touch, so one run holds it all or it is not there.
	if skip < 0 || skip+int64(len(dst)) > int64(r.len) {
		return false
	}
	copy(dst, s.data[int64(s.offs[i])+skip:])
	return true
}

// uvarint takes a number from the front of b.
func uvarint(b []byte) (uint64, []byte, bool) {
	v, n := binary.Uvarint(b)
	if n <= 0 {
		return 0, b, false
	}
	return v, b[n:], true
}
