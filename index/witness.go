package index

import (
	"bytes"
	"fmt"
	"sync"

	"github.com/zeebo/blake3"
)

// A witness remembers what was let through unchecked by an index without digests: the
// blake3 of each chunk, 32 bytes for 64 KiB. When the index is bound (BindTo) they are compared
// with the digests that the layer's pass made, so that nothing escapes the check by having been
// read before it: not what a ztoc's forged window decodes to, and not the answer of a
// registry that tells readers something else than who reads the whole layer.
type witness struct {
	mu   sync.Mutex // guards all, and the setting of Layer.ours
	seen map[int][sumBytes]byte
	last []byte // the last chunk itself: the layer's may be longer
}

// vouch checks a chunk of an index without digests: by those that were lent to it, or
// by what the same chunk was before. Errors: *SumError.
func (l *Layer) vouch(chunk int, p []byte) error {
	sum := blake3.Sum256(p)
	l.witness.mu.Lock()
	defer l.witness.mu.Unlock()
	if o := l.ours.Load(); o != nil { // lent while the chunk was decoded
		return l.checkLent(o, chunk, p)
	}
	if was, ok := l.witness.seen[chunk]; ok && was != sum {
		return &SumError{Off: l.Chunk(chunk).Off, Len: len(p), Got: sum, Want: was}
	}
	if l.witness.seen == nil {
		l.witness.seen = map[int][sumBytes]byte{}
	}
	l.witness.seen[chunk] = sum
	if chunk == l.Chunks()-1 {
		l.witness.last = bytes.Clone(p)
	}
	return nil
}

// checkLent checks a chunk with the digests of ours. Where the tar of ours goes on in the chunk, it
// must do so with zeros. Errors: *SumError, lazy.ErrCorrupt.
func (l *Layer) checkLent(ours *Layer, chunk int, p []byte) error {
	want, err := ours.sumOf(chunk)
	if err != nil {
		return err
	}
	if got := l.padded(ours, chunk, p); got != want {
		return &SumError{Off: l.Chunk(chunk).Off, Len: len(p), Got: got, Want: want}
	}
	return nil
}

// padded is the digest of a chunk, with zeros up to its length in ours.
func (l *Layer) padded(ours *Layer, chunk int, p []byte) [sumBytes]byte {
	h := blake3.New()
	_, _ = h.Write(p) // cannot fail
	_, _ = h.Write(make([]byte, max(0, ours.Chunk(chunk).Len-len(p))))
	return [sumBytes]byte(h.Sum(nil))
}

// lend lets the layer use the digests of ours, which has the same chunks, after a look
// at what was let through before. Errors: ErrDiffer, lazy.ErrCorrupt.
func (l *Layer) lend(ours *Layer) error {
	l.witness.mu.Lock()
	defer l.witness.mu.Unlock()
	for chunk, got := range l.witness.seen {
		want, err := ours.sumOf(chunk)
		if err != nil {
			return err
		}
		c := l.Chunk(chunk)
		if chunk == l.Chunks()-1 {
			got = l.padded(ours, chunk, l.witness.last)
		}
		if got != want {
			return fmt.Errorf("%w: what was read at tar offset %d has the digest %x, the layer's is %x", ErrDiffer, c.Off, got, want)
		}
	}
	l.ours.Store(ours)
	l.witness.seen, l.witness.last = nil, nil
	return nil
}

// sumOf is the digest of a chunk. Errors: lazy.ErrCorrupt.
func (l *Layer) sumOf(chunk int) (sum [sumBytes]byte, err error) {
	err = guard(func() error {
		copy(sum[:], l.section(secChunkSums)[chunk*sumBytes:])
		return nil
	})
	return sum, err
}
