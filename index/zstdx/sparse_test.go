package zstdx

import (
	"bytes"
	"errors"
	"testing"

	"pgregory.net/rapid"
)

// TestMarker marks random stretches and compares with a plain table of bytes; the
// window made of the runs must give back every stretch and nothing outside the runs.
func TestMarker(t *testing.T) {
	var m marker
	rapid.Check(t, func(t *rapid.T) {
		base := rapid.Int64Range(0, 1000).Draw(t, "base")
		size := rapid.Int64Range(1, 6000).Draw(t, "size")
		stream := make([]byte, base+size)
		for i := range stream {
			stream[i] = byte(i * i >> 3)
		}
		m.reset(base, base+size)
		marked := make([]bool, size)
		type stretch struct{ from, to int64 }
		var all []stretch
		for range rapid.IntRange(0, 40).Draw(t, "stretches") {
			from := base + rapid.Int64Range(0, size-1).Draw(t, "from")
			to := min(base+size, from+rapid.Int64Range(1, 300).Draw(t, "len"))
			m.mark(from, to)
			all = append(all, stretch{from, to})
			for i := from; i < to; i++ {
				marked[i-base] = true
			}
		}
		runs := m.runs(nil)
		m.clear(runs)
		for i, w := range m.bits {
			if w != 0 {
				t.Fatalf("word %d is not clear", i)
			}
		}

		var data []byte
		covered := make([]bool, size)
		for i, r := range runs {
			from := base + size - r.dist
			if i > 0 && runs[i-1].dist-int64(runs[i-1].len)-r.dist <= joinGap {
				t.Fatalf("runs %d and %d are too near", i-1, i)
			}
			data = append(data, stream[from:from+int64(r.len)]...)
			for k := range r.len {
				covered[from-base+int64(k)] = true
			}
			if !marked[from-base] || !marked[from-base+int64(r.len)-1] {
				t.Fatalf("run %d is longer than what was marked", i)
			}
		}
		for i := range marked {
			if marked[i] && !covered[i] {
				t.Fatalf("byte %d is in no run", i)
			}
		}

		s, err := unpackWindow(packWindow(runs, data), size)
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range all {
			got := make([]byte, x.to-x.from)
			if !s.copy(got, base+size-x.from) || !bytes.Equal(got, stream[x.from:x.to]) {
				t.Fatalf("stretch %v is not given back", x)
			}
		}
		for i, c := range covered {
			if !c && s.copy(make([]byte, 1), size-int64(i)) {
				t.Fatalf("byte %d is given though it was not kept", i)
			}
		}
	})
}

// TestBadWindows checks that packed windows that lie are refused.
func TestBadWindows(t *testing.T) {
	pack := func(b ...byte) []byte { return windowEncoder().EncodeAll(b, nil) }
	for name, b := range map[string][]byte{
		"garbage":           []byte("garbage"),
		"empty frame":       pack(),
		"too many runs":     pack(9, 1, 1, 'a'),
		"run list cut":      pack(1, 0x80),
		"empty run":         pack(1, 5, 0),
		"run past the end":  pack(1, 2, 3, 'a', 'b', 'c'),
		"runs that overlap": pack(2, 5, 3, 0xff, 0xff, 3, 1, 'a', 'b', 'c', 'd'),
		"before the window": pack(1, 101, 1, 'a'),
		"too few bytes":     pack(1, 5, 3, 'a', 'b'),
		"too many bytes":    pack(1, 5, 3, 'a', 'b', 'c', 'd'),
	} {
		if _, err := unpackWindow(b, 100); !errors.Is(err, errCheckpoint) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
