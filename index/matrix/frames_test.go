package matrix

import (
	"encoding/binary"

	"github.com/cespare/xxhash/v2"
	"github.com/klauspost/compress/zstd"
)

// frameEncoders write zstd streams of several frames.
func frameEncoders() []encoder {
	return []encoder{
		simple("zstd frames 1M", "zstd", false, frames(1<<20, false)),
		simple("zstd frames odd", "zstd", false, frames(333_333, false)),
		simple("zstd seekable", "zstd", false, frames(256<<10, true)),
	}
}

// frames packs runs of n bytes as frames of their own, with skippable frames before, among and
// after them; table adds the seek table of the seekable format.
func frames(n int, table bool) func([]byte) ([]byte, error) {
	return func(stream []byte) ([]byte, error) {
		w, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(n%2 == 1))
		if err != nil {
			return nil, err
		}
		var out, seek []byte
		count := uint32(0)
		if !table {
			out = skippable(out, 0x184d2a53, []byte("before all"))
		}
		for at := 0; at < len(stream); at += n {
			p := stream[at:min(at+n, len(stream))]
			start := len(out)
			out = w.EncodeAll(p, out)
			seek = binary.LittleEndian.AppendUint32(seek, uint32(len(out)-start))
			seek = binary.LittleEndian.AppendUint32(seek, uint32(len(p)))
			seek = binary.LittleEndian.AppendUint32(seek, uint32(xxhash.Sum64(p)))
			if count++; !table && count%3 == 0 {
				out = skippable(out, 0x184d2a50, nil)
			}
		}
		if table {
			seek = binary.LittleEndian.AppendUint32(seek, count)
			seek = append(seek, 0x80) // each row has a checksum
			seek = binary.LittleEndian.AppendUint32(seek, 0x8f92eab1)
			out = skippable(out, 0x184d2a5e, seek)
		}
		return out, w.Close()
	}
}

// skippable appends a skippable frame.
func skippable(out []byte, magic uint32, p []byte) []byte {
	out = binary.LittleEndian.AppendUint32(out, magic)
	out = binary.LittleEndian.AppendUint32(out, uint32(len(p)))
	return append(out, p...)
}
