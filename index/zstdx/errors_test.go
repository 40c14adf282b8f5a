package zstdx

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/zstd"

	"github.com/shalefs/shalefs/index/codec"
)

// TestBadStreams checks what is refused, and how it is named (FMT-8, FMT-9, FMT-10, ERR-6).
func TestBadStreams(t *testing.T) {
	good := compress(t, madeUp(10, 40<<10))
	flip := func(i int, v byte) []byte {
		b := bytes.Clone(good)
		if i < 0 {
			i += len(b)
		}
		b[i] ^= v
		return b
	}
	head := func(b ...byte) []byte { return append([]byte{0x28, 0xb5, 0x2f, 0xfd}, b...) }
	sized := encodeAll(t, madeUp(10, 40<<10), zstd.WithEncoderCRC(false))
	longer := bytes.Clone(sized)
	longer[5]++ // one more byte than there is: the content size follows descriptor and window
	tests := []struct {
		name   string
		stream []byte
		want   error
	}{
		{"garbage", []byte("hello, world"), errMagic},
		{"garbage after a frame", append(bytes.Clone(good), "garbage"...), errMagic},
		{"zeros after a frame", append(bytes.Clone(good), 0, 0, 0, 0, 0), errMagic},
		{"short garbage after a frame", append(bytes.Clone(good), 1), io.ErrUnexpectedEOF},
		{"checksum", flip(-1, 1), errChecksum},
		{"dictionary", head(0x01, 0x38, 7, 1, 0, 0), errDictionary},
		{"reserved bit of the frame", head(0x08, 0x38, 1, 0, 0), errReserved},
		{"reserved block", head(0x00, 0x38, 0x07, 0, 0), errReserved},
		{"large block", head(0x00, 0x00, 0x01, 0x40, 0), errBlockSize},
		{"large RLE block", head(0x00, 0x38, 0x03, 0x00, 0xff, 0), errBlockSize},
		{"window of 256 MiB", head(0x00, 0x90, 0x01, 0, 0), codec.ErrTooLarge},
		{"single segment of 1 GiB", head(0xa0, 0, 0, 0, 0x40, 1, 0, 0), codec.ErrTooLarge},
		{"absurd size", head(0xe0, 0, 0, 0, 0, 0, 0, 0, 0xff, 1, 0, 0), codec.ErrTooLarge},
		{"less than the size", head(0x20, 5, 0x01, 0, 0), errFrameSize},
		{"more than the size", head(0x20, 1, 0x11, 0, 0, 'a', 'b'), errBlockSize},
		{"content size", longer, errFrameSize},
		{"no literals", head(0x00, 0x38, 0x0d, 0, 0, 0), errLiterals},
		{"treeless first", head(0x00, 0x38, 0x25, 0, 0, 0x13, 0x40, 0, 0), errNoTable},
		{"repeat first", head(0x00, 0x38, 0x25, 0, 0, 0, 1, 0xfc, 1), errNoTable},
		{"reserved mode bits", head(0x00, 0x38, 0x25, 0, 0, 0, 1, 1, 1), errReserved},
		{"bytes after no sequences", head(0x00, 0x38, 0x1d, 0, 0, 0, 0, 1), errSequences},
		{"far offset", append(head(0x00, 0x38), handBlock(modePredefined, 0, "abc", 13, true)...), errOffset},
		{"offset zero", append(append(head(0x00, 0x38), handBlock(modePredefined, 0, "abc", 4, false)...),
			handBlock(modePredefined, 0, "", 3, true)...), errZeroOffset},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := New().Scan(context.Background(), bytes.NewReader(tt.stream), codec.ScanOptions{}, &counter{})
			if e := (&codec.Error{}); !errors.As(err, &e) || e.Codec != "zstd" || e.In < 0 || e.In > int64(len(tt.stream)) {
				t.Errorf("error %v is not a *codec.Error with a place in the stream", err)
			}
			if !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
}

// TestCut cuts a stream at every offset.
func TestCut(t *testing.T) {
	a, b := compress(t, madeUp(11, 9<<10)), encodeAll(t, madeUp(12, 500))
	stream := bytes.Join([][]byte{a, skippable(2, []byte("12345")), b}, nil)
	whole := map[int]bool{0: true, len(a): true, len(a) + 13: true}
	for n := range stream {
		_, err := New().Scan(context.Background(), bytes.NewReader(stream[:n]), codec.ScanOptions{}, &counter{})
		switch e := (&codec.Error{}); {
		case whole[n] && err != nil:
			t.Errorf("%d bytes, a whole number of frames: %v", n, err)
		case !whole[n] && (!errors.As(err, &e) || !errors.Is(err, io.ErrUnexpectedEOF)):
			t.Errorf("%d bytes: got %v, want an unexpected end", n, err)
		}
	}
}

// TestDecodeCut gives Decode less than it needs.
func TestDecodeCut(t *testing.T) {
	stream := compress(t, madeUp(13, 300<<10))
	c := scan(t, zstdCodec{everyBlock: true}, stream, codec.ScanOptions{SpanBytes: 1})
	cp := c.cps[1]
	n := c.cps[2].Out - cp.Out
	for _, in := range []int64{cp.In, cp.In + 2, cp.In + 3, c.cps[2].In - 1} {
		if _, err := spanOf(stream, cp, n, in); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("stream up to %d: %v", in, err)
		}
	}
}

