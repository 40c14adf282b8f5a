package cache

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// Info says what a cache holds.
type Info struct {
	Dir        string `json:"dir"`
	MaxBytes   int64  `json:"max_bytes"`
	UsedBytes  int64  `json:"used_bytes"`
	Layers     int    `json:"layers"` // tar streams, whole or in part
	LayerBytes int64  `json:"layer_bytes"`
	Files      int    `json:"files"` // large files, whole or in part
	FileBytes  int64  `json:"file_bytes"`
	Complete   int    `json:"complete_files"`
	Docs       int    `json:"documents"`
	DocBytes   int64  `json:"document_bytes"`
	TempBytes  int64  `json:"temporary_bytes"`
}

// Info counts what is there.
func (c *Cache) Info() (Info, error) {
	in := Info{Dir: c.Dir(), MaxBytes: c.max}
	all, err := c.recount()
	if err != nil {
		return in, err
	}
	in.UsedBytes = atomic.LoadInt64(c.used())
	in.TempBytes = in.UsedBytes
	for _, f := range all {
		in.TempBytes -= f.bytes
		switch {
		case f.doc:
			in.Docs++
			in.DocBytes += f.bytes
		case f.id.key.Kind == "tar":
			in.Layers++
			in.LayerBytes += f.bytes
		default:
			in.Files++
			in.FileBytes += f.bytes
			if f.units == unitsOf(f.id.size) {
				in.Complete++
			}
		}
	}
	in.TempBytes = max(0, in.TempBytes)
	return in, nil
}

// PruneOptions say what Prune removes. The zero value removes nothing but what crashes left.
type PruneOptions struct {
	// All removes every object and document that no mount has open.
	All bool
	// Unused removes objects and documents that were not used for this long; 0 does not.
	Unused time.Duration
	// Bytes evicts until at most this many bytes are left, if it is above 0.
	Bytes int64
}

// Pruned says what Prune removed.
type Pruned struct {
	Objects int   `json:"objects"`
	Docs    int   `json:"documents"`
	Bytes   int64 `json:"bytes"`
}

// Prune removes what is not needed. Objects that a mount has open stay, unless Bytes
// asks for less than they take.
func (c *Cache) Prune(ctx context.Context, opt PruneOptions) (Pruned, error) {
	var p Pruned
	c.closeIdle()
	if err := c.sweep(sweepAll); err != nil {
		return p, err
	}
	all, err := c.recount()
	if err != nil {
		return p, err
	}
	before := atomic.LoadInt64(c.used())
	for _, f := range all {
		if err := ctx.Err(); err != nil {
			return p, err
		}
		if !opt.All && (opt.Unused <= 0 || age(f) < opt.Unused) {
			continue
		}
		remove, count := c.removeIdle, &p.Objects
		if f.doc {
			remove, count = c.removeDoc, &p.Docs
		}
		gone, err := remove(f)
		if err != nil {
			return p, err
		}
		if gone {
			*count++
		}
	}
	if opt.Bytes > 0 {
		if err := c.sweep(opt.Bytes); err != nil {
			return p, err
		}
	}
	p.Bytes = max(0, before-atomic.LoadInt64(c.used()))
	return p, nil
}

// Verified says what Verify found.
type Verified struct {
	Files   int      `json:"files"`   // complete files that were hashed
	Partial int      `json:"partial"` // objects that can be checked chunk by chunk only
	Bytes   int64    `json:"bytes"`   // hashed
	Bad     []string `json:"bad"`     // what was wrong; it is dropped
}

// Verify hashes all complete files and drops those that are damaged. The chunks of other
// objects cannot be checked without the layer's index.
func (c *Cache) Verify(ctx context.Context) (Verified, error) {
	var v Verified
	all, err := c.scan()
	if err != nil {
		return v, err
	}
	for _, f := range all {
		if f.doc {
			continue
		}
		if f.id.key.Kind != "file" || f.units != unitsOf(f.id.size) {
			v.Partial++
			continue
		}
		err := c.verifyFile(ctx, f)
		switch {
		case err == nil:
			v.Files++
			v.Bytes += f.id.size
		case errors.Is(err, ErrDamaged):
			v.Bad = append(v.Bad, err.Error())
		case errors.Is(err, ErrMissing):
			v.Partial++
		default:
			return v, fmt.Errorf("%s: %w", f.path, err)
		}
	}
	return v, nil
}

// verifyFile hashes a complete file, sealed or not.
func (c *Cache) verifyFile(ctx context.Context, f found) error {
	o, err := c.Object(f.id.key, f.id.size)
	if err != nil {
		return err
	}
	defer func() { _ = o.Close() }()
	losses := o.m.losses()
	if !o.Complete() {
		return ErrMissing
	}
	err = o.hash(ctx)
	if errors.Is(err, ErrDamaged) {
		return errors.Join(err, o.clearAll(losses))
	}
	return err
}
