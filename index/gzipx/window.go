package gzipx

import (
	"encoding/binary"
	"errors"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// A packed window is empty (nothing is referenced), or a byte that names the method
// and its data. Both methods say the same: the runs of bytes that are not zero, from
// the window's start on. First comes for each run the uvarint number of zero bytes
// before it and the uvarint number of its bytes; a pair of zeros ends the list; then
// follow the bytes of all runs. What comes after the last run is zero.
//
//	1  runs
//	2  runs, compressed by zstd
const (
	winRuns = 1
	winZstd = 2
)

// minGap is how many zero bytes end a run; fewer cost more to say than to keep.
const minGap = 3

var errWindow = errors.New("invalid checkpoint window")

// maxRuns bounds the runs of a window, in bytes. Between runs there are minGap zero bytes
// at least, so lengths (at most 3 bytes each) cost less than twice what they cover.
const maxRuns = 3 * winBytes

// A packer packs windows. Its encoder is deterministic: one level, one goroutine.
type packer struct {
	enc  *zstd.Encoder
	runs []byte
	data []byte
}

var packers = sync.Pool{New: func() any {
	enc, err := zstd.NewWriter(nil,
		zstd.WithEncoderConcurrency(1),
		zstd.WithEncoderLevel(zstd.SpeedBetterCompression),
		zstd.WithWindowSize(128<<10),
		zstd.WithEncoderCRC(false),
		zstd.WithSingleSegment(true),
		zstd.WithLowerEncoderMem(true),
	)
	if err != nil {
		panic(err) // the options are constants
	}
	return &packer{enc: enc}
}}

// pack packs a window of winBytes.
func (p *packer) pack(win []byte) []byte {
	p.runs, p.data = p.runs[:0], p.data[:0]
	for at := 0; ; {
		gap := zeros(win[at:])
		from := at + gap
		if from == len(win) {
			break
		}
		end := from
		for end < len(win) {
			if win[end] == 0 {
				z := zeros(win[end:min(len(win), end+minGap)])
				if z == minGap || end+z == len(win) {
					break
				}
				end += z
				continue
			}
			end++
		}
		p.runs = binary.AppendUvarint(p.runs, uint64(gap))
		p.runs = binary.AppendUvarint(p.runs, uint64(end-from))
		p.data = append(p.data, win[from:end]...)
		at = end
	}
	if len(p.data) == 0 {
		return nil
	}
	p.runs = append(p.runs, 0, 0)
	p.runs = append(p.runs, p.data...)
	packed := p.enc.EncodeAll(p.runs, []byte{winZstd})
	if len(packed) > len(p.runs) {
		packed = append(append(packed[:0], winRuns), p.runs...)
	}
	return packed
}

func zeros(b []byte) int {
	n := 0
	for len(b)-n >= 8 && binary.LittleEndian.Uint64(b[n:]) == 0 {
		n += 8
	}
	for n < len(b) && b[n] == 0 {
		n++
	}
	return n
}

// An unpacker unpacks windows.
type unpacker struct {
	dec *zstd.Decoder
	buf []byte
}

var unpackers = sync.Pool{New: func() any {
	dec, err := zstd.NewReader(nil,
		zstd.WithDecoderConcurrency(1),
		zstd.WithDecoderMaxMemory(maxRuns),
		zstd.WithDecoderLowmem(true),
	)
	if err != nil {
		panic(err) // the options are constants
	}
	return &unpacker{dec: dec, buf: make([]byte, 0, winBytes)}
}}

// unpackWindow fills win, of winBytes, with a packed window.
func unpackWindow(win, packed []byte) error {
	clear(win)
	if len(packed) == 0 {
		return nil
	}
	runs := packed[1:]
	switch packed[0] {
	case winRuns:
	case winZstd:
		u := unpackers.Get().(*unpacker)
		defer unpackers.Put(u)
		out, err := u.dec.DecodeAll(runs, u.buf[:0])
		if err != nil {
			return errWindow
		}
		u.buf = out
		runs = out
	default:
		return errWindow
	}
	// First find where the bytes begin, then place them.
	head := runs
	total := 0
	for {
		_, n, rest, err := nextRun(runs)
		if err != nil {
			return err
		}
		runs = rest
		if n == 0 {
			break
		}
		if total += n; total > winBytes {
			return errWindow
		}
	}
	data := runs
	if len(data) != total {
		return errWindow
	}
	for at := 0; ; {
		gap, n, rest, err := nextRun(head)
		if err != nil {
			return err
		}
		if n == 0 {
			return nil
		}
		head = rest
		if gap > len(win)-at || n > len(win)-at-gap {
			return errWindow
		}
		at += gap
		copy(win[at:at+n], data)
		data = data[n:]
		at += n
	}
}

func nextRun(b []byte) (gap, n int, rest []byte, err error) {
	g, i := binary.Uvarint(b)
	if i <= 0 || g > winBytes {
		return 0, 0, nil, errWindow
	}
	m, j := binary.Uvarint(b[i:])
	if j <= 0 || m > winBytes {
		return 0, 0, nil, errWindow
	}
	return int(g), int(m), b[i+j:], nil
}