var errTest = errors.New("test")

// failing is a sink that fails at its nth call.
type failing struct {
	n int
}

func (f *failing) step() error {
	if f.n--; f.n < 0 {
		return errTest
	}
	return nil
}
func (f *failing) Data([]byte, int64) error                   { return f.step() }
func (f *failing) Checkpoint(codec.Checkpoint) error          { return f.step() }
func (f *failing) Pause(func() (codec.Snapshot, error)) error { return f.step() }
func (f *failing) emit([]byte) error                          { return f.step() }

// TestForeignErrors checks that errors of the sink, the reader and the ctx come back as they are.
func TestForeignErrors(t *testing.T) {
	stream := compress(t, madeUp(14, 500<<10))
	opt := codec.ScanOptions{SpanBytes: 64 << 10, MaxSpanBytes: 128 << 10}
	c := zstdCodec{pause: 100 << 10}
	for n := 0; ; n++ {
		_, err := c.Scan(context.Background(), bytes.NewReader(stream), opt, &failing{n: n})
		if err == nil {
			if n < 8 {
				t.Errorf("only %d calls of the sink", n)
			}
			break
		}
		if !errors.Is(err, errTest) {
			t.Fatalf("call %d: %v", n, err)
		}
	}
	broken := io.MultiReader(bytes.NewReader(stream[:70<<10]), iotest.ErrReader(errTest))
	if _, err := c.Scan(context.Background(), broken, opt, &counter{}); !errors.Is(err, errTest) {
		t.Errorf("reader: %v", err)
	}
	if _, err := c.Scan(context.Background(), bytes.NewReader(stream), codec.ScanOptions{MaxOut: 500<<10 - 1}, &counter{}); !errors.Is(err, codec.ErrTooLarge) {
		t.Errorf("MaxOut (ERR-7): %v", err)
	}
	if _, err := c.Scan(context.Background(), bytes.NewReader(stream), codec.ScanOptions{MaxOut: 500 << 10}, &counter{}); err != nil {
		t.Errorf("MaxOut that is just enough: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := c.Scan(ctx, bytes.NewReader(stream), opt, &counter{}); !errors.Is(err, context.Canceled) {
		t.Errorf("ctx: %v", err)
	}

	cp := scan(t, c, stream, opt).cps[0]
	f := &failing{}
	if err := c.Decode(context.Background(), cp, bytes.NewReader(stream), 10, f.emit); !errors.Is(err, errTest) {
		t.Errorf("emit: %v", err)
	}
	if err := c.Decode(ctx, cp, bytes.NewReader(stream), 10, f.emit); !errors.Is(err, context.Canceled) {
		t.Errorf("ctx of Decode: %v", err)
	}
	if err := c.Decode(context.Background(), cp, iotest.ErrReader(errTest), 10, f.emit); !errors.Is(err, errTest) {
		t.Errorf("reader of Decode: %v", err)
	}
}

// TestManyBlocks checks that blocks of nothing, and of one byte, do not pile up.
func TestManyBlocks(t *testing.T) {
	stream := []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x38}
	for range 300 << 10 {
		stream = append(stream, blockHead(blockRaw, 0, false)...)
	}
	for range 20 << 10 {
		stream = append(append(stream, blockHead(blockRLE, 1, false)...), 'x')
	}
	stream = append(stream, blockHead(blockRaw, 0, true)...)
	s := newScanner(context.Background(), bytes.NewReader(stream), zstdCodec{}.fill(codec.ScanOptions{}), &counter{}, zstdCodec{})
	defer s.close()
	most := 0
	for f, start, err := nextFrame(s.in, 1<<20); !s.inFrame; s.begin(f, start) {
		if err != nil {
			t.Fatal(err)
		}
	}
	for s.inFrame {
		if err := s.block(); err != nil {
			t.Fatal(err)
		}
		most = max(most, len(s.look.blocks)+len(s.look.spare))
	}
	if most > 20<<10+1 {
		t.Errorf("%d blocks kept for 20480 that have output", most)
	}
}
