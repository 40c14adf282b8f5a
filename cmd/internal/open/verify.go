package open

import (
	"context"
	"errors"
	"fmt"

	"github.com/shalefs/shalefs/index"
	"github.com/shalefs/shalefs/lazy"
	"github.com/shalefs/shalefs/lazy/cache"
)

// Verified says what VerifyCache found.
type Verified struct {
	Files  int      `json:"files"`  // large files that were hashed
	Chunks int      `json:"chunks"` // chunks of layers that were checked against their index
	Bytes  int64    `json:"bytes"`
	Bad    []string `json:"bad"` // what was damaged, and dropped
}

// VerifyCache checks everything in the cache that something can be checked
// against: large files by their names, the chunks of layers by the indexes that are
// in the cache too.
func VerifyCache(ctx context.Context, c *cache.Cache) (Verified, error) {
	files, err := c.Verify(ctx)
	v := Verified{Files: files.Files, Bytes: files.Bytes, Bad: files.Bad}
	if v.Bad == nil {
		v.Bad = []string{}
	}
	if err != nil {
		return v, err
	}
	names, err := c.Docs("index")
	if err != nil {
		return v, err
	}
	for _, name := range names {
		if err := v.layer(ctx, c, name); err != nil {
			return v, err
		}
	}
	return v, nil
}

// layer checks the chunks of one indexed layer.
func (v *Verified) layer(ctx context.Context, c *cache.Cache, name string) error {
	x, err := index.Open(c.DocPath("index", name))
	if err == nil {
		err = x.Verify()
	}
	if err != nil {
		v.Bad = append(v.Bad, fmt.Sprintf("index of %s: %v", name, err))
		return c.RemoveDoc("index", name)
	}
	defer func() { _ = x.Close() }() // a mapping
	buf := make([]byte, lazy.ChunkBytes)
	for i := range x.Chunks() {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := v.chunk(ctx, c, x, i, buf); err != nil {
			return err
		}
	}
	return nil
}

func (v *Verified) chunk(ctx context.Context, c *cache.Cache, x *index.Layer, i int, buf []byte) error {
	key, size, off, ok := x.Object(i)
	if !ok || key.Kind != "tar" || c.Present(key, size) == 0 {
		return nil
	}
	o, err := c.Object(key, size)
	if err != nil {
		return err
	}
	defer func() { _ = o.Close() }() // only read from
	b := buf[:x.Chunk(i).Len]
	if !o.Has(off) || o.ReadAt(b, off) != nil {
		return nil
	}
	v.Chunks++
	v.Bytes += int64(len(b))
	err = x.Check(ctx, i, b)
	if errors.Is(err, lazy.ErrCorrupt) {
		v.Bad = append(v.Bad, fmt.Sprintf("layer %s: %v", x.Blob(), err))
		return o.Drop(off)
	}
	return err
}
