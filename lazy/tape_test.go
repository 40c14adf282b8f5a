package lazy

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"
)

// Sections that overlap in any way are read right, each byte of the stream being read
// once; a section that the tape is past says so.
func TestTape(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		blob := make([]byte, rapid.IntRange(1, 3000).Draw(t, "size"))
		r := rand.NewChaCha8([32]byte{1})
		_, _ = r.Read(blob)
		size := int64(len(blob))
		start := rapid.Int64Range(0, size-1).Draw(t, "start")
		read := 0
		var src io.Reader = bytes.NewReader(blob[start:])
		if rapid.Bool().Draw(t, "halves") {
			src = iotest.HalfReader(src)
		}
		tp := &tape{r: src, pos: start, from: start, progress: func(n int) { read += n }}
		at := start
		for at < size {
			end := rapid.Int64Range(at, size).Draw(t, "end")
			next := rapid.Int64Range(at, size).Draw(t, "next")
			if err := tp.section(at, end, next); err != nil {
				t.Fatalf("section [%d, %d): %v", at, end, err)
			}
			if rapid.Bool().Draw(t, "whole") {
				got, err := io.ReadAll(tp)
				if err != nil || !bytes.Equal(got, blob[at:end]) {
					t.Fatalf("section [%d, %d): %d bytes, %v", at, end, len(got), err)
				}
			} else {
				got := make([]byte, rapid.Int64Range(0, end-at).Draw(t, "part"))
				if _, err := io.ReadFull(tp, got); err != nil || !bytes.Equal(got, blob[at:at+int64(len(got))]) {
					t.Fatalf("part of section [%d, %d): %v", at, end, err)
				}
			}
			if read > len(blob)-int(start) {
				t.Fatalf("%d bytes read of %d", read, len(blob)-int(start))
			}
			if next == at {
				next++ // forward, so that it ends
			}
			at = next
		}
	})
}

func TestTapeGone(t *testing.T) {
	tp := &tape{r: bytes.NewReader(make([]byte, 100)), progress: func(int) {}}
	if err := tp.section(0, 60, 50); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(tp); err != nil {
		t.Fatal(err)
	}
	if err := tp.section(40, 70, 70); !errors.Is(err, errGone) {
		t.Errorf("section that is gone: %v", err)
	}
	if err := tp.section(50, 200, 200); err != nil {
		t.Fatal(err)
	}
	if n, err := io.Copy(io.Discard, tp); err == nil || n != 50 {
		t.Errorf("stream that ends early: %d, %v", n, err)
	}
}
