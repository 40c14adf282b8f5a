package fs

import (
	"cmp"
	"slices"

	"github.com/shalefs/shalefs/index/tarx"
)

// A Finding is something that a person who looks at the image may want to know: a
// warning, or a case that other programs show in another way. Equal findings of one
// layer are counted together, so hostile layers cannot flood anything (ERR-10).
type Finding struct {
	Kind  FindingKind
	Layer int
	Count int
	Paths []string // the first maxFindingPaths of them
}

// maxFindingPaths is how many paths a Finding names.
const maxFindingPaths = 20

// A FindingKind names a kind of finding; String explains it.
type FindingKind uint8

// The warnings, and the differences of the checklist's appendix A: where users of
// runtimes that stack layers with overlayfs see something else.
const (
	// WarnWhiteoutPath: skipped, a part of the path starts with ".wh." (MRG-15).
	WarnWhiteoutPath FindingKind = iota
	// WarnRootNotDirectory: skipped, an entry for the root that is no directory (ENT-19).
	WarnRootNotDirectory

	// DiffWhiteoutAndDirectory: a directory that a layer both removes and makes.
	DiffWhiteoutAndDirectory
	// DiffOpaqueRoot: an opaque whiteout at the root.
	DiffOpaqueRoot
	// DiffThroughSymlink: entries below a name that is a symlink in a lower layer.
	DiffThroughSymlink
	// DiffLinkBelow: a hard link to a file of a lower layer.
	DiffLinkBelow
	// DiffWhiteoutAfter: an entry and, later in the same layer, a whiteout of its name.
	DiffWhiteoutAfter
	// DiffDevice00: a character device 0:0.
	DiffDevice00
	// DiffOverlayXattr: an xattr that steers overlayfs. The tree does not see these, as
	// package tarx drops them; the layer index counts them.
	DiffOverlayXattr
	// DiffImpliedParent: a layer has entries in a lower directory without an entry for it.
	DiffImpliedParent
	// DiffRootEntry: an entry for the root with attributes of its own.
	DiffRootEntry
	// DiffStaleLinks: an inode that lost a name to a higher layer and has others left.
	DiffStaleLinks
)

var findingTexts = [...]string{
	WarnWhiteoutPath:         "skipped: a name inside the path starts with .wh.",
	WarnRootNotDirectory:     "skipped: an entry for the root that is not a directory",
	DiffWhiteoutAndDirectory: "directory removed and made anew in one layer: only the new children are there; with overlayfs the lower ones come back",
	DiffOpaqueRoot:           "opaque whiteout at the root: the lower layers are hidden; with overlayfs it has no effect",
	DiffThroughSymlink:       "entries go through a symlink of a lower layer; with overlayfs a directory takes the symlink's place",
	DiffLinkBelow:            "hard link to a file of a lower layer; with overlayfs unpacking fails",
	DiffWhiteoutAfter:        "entry followed by its own whiteout in one layer: it is there; others fail or remove it",
	DiffDevice00:             "character device 0:0: shown as a device; with overlayfs it hides the name",
	DiffOverlayXattr:         "xattr that steers overlayfs: no effect; some programs hide lower files by it",
	DiffImpliedParent:        "parent directory without an entry keeps its lower attributes; some programs reset them to 0755 0:0",
	DiffRootEntry:            "mode and owner of the root are applied; containerd and docker ignore them",
	DiffStaleLinks:           "file that lost one of its hard links: the link count is right; with overlayfs it is stale",
}

// String explains the kind in one sentence.
func (k FindingKind) String() string { return findingTexts[k] }

// Name is a short word for the kind, for programs.
func (k FindingKind) Name() string { return findingNames[k] }

var findingNames = [...]string{
	WarnWhiteoutPath:         "whiteout-path",
	WarnRootNotDirectory:     "root-not-directory",
	DiffWhiteoutAndDirectory: "whiteout-and-directory",
	DiffOpaqueRoot:           "opaque-root",
	DiffThroughSymlink:       "through-symlink",
	DiffLinkBelow:            "link-below",
	DiffWhiteoutAfter:        "whiteout-after",
	DiffDevice00:             "device-0-0",
	DiffOverlayXattr:         "overlay-xattr",
	DiffImpliedParent:        "implied-parent",
	DiffRootEntry:            "root-entry",
	DiffStaleLinks:           "stale-links",
}

// findings collects what was found.
type findings struct {
	warnings, differences map[findingKey]*Finding
}

type findingKey struct {
	layer uint16
	kind  FindingKind
}

func (f *findings) warn(layer uint16, kind FindingKind, path string) {
	count(&f.warnings, findingKey{layer, kind}, path)
}

func (f *findings) differ(layer uint16, kind FindingKind, path string) {
	count(&f.differences, findingKey{layer, kind}, path)
}

