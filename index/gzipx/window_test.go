package gzipx

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

func randomWindow(rng *rand.Rand) []byte {
	win := make([]byte, winBytes)
	if rng.IntN(10) == 0 {
		return random(rng, winBytes)
	}
	words := text(rng, 64<<10)
	for range rng.IntN(400) {
		at, from := rng.IntN(winBytes), rng.IntN(len(words))
		copy(win[at:], words[from:min(len(words), from+rng.IntN(200))])
	}
	return win
}

func TestWindowRoundTrip(t *testing.T) {
	used := packers.New().(*packer)
	got := make([]byte, winBytes)
	for seed := range uint64(30) {
		rng := rand.New(rand.NewPCG(seed, 0))
		win := randomWindow(rng)
		packed := used.pack(win)
		copy(got, random(rng, winBytes))
		if err := unpackWindow(got, packed); err != nil || !bytes.Equal(got, win) {
			t.Fatalf("seed %d: %v, or the window differs", seed, err)
		}
		if len(packed) > winBytes+winBytes/100 {
			t.Errorf("seed %d: %d bytes", seed, len(packed))
		}
		// A packer that was never used before gives the same.
		if !bytes.Equal(packers.New().(*packer).pack(win), packed) {
			t.Errorf("seed %d: a reused packer packs differently", seed)
		}
	}
}

func TestEmptyWindow(t *testing.T) {
	if packed := packers.New().(*packer).pack(make([]byte, winBytes)); packed != nil {
		t.Errorf("got %x", packed)
	}
}
