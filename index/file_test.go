package index

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"

	"pgregory.net/rapid"

	"github.com/shalefs/shalefs/index/tarx"
)

// bytesReader is a TarReader over bytes.
type bytesReader []byte

func (b bytesReader) ReadAt(_ context.Context, p []byte, off int64) (int, error) {
	return bytes.NewReader(b).ReadAt(p, off)
}

// TestSparseReads: ENT-9: a sparse file reads as its logical content, and its data and
// holes are found as the kernel finds them.
func TestSparseReads(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := &tarx.Entry{Kind: tarx.Regular, Off: 100, Sparse: []tarx.Run{}}
		stored := make([]byte, 100)
		var logical []byte
		for range rapid.IntRange(0, 5).Draw(t, "runs") {
			logical = append(logical, make([]byte, rapid.IntRange(0, 50).Draw(t, "hole"))...)
			data := bytes.Repeat([]byte{byte(len(logical)) | 1}, rapid.IntRange(0, 50).Draw(t, "data"))
			e.Sparse = append(e.Sparse, tarx.Run{Off: int64(len(logical)), Len: int64(len(data))})
			logical, stored = append(logical, data...), append(stored, data...)
		}
		logical = append(logical, make([]byte, rapid.IntRange(0, 50).Draw(t, "end"))...)
		e.Size, e.Stored = int64(len(logical)), int64(len(stored)-100)
		f := File(bytesReader(stored), e)
		off := rapid.IntRange(0, len(logical)+5).Draw(t, "off")
		p := make([]byte, rapid.IntRange(0, 300).Draw(t, "len"))
		n, err := f.ReadAt(context.Background(), p, int64(off))
		var want []byte
		if off < len(logical) {
			want = logical[off:min(len(logical), off+len(p))]
		}
		if !bytes.Equal(p[:n], want) || err != nil && !errors.Is(err, io.EOF) || err == nil && n < len(p) {
			t.Fatalf("read of %d at %d: %d bytes, %v", len(p), off, n, err)
		}
		// Data and holes alternate and cover the file.
		for at := int64(0); at < e.Size; {
			data, ok := f.NextData(at)
			if !ok {
				data = e.Size
			}
			if !allZero(logical[at:data]) {
				t.Fatalf("data in the hole [%d, %d)", at, data)
			}
			if data == e.Size {
				break
			}
			hole, ok := f.NextHole(data)
			if !ok || hole <= data {
				t.Fatalf("hole at %d after data at %d", hole, data)
			}
			at = hole
		}
	})
}
