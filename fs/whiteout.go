package fs

import (
	"errors"
	"fmt"

	"github.com/shalefs/shalefs/index/tarx"
	"github.com/shalefs/shalefs/layout"
)

// applyRemoval removes what a whiteout or opaque whiteout removes. All of a layer's
// removals come before its other entries, so they only meet names from below (MRG-2).
func (b *builder) applyRemoval(e *tarx.Entry) error {
	switch e.Kind {
	case tarx.Whiteout:
		return b.applyWhiteout(e)
	case tarx.Opaque:
		return b.applyOpaque(e)
	}
	return nil
}

// applyWhiteout removes one name (MRG-1). A name that is not there is no error (MRG-4).
func (b *builder) applyWhiteout(e *tarx.Entry) error {
	if e.Path == "" || impossible(e.Path) {
		return nil // the second pass refuses or warns
	}
	_, id, _, err := b.locate(e.Path, walkRemoval)
	if err != nil || id == noNode {
		return err
	}
	b.remove(id, ReasonWhiteout)
	return nil
}

// applyOpaque removes all names in a directory, not the directory (MRG-8, MRG-11).
func (b *builder) applyOpaque(e *tarx.Entry) error {
	if impossible(e.Path) {
		return nil
	}
	dir, err := b.walk(e.Path, walkRemoval)
	if err != nil || dir == noNode || b.nodes[dir].died != alive {
		return err
	}
	if dir == rootNode && b.nodes[dir].child != noNode {
		b.findings.differ(b.layer, DiffOpaqueRoot, "/")
	}
	for b.nodes[dir].child != noNode {
		b.remove(b.nodes[dir].child, ReasonOpaque)
	}
	return nil
}

// passWhiteout looks at a whiteout in the second pass, after the removals. It is done in
// the base layer too, where whiteouts remove nothing.
func (b *builder) passWhiteout(e *tarx.Entry) error {
	if e.Kind == tarx.Whiteout && e.Path == "" {
		return fmt.Errorf("whiteout without a name: %w", layout.ErrInvalid)
	}
	if impossible(e.Path) {
		b.findings.warn(b.layer, WarnWhiteoutPath, e.Path)
		return nil
	}
	b.noteLateWhiteout(e)
	return nil
}

// isReplaced tells whether this layer has an entry in the place of a symlink from
// below. Then a whiteout under that name has nothing to do with the symlink's target (MRG-29).
func (b *builder) isReplaced(symlink uint32) (bool, error) {
	if b.replaced == nil {
		if err := b.findReplaced(); err != nil {
			return false, err
		}
	}
	return b.replaced[symlink], nil
}

// findReplaced goes through the whole layer, so it is done once, and only for a layer
// that has a whiteout behind a symlink.
func (b *builder) findReplaced() error {
	b.replaced = map[uint32]bool{}
	l := b.layers[b.layer]
	var dirPath string
	dir := rootNode
	for i := range l.NumEntries() {
		var e tarx.Entry
		if err := l.Entry(i, &e); err != nil {
			return fmt.Errorf("entry %d: %w", i, err)
		}
		if e.Kind == tarx.Whiteout || e.Kind == tarx.Opaque || e.Path == "" || impossible(e.Path) {
			continue
		}
		d, base := split(e.Path)
		if d != dirPath {
			var err error
			if dir, err = b.walk(d, walkBelow); err != nil && !errors.Is(err, errLoop) {
				return fmt.Errorf("entry %d: %w", i, err)
			}
			dirPath = d
		}
		if dir == noNode {
			continue
		}
		if id := b.find(dir, base, true); id != noNode && b.kind(id) == tarx.Symlink {
			b.replaced[id] = true
		}
	}
	return nil
}
