package fs

import (
	"github.com/shalefs/shalefs/index/tarx"
)

// A node is a name in the tree while layers are merged, and also the inode that
// was made with the name. A hard link's node has kind tarx.Hardlink and its child
// field says which node is the inode. A node whose name went away stays as an inode for
// the links to it. Nodes hold no pointers: the garbage collector never looks at them.
type node struct {
	size      int64 // regular: logical size; symlink: target's length; device: major<<32 | minor
	mtime     int64
	parent    uint32 // the directory's node; the root is its own
	name      uint32 // where the name starts in the heap of names
	child     uint32 // directory: first child; hard link: inode, 0 while not known
	next      uint32 // siblings, 0 at the end
	prev      uint32
	entry     uint32 // entry that gave the attributes, noEntry if implied
	mtimeNano uint32
	uid, gid  uint32
	links     uint32 // names that are alive, not counted for directories
	mode      uint16
	layer     uint16 // layer that gave the attributes
	born      uint16 // layer that made the name
	died      uint16 // layer that removed the name, alive if none did
	touched   uint16 // last layer that walked through it without naming it
	kind      tarx.Kind
	flags     uint8
	why       Reason // of died
}

// Node numbers. The zero node is nobody's.
const (
	noNode   uint32 = 0
	rootNode uint32 = 1
)

const (
	alive   uint16 = 1<<16 - 1
	noLayer uint16 = 1<<16 - 1
	noEntry uint32 = 1<<32 - 1
)

// Flags of nodes.
const (
	flagXattrs uint8 = 1 << iota // the entry has xattrs
	flagSparse                   // stored and logical size differ
	flagLinked                   // of a hard link: it is counted at its inode
)

// set takes over an entry's attributes.
func (n *node) set(layer, entry int, e *tarx.Entry) {
	n.layer, n.entry = uint16(layer), uint32(entry)
	n.mode = e.Mode & 0o7777
	n.uid, n.gid = e.UID, e.GID
	n.mtime, n.mtimeNano = e.MTime, e.MTimeNano
	n.size, n.flags = 0, 0
	switch n.kind {
	case tarx.Regular:
		n.size = e.Size
		if e.Sparse != nil {
			n.flags |= flagSparse
		}
	case tarx.Symlink:
		n.size, n.mode = int64(len(e.Link)), 0o777
	case tarx.Char, tarx.Block:
		n.size = int64(e.Major)<<32 | int64(e.Minor)
	}
	if len(e.Xattrs) > 0 {
		n.flags |= flagXattrs
	}
}
