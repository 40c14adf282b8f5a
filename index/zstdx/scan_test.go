package zstdx

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/shalefs/shalefs/index/codec"
)

var levels = []zstd.EncoderLevel{zstd.SpeedFastest, zstd.SpeedDefault, zstd.SpeedBetterCompression, zstd.SpeedBestCompression}

// TestLevels reads every span of streams of the stock encoder at all levels.
func TestLevels(t *testing.T) {
	data := madeUp(1, 1<<20)
	for _, level := range levels {
		stream := compress(t, data, zstd.WithEncoderLevel(level))
		for _, opt := range []codec.ScanOptions{
			{Overhang: 64 << 10},
			{SpanBytes: 128 << 10, Overhang: 64 << 10},
			{SpanBytes: 100, MaxSpanBytes: 200 << 10},
		} {
			t.Run(fmt.Sprintf("%v/%d", level, opt.SpanBytes), func(t *testing.T) {
				c := scan(t, zstdCodec{}, stream, opt)
				if !bytes.Equal(c.out, data) {
					t.Fatal("decoded bytes differ")
				}
				checkSpans(t, stream, c, opt.Overhang)
			})
		}
	}
}
