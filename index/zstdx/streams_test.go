package zstdx

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand"
	"os"
	"path/filepath"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"github.com/shalefs/shalefs/index/codec"
)

// skippable makes a skippable frame.
func skippable(kind byte, content []byte) []byte {
	b := binary.LittleEndian.AppendUint32(nil, skippableMagic+uint32(kind&15))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(content)))
	return append(b, content...)
}

// encodeAll makes a frame with a content size.
func encodeAll(t testing.TB, data []byte, opts ...zstd.EOption) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil, append([]zstd.EOption{zstd.WithEncoderConcurrency(1)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	return w.EncodeAll(data, nil)
}

// streams are valid ones of many shapes, with what they decode to.
func streams(t testing.TB) map[string][]byte {
	small := madeUp(2, 100<<10)
	var seekable, table []byte
	for i := 0; i < len(small); i += 50 << 10 {
		f := encodeAll(t, small[i:min(len(small), i+50<<10)])
		seekable = append(seekable, f...)
		table = binary.LittleEndian.AppendUint32(table, uint32(len(f)))
		table = binary.LittleEndian.AppendUint32(table, 50<<10)
	}
	table = binary.LittleEndian.AppendUint32(table, uint32(len(table)/8))
	table = binary.LittleEndian.AppendUint32(append(table, 0), 0x8F92EAB1)
	noise := make([]byte, 150<<10)
	rand.New(rand.NewSource(3)).Read(noise)

	m := map[string][]byte{
		"nothing":        {},
		"empty frame":    encodeAll(t, nil, zstd.WithZeroFrames(true)),
		"skippable only": skippable(3, []byte("hello")),
		"seekable":       append(seekable, skippable(14, table)...),
		"single segment": encodeAll(t, small, zstd.WithSingleSegment(true)),
		"no checksum":    compress(t, small, zstd.WithEncoderCRC(false)),
		"noise":          compress(t, noise),
		"zeros":          compress(t, make([]byte, 400<<10)),
		"one byte":       encodeAll(t, []byte("x")),
		"frames": bytes.Join([][]byte{
			skippable(0, nil), compress(t, small), encodeAll(t, nil, zstd.WithZeroFrames(true)), compress(t, noise[:7]),
			skippable(15, noise), encodeAll(t, small, zstd.WithEncoderLevel(zstd.SpeedBestCompression)), skippable(1, noise[:9]),
		}, nil),
	}
	for w := 10; w <= 23; w++ {
		m[fmt.Sprintf("window %d", 1<<w)] = compress(t, small, zstd.WithWindowSize(1<<w), zstd.WithEncoderLevel(levels[w%4]))
	}
	return m
}

// TestStreams reads streams of all shapes, every span of them, with boundaries
// chosen and at every block (FMT-8).
func TestStreams(t *testing.T) {
	for name, stream := range streams(t) {
		t.Run(name, func(t *testing.T) {
			want, err := stock(stream)
			if err != nil {
				t.Fatalf("stock decoder: %v", err)
			}
			for _, c := range []zstdCodec{{}, {plain: true}, {everyBlock: true}} {
				opt := codec.ScanOptions{SpanBytes: 64 << 10, MaxSpanBytes: 200 << 10, Overhang: 10 << 10}
				if c.everyBlock {
					opt = codec.ScanOptions{SpanBytes: 1}
				}
				got := scan(t, c, stream, opt)
				if !bytes.Equal(got.out, want) {
					t.Fatal("decoded bytes differ")
				}
				if len(got.cps) == 0 {
					t.Fatal("no checkpoint")
				}
				checkSpans(t, stream, got, opt.Overhang)
				checkDictionaries(t, stream, got, opt.Overhang)
			}
		})
	}
}

// TestPieces gives the same stream in pieces of several sizes: what the sink sees is the same.
func TestPieces(t *testing.T) {
	stream := append(compress(t, madeUp(4, 500<<10)), compress(t, madeUp(5, 100<<10))...)
	opt := codec.ScanOptions{SpanBytes: 64 << 10, MaxSpanBytes: 256 << 10, Overhang: 64 << 10}
	want := scan(t, zstdCodec{}, stream, opt)
	if len(want.cps) < 3 {
		t.Fatalf("only %d checkpoints", len(want.cps))
	}
	for name, wrap := range map[string]func(io.Reader) io.Reader{
		"one byte": iotest.OneByteReader, "half": iotest.HalfReader, "data with error": iotest.DataErrReader,
	} {
		t.Run(name, func(t *testing.T) {
			got := &collect{}
			if _, err := (zstdCodec{}).Scan(context.Background(), wrap(bytes.NewReader(stream)), opt, got); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(want.cps, got.cps); d != "" {
				t.Errorf("checkpoints differ: %s", d)
			}
			if !bytes.Equal(want.out, got.out) || !cmp.Equal(want.ends, got.ends, cmp.AllowUnexported(blockEnd{})) {
				t.Error("data differ")
			}
		})
	}
}

// TestReads reads ranges that end anywhere, and asks for exactly the bytes that Data's in promised.
func TestReads(t *testing.T) {
	data := madeUp(6, 600<<10)
	stream := compress(t, data)
	c := scan(t, zstdCodec{}, stream, codec.ScanOptions{SpanBytes: 150 << 10, Overhang: 64 << 10})
	rnd := rand.New(rand.NewSource(7))
	for range 50 {
		i := rnd.Intn(len(c.cps))
		cp := c.cps[i]
		end := int64(len(data))
		if i+1 < len(c.cps) {
			end = min(end, c.cps[i+1].Out+64<<10)
		}
		n := 1 + rnd.Int63n(end-cp.Out)
		got, err := spanOf(stream, cp, n, c.inEnd(cp.Out+n))
		if err != nil {
			t.Fatalf("%d bytes at %d: %v", n, cp.Out, err)
		}
		if !bytes.Equal(got, data[cp.Out:cp.Out+n]) {
			t.Fatalf("%d bytes at %d differ", n, cp.Out)
		}
	}
}

// TestSpanLimits checks the distances of checkpoints.
func TestSpanLimits(t *testing.T) {
	data := madeUp(8, 1<<20)
	for _, most := range []int64{256 << 10, 512 << 10} {
		c := scan(t, zstdCodec{}, compress(t, data, zstd.WithEncoderLevel(zstd.SpeedBetterCompression)),
			codec.ScanOptions{SpanBytes: 128 << 10, MaxSpanBytes: most, Overhang: 64 << 10})
		for i, cp := range c.cps {
			end := int64(len(data))
			if i+1 < len(c.cps) {
				end = c.cps[i+1].Out
			}
			if end-cp.Out > most {
				t.Errorf("span %d of %d bytes, limit %d", i, end-cp.Out, most)
			}
		}
	}
}

// TestDecodecorpus reads what zstd's own generator made (testdata/decodecorpus.sh), from
// every block boundary.
func TestDecodecorpus(t *testing.T) {
	dir := os.Getenv("SHALEFS_DECODECORPUS")
	names, err := filepath.Glob(filepath.Join(dir, "*.zst"))
	if err != nil {
		t.Fatal(err)
	}
	if dir == "" || len(names) == 0 {
		const why = "SHALEFS_DECODECORPUS=%s names no directory made by testdata/decodecorpus.sh"
		if os.Getenv("SHALEFS_REQUIRE_TOOLS") != "" {
			t.Fatalf(why, dir)
		}
		t.Skipf(why, dir)
	}
	spans := 0
	var total tally
	for _, name := range names {
		stream, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		want, err := os.ReadFile(name[:len(name)-len(".zst")])
		if err != nil {
			t.Fatal(err)
		}
		ok := t.Run(filepath.Base(name), func(t *testing.T) {
			c := scan(t, zstdCodec{everyBlock: true}, stream, codec.ScanOptions{SpanBytes: 1})
			if !bytes.Equal(c.out, want) {
				t.Fatal("decoded bytes differ")
			}
			checkSpans(t, stream, c, 0)
			total.add(checkDictionaries(t, stream, c, 0))
			spans += len(c.cps)
		})
		if !ok {
			break
		}
	}
	t.Logf("%d streams, %d spans; with the stock decoder %+v", len(names), spans, total)
}
