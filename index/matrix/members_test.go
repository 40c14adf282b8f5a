package matrix

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"time"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
)

// memberEncoders write gzip streams that a plain encoder does not: of several
// members, or of blocks that were packed in parallel.
func memberEncoders() []encoder {
	return []encoder{
		simple("gzip members 1M", "gzip", false, members(1<<20)),
		simple("gzip members odd", "gzip", false, members(77_777)),
		simple("bgzf", "gzip", false, bgzf),
		simple("pgzip", "gzip", true, pgzip),
	}
}

// members packs runs of n bytes as members of their own, with all fields that a header can have.
func members(n int) func([]byte) ([]byte, error) {
	return func(stream []byte) ([]byte, error) {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		for at := 0; at < len(stream); at += n {
			w.Reset(&b)
			w.Name, w.Comment = "layer.tar", "a member"
			w.Extra, w.ModTime = []byte("XX\x02\x00ab"), time.Unix(1700000000, 0)
			if err := pour(w, stream[at:min(at+n, len(stream))]); err != nil {
				return nil, err
			}
		}
		return b.Bytes(), nil
	}
}

func pour(w *gzip.Writer, p []byte) error {
	if _, err := w.Write(p); err != nil {
		return err
	}
	return w.Close()
}

// bgzf packs 65280 bytes a member, whose extra field BC says how long it is, and ends
// with an empty one.
func bgzf(stream []byte) ([]byte, error) {
	const run = 65280
	var out []byte
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	for at := 0; ; at += run {
		b.Reset()
		w.Reset(&b)
		w.Extra = []byte("BC\x02\x00\x00\x00")
		p := stream[min(at, len(stream)):min(at+run, len(stream))]
		if err := pour(w, p); err != nil {
			return nil, err
		}
		binary.LittleEndian.PutUint16(b.Bytes()[16:], uint16(b.Len()-1))
		out = append(out, b.Bytes()...)
		if len(p) == 0 {
			return out, nil
		}
	}
}

// pgzip packs blocks of 1 MiB one by one, each with the 32 KiB before it as its
// dictionary, and puts an empty stored block between them.
func pgzip(stream []byte) ([]byte, error) {
	const block, dict = 1 << 20, 32 << 10
	b := bytes.NewBuffer([]byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff})
	for at := 0; at == 0 || at < len(stream); at += block {
		w, err := flate.NewWriterDict(b, 6, stream[max(0, at-dict):at])
		if err != nil {
			return nil, err
		}
		end := min(at+block, len(stream))
		if _, err := w.Write(stream[at:end]); err != nil {
			return nil, err
		}
		if end < len(stream) {
			err = w.Flush()
		} else {
			err = w.Close()
		}
		if err != nil {
			return nil, err
		}
	}
	out := binary.LittleEndian.AppendUint32(b.Bytes(), crc32.ChecksumIEEE(stream))
	return binary.LittleEndian.AppendUint32(out, uint32(len(stream))), nil
}
