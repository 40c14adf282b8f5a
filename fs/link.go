package fs

import (
	"fmt"

	"github.com/shalefs/shalefs/index/tarx"
	"github.com/shalefs/shalefs/layout"
)

// A pendingLink is a hard link whose target was not there when its entry came.
type pendingLink struct {
	node   uint32
	entry  int
	target string
	to     uint32 // the target once it is found; may be a pending link
}

// applyLink makes a hard link. Its target is what the path is at this moment, else
// what it was below this layer, else what a later entry of the layer makes it
// (MRG-20). The link points at the inode, not at the name (MRG-21).
func (b *builder) applyLink(e *tarx.Entry) error {
	dir, base, err := b.parent(e.Path)
	if err != nil {
		return err
	}
	target, err := b.linkTarget(dir, base, e.Link)
	if err != nil {
		return err
	}
	if old := b.find(dir, base, false); old != noNode {
		b.remove(old, ReasonReplaced)
	}
	id, err := b.add(dir, base, tarx.Hardlink)
	if err != nil {
		return err
	}
	b.nodes[id].entry = uint32(b.entry)
	if target == noNode {
		b.pending = append(b.pending, pendingLink{node: id, entry: b.entry, target: e.Link})
		return nil
	}
	b.point(id, target)
	if b.inode(target) != noNode && b.nodes[b.inode(target)].born < b.layer {
		b.findings.differ(b.layer, DiffLinkBelow, e.Path)
	}
	return nil
}

// linkTarget looks for the target of a link that is to become the name base in dir;
// noNode if it is not there yet.
func (b *builder) linkTarget(dir uint32, base, target string) (uint32, error) {
	for _, mode := range [...]walkMode{walkNow, walkBelow} {
		d, id, name, err := b.locate(target, mode)
		if err != nil {
			return noNode, err
		}
		if d == dir && name == base {
			return noNode, fmt.Errorf("hard link to itself: %w", layout.ErrInvalid)
		}
		if id == noNode {
			continue
		}
		if b.kind(id) == tarx.Directory {
			return noNode, fmt.Errorf("hard link to the directory %q: %w", target, layout.ErrInvalid)
		}
		return id, nil
	}
	return noNode, nil
}

// point makes a link stand for the inode of its target, or for the pending link in its place.
func (b *builder) point(id, target uint32) {
	for b.nodes[target].kind == tarx.Hardlink && b.nodes[target].child != noNode {
		target = b.nodes[target].child
	}
	b.nodes[id].child = target
	if b.nodes[target].kind == tarx.Hardlink {
		b.chained = append(b.chained, id)
		return
	}
	b.nodes[id].flags |= flagLinked
	b.nodes[target].links++
}

// resolveLinks finds the targets of the links that were made before them.
func (b *builder) resolveLinks() error {
	for i := range b.pending {
		if err := b.resolve(&b.pending[i]); err != nil {
			return err
		}
	}
	for _, p := range b.pending {
		b.nodes[p.node].child = p.to
	}
	for _, p := range b.pending {
		if err := b.flatten(p.node, p.entry); err != nil {
			return err
		}
	}
	for _, id := range b.chained {
		if err := b.flatten(id, int(b.nodes[id].entry)); err != nil {
			return err
		}
	}
	b.pending, b.chained = b.pending[:0], b.chained[:0]
	return nil
}

// resolve finds the target of one pending link, which may be a pending link too.
func (b *builder) resolve(p *pendingLink) error {
	_, id, _, err := b.locate(p.target, walkNow)
	switch {
	case err != nil:
	case id == noNode || id == p.node:
		err = fmt.Errorf("hard link to %q, which does not exist: %w", p.target, layout.ErrInvalid)
	case b.nodes[id].kind == tarx.Directory:
		err = fmt.Errorf("hard link to the directory %q: %w", p.target, layout.ErrInvalid)
	default:
		p.to = id
		return nil
	}
	return fmt.Errorf("layer %d: entry %d: %w", b.layer, p.entry, err)
}

// flatten makes all links of a chain point at the inode at its end. Every link is
// passed a constant number of times, however long the chains are.
func (b *builder) flatten(id uint32, entry int) error {
	end, steps := id, 0
	for b.nodes[end].kind == tarx.Hardlink {
		end = b.nodes[end].child
		if steps++; steps > len(b.pending)+len(b.chained)+1 {
			return fmt.Errorf("layer %d: entry %d: hard link to itself through others: %w", b.layer, entry, layout.ErrInvalid)
		}
	}
	for b.nodes[id].kind == tarx.Hardlink && b.nodes[id].flags&flagLinked == 0 {
		next := b.nodes[id].child
		b.nodes[id].child = end
		b.nodes[id].flags |= flagLinked
		if b.nodes[id].died == alive {
			b.nodes[end].links++
		}
		id = next
	}
	return nil
}
