package lazy

import (
	"context"
	"errors"

	"github.com/shalefs/shalefs/lazy/cache"
)

// VerifyCache checks all chunks of a layer that are in the cache against the layer's
// index and drops those that are wrong. It returns how many it checked and dropped.
// Errors: ctx.Err(), those of Source.Prepare.
func VerifyCache(ctx context.Context, c *cache.Cache, src Source) (checked, dropped int, err error) {
	b := make([]byte, ChunkBytes)
	for i := range src.Chunks() {
		if err := ctx.Err(); err != nil {
			return checked, dropped, err
		}
		key, size, off, ok := src.Object(i)
		if !ok || c.Present(key, size) == 0 {
			continue
		}
		bad, found, err := verifyChunk(ctx, c, src, i, key, size, off, b[:src.Chunk(i).Len])
		if err != nil {
			return checked, dropped, err
		}
		if found {
			checked++
		}
		if bad {
			dropped++
		}
	}
	return checked, dropped, nil
}

func verifyChunk(ctx context.Context, c *cache.Cache, src Source, i int, key cache.Key, size, off int64, b []byte) (bad, found bool, err error) {
	o, err := c.Object(key, size)
	if err != nil {
		return false, false, err
	}
	defer func() { _ = o.Close() }()
	if err := o.ReadAt(b, off); errors.Is(err, cache.ErrMissing) {
		return false, false, nil
	} else if err == nil {
		s := src.SpanOf(i)
		if err := src.Prepare(ctx, s, s+1); err != nil {
			return false, false, err
		}
		err := src.Check(ctx, i, b)
		if err == nil || !errors.Is(err, ErrCorrupt) {
			return false, true, err
		}
	}
	return true, true, o.Drop(off)
}
