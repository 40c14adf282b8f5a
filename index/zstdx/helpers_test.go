package zstdx

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/shalefs/shalefs/index/codec"
)

// collect is a sink that keeps everything and checks the contract of Sink.
type collect struct {
	out   []byte
	ends  []blockEnd // one per Data
	cps   []codec.Checkpoint
	pause func(snapshot func() (codec.Snapshot, error)) error
}

// A blockEnd says that the bytes up to out need the stream up to in.
type blockEnd struct{ out, in int64 }

func (c *collect) Data(p []byte, in int64) error {
	if len(p) == 0 || len(p) > 256<<10 {
		return fmt.Errorf("Data of %d bytes", len(p))
	}
	c.out = append(c.out, p...)
	c.ends = append(c.ends, blockEnd{int64(len(c.out)), in})
	return nil
}

func (c *collect) Checkpoint(cp codec.Checkpoint) error {
	if n := len(c.cps); n > 0 && (cp.Out <= c.cps[n-1].Out || cp.In <= c.cps[n-1].In) {
		return fmt.Errorf("checkpoint at %d, %d after one at %d, %d", cp.Out, cp.In, c.cps[n-1].Out, c.cps[n-1].In)
	} else if n == 0 && cp.Out != 0 {
		return fmt.Errorf("first checkpoint at %d", cp.Out)
	}
	c.cps = append(c.cps, cp)
	return nil
}

func (c *collect) Pause(snapshot func() (codec.Snapshot, error)) error {
	if c.pause != nil {
		return c.pause(snapshot)
	}
	return nil
}

// inEnd is the end of the compressed bytes that out bytes need.
func (c *collect) inEnd(out int64) int64 {
	for _, e := range c.ends {
		if e.out >= out {
			return e.in
		}
	}
	return -1
}

// scan runs a Scan that must succeed.
func scan(t testing.TB, c zstdCodec, stream []byte, opt codec.ScanOptions) *collect {
	t.Helper()
	sink := &collect{}
	res, err := c.Scan(context.Background(), bytes.NewReader(stream), opt, sink)
	if err != nil {
		t.Fatalf("Scan: %v", err)
	}
	if res.In != int64(len(stream)) || res.Out != int64(len(sink.out)) || res.Trailing != 0 {
		t.Fatalf("Result %+v of a stream of %d bytes with %d", res, len(stream), len(sink.out))
	}
	return sink
}

// stock decodes a stream with the stock decoder.
func stock(stream []byte) ([]byte, error) {
	d, err := zstd.NewReader(bytes.NewReader(stream), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(defaultMaxWindow))
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return io.ReadAll(d)
}

// spanOf decodes n bytes from a checkpoint, giving Decode exactly the bytes of the stream that
// it may need.
func spanOf(stream []byte, cp codec.Checkpoint, n, inEnd int64) ([]byte, error) {
	var got []byte
	err := New().Decode(context.Background(), cp, bytes.NewReader(stream[cp.In:inEnd]), n, func(p []byte) error {
		got = append(got, p...)
		return nil
	})
	return got, err
}

// checkSpans decodes every span with its overhang and compares.
func checkSpans(t testing.TB, stream []byte, c *collect, overhang int64) {
	t.Helper()
	for i, cp := range c.cps {
		end := int64(len(c.out))
		if i+1 < len(c.cps) {
			end = min(end, c.cps[i+1].Out+overhang)
		}
		if end == cp.Out {
			continue
		}
		got, err := spanOf(stream, cp, end-cp.Out, c.inEnd(end))
		if err != nil {
			t.Fatalf("span %d at %d: %v", i, cp.Out, err)
		}
		if !bytes.Equal(got, c.out[cp.Out:end]) {
			t.Fatalf("span %d at %d of %d bytes differs", i, cp.Out, end-cp.Out)
		}
	}
}

// compress makes one frame as a builder of layers does: by streaming.
func compress(t testing.TB, data []byte, opts ...zstd.EOption) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := zstd.NewWriter(&b, append([]zstd.EOption{zstd.WithEncoderConcurrency(1)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
