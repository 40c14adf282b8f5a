package gzipx

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"testing/iotest"

	"github.com/shalefs/shalefs/index/codec"
)

// member makes a member of deflate data that ends the test in an error.
func member(bits func(w *bitWriter)) []byte {
	w := bitWriter{b: []byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255}, n: 80}
	bits(&w)
	return append(w.b, make([]byte, 16)...)
}

func flip(b []byte, i int) []byte {
	b = bytes.Clone(b)
	if i < 0 {
		i += len(b)
	}
	b[i] ^= 1
	return b
}

func discard(comp []byte, opt codec.ScanOptions) (codec.Result, error) {
	return New().Scan(context.Background(), bytes.NewReader(comp), opt, &record{noOut: true})
}

// FMT-7
func TestScanErrors(t *testing.T) {
	words := gz(t, []byte("hello, hello, hello"), 6)
	withCRC := withHeader(words, flagHeaderCRC)
	for _, tt := range []struct {
		name string
		comp []byte
		want string
	}{
		{"nothing", nil, "gzip stream, offset 0: unexpected EOF"},
		{"one byte", []byte{0x1f}, "gzip stream, offset 0: unexpected EOF"},
		{"no magic", []byte("PK\x03\x04 some archive"), "gzip stream, offset 0: no gzip member here"},
		{"method", flip(words, 2), "gzip stream, offset 0: compression method 9"},
		{"header checksum", flip(withCRC, 5), "gzip stream, offset 12: header checksum 0555, want 2ce5"},
		{"CRC", flip(words, -8), "gzip stream, offset 33: CRC-32 of the data is 09caa19f, want 09caa19e"},
		{"length", flip(words, -4), "gzip stream, offset 33: length of the data is 19, want 18 (modulo 2^32)"},
		{"no trailer", words[:len(words)-8], "gzip stream, offset 25: unexpected EOF"},
		{"cut second member", append(bytes.Clone(words), words[:11]...), "gzip stream, offset 44: unexpected EOF"},
		{"half the magic of a second member", append(bytes.Clone(words), 0x1f), "gzip stream, offset 33: unexpected EOF"},
		{"block type", member(func(w *bitWriter) { w.put(7, 3) }), "gzip stream, offset 11: block of type 3"},
		{"stored length", member(func(w *bitWriter) { w.put(1, 8); w.put(5, 16); w.put(5, 16) }),
			"gzip stream, offset 15: stored block of length 0005, complement 0005"},
		{"distance", member(func(w *bitWriter) { w.put(3, 3); w.put(0x40, 7); w.put(0, 5) }),
			"gzip stream, offset 12: match reaches before the start of the data"},
		{"length symbol 286", member(func(w *bitWriter) { w.put(3, 3); w.put(0x63, 8) }), "gzip stream, offset 11: invalid symbol"},
		{"distance symbol 30", member(func(w *bitWriter) { w.put(3, 3); w.put(0x40, 7); w.put(0x0f, 5) }),
			"gzip stream, offset 12: invalid symbol"},
		{"287 literal codes", member(func(w *bitWriter) { w.put(5, 3); w.put(30, 5); w.put(0, 9) }),
			"gzip stream, offset 13: block with 287 literal and 1 distance codes"},
		{"31 distance codes", member(func(w *bitWriter) { w.put(5, 3); w.put(0, 5); w.put(30, 5); w.put(0, 4) }),
			"gzip stream, offset 13: block with 257 literal and 31 distance codes"},
		{"code lengths", member(func(w *bitWriter) { w.put(5, 3); w.put(0, 14); w.put(0x049, 12) }),
			"gzip stream, offset 14: incomplete code of code lengths"},
		{"repeat of nothing", member(func(w *bitWriter) { w.put(5, 3); w.put(0, 14); w.put(1, 12); w.put(0, 8) }),
			"gzip stream, offset 14: code length repeated before the first"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := discard(tt.comp, codec.ScanOptions{})
			var e *codec.Error
			if !errors.As(err, &e) || e.Error() != tt.want {
				t.Fatalf("got %v, want %s", err, tt.want)
			}
			// Byte by byte, all goes the careful way; the place may differ a little.
			_, slow := New().Scan(context.Background(), iotest.OneByteReader(bytes.NewReader(tt.comp)), codec.ScanOptions{}, &record{})
			var f *codec.Error
			if !errors.As(slow, &f) || f.Err.Error() != e.Err.Error() {
				t.Errorf("byte by byte: got %v, want %v", slow, err)
			}
		})
	}
}