func count(m *map[findingKey]*Finding, key findingKey, path string) {
	if *m == nil {
		*m = map[findingKey]*Finding{}
	}
	f := (*m)[key]
	if f == nil {
		f = &Finding{Kind: key.kind, Layer: int(key.layer)}
		(*m)[key] = f
	}
	if f.Count++; len(f.Paths) < maxFindingPaths {
		f.Paths = append(f.Paths, path)
	}
}

// sorted lists findings by layer and kind.
func sorted(m map[findingKey]*Finding) []Finding {
	list := make([]Finding, 0, len(m))
	for _, f := range m {
		list = append(list, *f)
	}
	slices.SortFunc(list, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Layer, b.Layer), cmp.Compare(a.Kind, b.Kind))
	})
	return list
}

// A staleLink is an inode that lost a name which a lower layer gave it.
type staleLink struct {
	name, inode uint32
	layer       uint16
}

// noteEntry looks at an entry that was put into the tree.
func (b *builder) noteEntry(id uint32, e *tarx.Entry) {
	switch {
	case e.Kind == tarx.Directory:
		b.noteDirAgain(id)
	case e.Kind == tarx.Char && e.Major == 0 && e.Minor == 0:
		b.findings.differ(b.layer, DiffDevice00, e.Path)
	}
}

// noteDirAgain looks whether a new directory is in the place of one that this layer's whiteout removed.
func (b *builder) noteDirAgain(id uint32) {
	if b.layer == 0 {
		return
	}
	n := &b.nodes[id]
	old := b.find(n.parent, b.name(n.name), true)
	if old == noNode {
		return
	}
	if o := &b.nodes[old]; o.kind == tarx.Directory && o.child != noNode && o.died == b.layer && o.why == ReasonWhiteout {
		b.findings.differ(b.layer, DiffWhiteoutAndDirectory, b.path(id))
	}
}

// noteLateWhiteout looks whether a whiteout comes after an entry of its name.
func (b *builder) noteLateWhiteout(e *tarx.Entry) {
	if e.Kind != tarx.Whiteout {
		return
	}
	_, id, _, err := b.locate(e.Path, walkNow)
	if err != nil || id == noNode {
		return
	}
	if n := &b.nodes[id]; n.born == b.layer && n.entry != noEntry {
		b.findings.differ(b.layer, DiffWhiteoutAfter, e.Path)
	}
}

// noteThroughSymlink counts a symlink from below that an entry of this layer goes through, once.
func (b *builder) noteThroughSymlink(id uint32) {
	n := &b.nodes[id]
	if n.born < b.layer && n.touched != b.layer {
		n.touched = b.layer
		b.findings.differ(b.layer, DiffThroughSymlink, b.path(id))
	}
}

// touch remembers a directory from below that this layer walks through.
func (b *builder) touch(id uint32) {
	n := &b.nodes[id]
	if n.layer < b.layer && n.touched != b.layer {
		n.touched = b.layer
		b.touched = append(b.touched, id)
	}
}

// noteImplied counts the directories that this layer walked through and never named.
func (b *builder) noteImplied() {
	for _, id := range b.touched {
		n := &b.nodes[id]
		plain := n.mode == 0o755 && n.uid == 0 && n.gid == 0 && n.flags&flagXattrs == 0
		if n.died == alive && n.layer < b.layer && !plain {
			b.findings.differ(b.layer, DiffImpliedParent, b.path(id))
		}
	}
	b.touched = b.touched[:0]
}

// noteStale remembers an inode that lost a name and still has others.
func (b *builder) noteStale(id, inode uint32) {
	if b.nodes[inode].links > 0 && b.nodes[id].born < b.layer {
		b.stale = append(b.stale, staleLink{id, inode, b.layer})
	}
}

// noteStaleLinks counts those that still have others at the end.
func (b *builder) noteStaleLinks() {
	for _, s := range b.stale {
		if b.nodes[s.inode].links > 0 {
			b.findings.differ(s.layer, DiffStaleLinks, b.path(s.name))
		}
	}
}

// path returns a node's path from the root.
func (b *builder) path(id uint32) string {
	var parts []string
	for ; id != rootNode; id = b.nodes[id].parent {
		parts = append(parts, b.name(b.nodes[id].name))
	}
	return joinReverse(parts)
}

// joinReverse joins the parts of a path that were collected from its end.
func joinReverse(parts []string) string {
	if len(parts) == 0 {
		return "/"
	}
	n := len(parts) - 1
	for _, p := range parts {
		n += len(p)
	}
	path := make([]byte, 0, n)
	for i := len(parts) - 1; i >= 0; i-- {
		path = append(path, parts[i]...)
		if i > 0 {
			path = append(path, '/')
		}
	}
	return string(path)
}
