package fs

import (
	"context"
	"fmt"
	"strings"

	"github.com/shalefs/shalefs/index/tarx"
	"github.com/shalefs/shalefs/layout"
)

// Merge applies the layers, base first, and returns the tree. The layers must stay
// open as long as the tree is used. The same layers give the same tree and the same
// inode numbers.
//
// Errors: ErrInvalid for a layer that cannot be applied (MRG-7, MRG-20, MRG-23,
// MRG-26), ErrTooLarge over the limits of opt, an error of a layer's Entry, ctx.Err(). They name
// layer, entry and path.
func Merge(ctx context.Context, layers []Layer, opt Options) (*Tree, error) {
	if len(layers) > maxLayers {
		return nil, fmt.Errorf("%d layers, at most %d are possible: %w", len(layers), maxLayers, layout.ErrTooLarge)
	}
	total, limit := 0, opt.maxEntries()
	for _, l := range layers {
		if total += l.NumEntries(); total > limit {
			return nil, fmt.Errorf("more than %d entries (option MaxEntries): %w", limit, layout.ErrTooLarge)
		}
	}
	b := newBuilder(layers, total, limit)
	for i := range layers {
		if err := b.apply(ctx, i); err != nil {
			return nil, err
		}
		release(layers[i]) // of what was read, the tree has a copy
	}
	t, err := b.finish(ctx)
	if err != nil {
		return nil, err
	}
	t.Release() // higher layers looked into entries of lower ones
	return t, nil
}

// apply puts one layer on the tree.
func (b *builder) apply(ctx context.Context, layer int) error {
	b.layer = uint16(layer)
	b.dirPath, b.dir = "", noNode
	b.replaced = nil
	if layer > 0 { // in the base layer there is nothing to remove (MRG-30)
		if err := b.each(ctx, b.applyRemoval); err != nil {
			return err
		}
	}
	if err := b.each(ctx, b.applyEntry); err != nil {
		return err
	}
	if err := b.resolveLinks(); err != nil {
		return err
	}
	b.noteImplied()
	return nil
}

// each calls f for every entry of the layer that is being applied.
func (b *builder) each(ctx context.Context, f func(e *tarx.Entry) error) error {
	l := b.layers[b.layer]
	var e tarx.Entry
	for i := range l.NumEntries() {
		if i%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		e = tarx.Entry{}
		if err := l.Entry(i, &e); err != nil {
			return fmt.Errorf("layer %d: entry %d: %w", b.layer, i, err)
		}
		b.entry = i
		if err := f(&e); err != nil {
			return fmt.Errorf("layer %d: entry %d: %q: %w", b.layer, i, e.Path, err)
		}
	}
	return nil
}

// applyEntry puts one entry that is not a whiteout into the tree.
func (b *builder) applyEntry(e *tarx.Entry) error {
	if e.Kind == tarx.Whiteout || e.Kind == tarx.Opaque {
		return b.passWhiteout(e)
	}
	if e.Path == "" {
		b.applyRoot(e)
		return nil
	}
	if impossible(e.Path) {
		b.findings.warn(b.layer, WarnWhiteoutPath, e.Path)
		return nil
	}
	if e.Kind == tarx.Hardlink {
		return b.applyLink(e)
	}
	if e.Kind == tarx.Symlink && (e.Link == "" || len(e.Link) > maxTarget) {
		return fmt.Errorf("symlink target of %d bytes, 1 to %d are allowed: %w", len(e.Link), maxTarget, layout.ErrInvalid)
	}
	dir, base, err := b.parent(e.Path)
	if err != nil {
		return err
	}
	old := b.find(dir, base, false)
	if old != noNode && e.Kind == tarx.Directory && b.nodes[old].kind == tarx.Directory {
		b.hide(old, ReasonReplaced)
		b.nodes[old].set(int(b.layer), b.entry, e) // MRG-16: xattrs too
		return nil
	}
	if old != noNode {
		b.remove(old, ReasonReplaced) // MRG-17
	}
	id, err := b.add(dir, base, e.Kind)
	if err != nil {
		return err
	}
	b.nodes[id].set(int(b.layer), b.entry, e)
	b.noteEntry(id, e)
	return nil
}

// applyRoot takes over the root's attributes (ENT-18, ENT-19).
func (b *builder) applyRoot(e *tarx.Entry) {
	if e.Kind != tarx.Directory {
		b.findings.warn(b.layer, WarnRootNotDirectory, "/")
		return
	}
	b.hide(rootNode, ReasonReplaced)
	b.nodes[rootNode].set(int(b.layer), b.entry, e)
	if e.Mode&0o7777 != 0o755 || e.UID != 0 || e.GID != 0 {
		b.findings.differ(b.layer, DiffRootEntry, "/")
	}
}

// Prefixes of names that have a meaning.
const (
	whiteoutPrefix = ".wh."
	aufsPrefix     = ".wh..wh."
)

// impossible tells whether a part of the path starts with ".wh.", which no file's
// name can (MRG-15). Names of aufs, and what is under them, are no such parts: they are
// kept, hidden, for hard links to point at (MRG-14).
func impossible(path string) bool {
	if !strings.Contains(path, whiteoutPrefix) {
		return false
	}
	for part := range strings.SplitSeq(path, "/") {
		if strings.HasPrefix(part, aufsPrefix) {
			return false
		}
		if strings.HasPrefix(part, whiteoutPrefix) {
			return true
		}
	}
	return false
}