// A stream that is cut anywhere is an error, unless what is left is whole members.
func TestCut(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	var comp []byte
	ends := map[int]bool{}
	for _, m := range [][]byte{
		gz(t, text(rng, 3000), 6), withHeader(gz(t, text(rng, 20), 9), 30), synced(t, text(rng, 300), 30),
		gz(t, random(rng, 300), 0), gz(t, make([]byte, 5000), 6),
	} {
		comp = append(comp, m...)
		ends[len(comp)] = true
	}
	for n := range len(comp) + 1 {
		_, err := discard(comp[:n], codec.ScanOptions{})
		if ends[n] && err != nil || !ends[n] && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("cut at %d: %v", n, err)
		}
	}
}

// Every bit of a stream counts: a flipped one is an error, unless it is in a field of the
// header that says nothing about the data, or among the up to seven bits of
// padding in the last block, which std makes an empty stored one.
func TestFlip(t *testing.T) {
	plain := text(rand.New(rand.NewPCG(9, 9)), 500)
	comp := gz(t, plain, 6)
	padding := 0
	for bit := range len(comp) * 8 {
		b := bytes.Clone(comp)
		b[bit/8] ^= 1 << (bit % 8)
		rec := &record{}
		_, err := New().Scan(context.Background(), bytes.NewReader(b), codec.ScanOptions{}, rec)
		switch {
		case err == nil && !bytes.Equal(rec.out.Bytes(), plain):
			t.Errorf("bit %d: wrong data, no error", bit)
		case err == nil && bit/8 == len(comp)-8-4-1:
			padding++
		case err == nil && (bit/8 < 3 || bit/8 >= 10):
			t.Errorf("bit %d: no error", bit)
		}
	}
	if padding > 7 {
		t.Errorf("%d bits of padding", padding)
	}
}

// FMT-6
func TestTrailing(t *testing.T) {
	plain := []byte("some data")
	comp := gz(t, plain, 6)
	for name, tail := range map[string][]byte{
		"a zero":          {0},
		"zeros":           make([]byte, 700000),
		"garbage":         []byte("garbage"),
		"half a magic":    {0x1f, 0x8c, 3},
		"zeros, a member": append(make([]byte, 512), comp...),
	} {
		rec := &record{}
		res, err := New().Scan(context.Background(), bytes.NewReader(append(bytes.Clone(comp), tail...)), codec.ScanOptions{}, rec)
		want := codec.Result{In: int64(len(comp)), Out: int64(len(plain)), Trailing: int64(len(tail))}
		if err != nil || res != want || !bytes.Equal(rec.out.Bytes(), plain) {
			t.Errorf("%s: got %+v, %v, want %+v", name, res, err, want)
		}
	}
}

// ERR-7
func TestMaxOut(t *testing.T) {
	comp := gz(t, make([]byte, 5<<20), 6)
	rec := &record{}
	_, err := New().Scan(context.Background(), bytes.NewReader(comp), codec.ScanOptions{MaxOut: 1 << 20}, rec)
	if !errors.Is(err, codec.ErrTooLarge) || rec.out.Len() > 1<<20 {
		t.Errorf("got %v after %d bytes", err, rec.out.Len())
	}
	if _, err := discard(gz(t, make([]byte, 1<<20), 6), codec.ScanOptions{MaxOut: 1 << 20}); err != nil {
		t.Errorf("a stream of MaxOut bytes: %v", err)
	}
}

// A stream can give no data for as long as it likes. A checkpoint whose proof
// would need too many compressed bytes for that is not made, and the next place is as
// good.
func TestEmptyBlocks(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	plain := random(rng, 200000)
	comp := oneBlock(plain, inStored)
	// After 70000 bytes, in the window of the checkpoint at 65536, come 100,000 empty blocks. The
	// first stored block holds 65535.
	empty := bytes.Repeat([]byte{0, 0, 0, 0xff, 0xff}, 100000)
	at := 10 + 5 + 65535
	comp = append(append(bytes.Clone(comp[:at]), empty...), comp[at:]...)
	// The block of the checkpoint is the next, so put some between its blocks, too.
	at += len(empty) + 5 + 65535
	comp = append(append(bytes.Clone(comp[:at]), empty...), comp[at:]...)
	s := stream{comp: comp, plain: plain}
	rec, _ := scan(t, comp, codec.ScanOptions{SpanBytes: 110000})
	checkCheckpoints(t, s, rec)
	checkIn(t, s, rec)
	if len(rec.cps) < 2 {
		t.Errorf("got %d checkpoints", len(rec.cps))
	}
	for _, cp := range rec.cps[1:] {
		if cp.Out > 2*65535-winBytes && cp.Out < 2*65535 {
			t.Errorf("a checkpoint at %d, before half a megabyte of empty blocks", cp.Out)
		}
	}
}

// badSink fails at the nth call.
type badSink struct{ n int }

var errSink = errors.New("sink is full")

func (s *badSink) call() error {
	if s.n--; s.n < 0 {
		return errSink
	}
	return nil
}

func (s *badSink) Data([]byte, int64) error                            { return s.call() }
func (s *badSink) Checkpoint(codec.Checkpoint) error                   { return s.call() }
func (s *badSink) Pause(snapshot func() (codec.Snapshot, error)) error { return s.call() }

func TestErrorsOfOthers(t *testing.T) {
	plain := text(rand.New(rand.NewPCG(2, 2)), 300<<10)
	comp := gz(t, plain, 6)
	opt := codec.ScanOptions{SpanBytes: MinSpanBytes}
	for n := 0; ; n++ {
		_, err := New().Scan(context.Background(), bytes.NewReader(comp), opt, &badSink{n})
		if err == nil {
			if n < 15 {
				t.Errorf("only %d calls of the sink", n)
			}
			break
		}
		if !errors.Is(err, errSink) {
			t.Fatalf("call %d: got %v", n, err)
		}
	}
	errRead := errors.New("the wire broke")
	r := io.MultiReader(bytes.NewReader(comp[:9999]), iotest.ErrReader(errRead))
	if _, err := New().Scan(context.Background(), r, opt, &record{}); !errors.Is(err, errRead) {
		t.Errorf("reader: got %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := New().Scan(ctx, bytes.NewReader(comp), opt, &record{}); !errors.Is(err, context.Canceled) {
		t.Errorf("ctx: got %v", err)
	}
	rec, _ := scan(t, comp, opt)
	cp := rec.cps[1]
	if err := New().Decode(ctx, cp, bytes.NewReader(comp[cp.In:]), 10, func([]byte) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("ctx: got %v from Decode", err)
	}
	err := New().Decode(context.Background(), cp, bytes.NewReader(comp[cp.In:]), 10, func([]byte) error { return errSink })
	if !errors.Is(err, errSink) {
		t.Errorf("emit: got %v", err)
	}
	_, err = New().Scan(context.Background(), stuck{}, opt, &record{})
	if !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("a reader that gives nothing: got %v", err)
	}
}

type stuck struct{}

func (stuck) Read([]byte) (int, error) { return 0, nil }
