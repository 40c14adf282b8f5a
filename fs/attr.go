package fs

import (
	"github.com/shalefs/shalefs/index/tarx"
)

// DirSize is the size that every directory shows, in bytes (ENT-35).
const DirSize = 4096

// An Attr is what stat tells of an inode.
type Attr struct {
	Ino  Ino
	Kind tarx.Kind // never Hardlink, Whiteout or Opaque
	// Perm holds the permission, set-user-id, set-group-id and sticky bits: 07777.
	Perm      uint16
	Nlink     uint32 // visible names; of a directory 2 and its subdirectories (ENT-37)
	UID, GID  uint32
	Size      int64 // bytes
	Blocks    int64 // 512 bytes each; of a sparse file those that are stored
	MTime     int64 // seconds since 1970; access and change times are the same (ENT-27)
	MTimeNano uint32
	// Major and Minor are the device numbers of Char and Block.
	Major, Minor uint32
	// Layer is the layer that gave the attributes, or, of an implied directory, made it.
	Layer int
	// Entry is the entry of the layer that gave the attributes, -1 for an implied directory.
	Entry int
}

// Kind is the kind of an inode: never Hardlink, Whiteout or Opaque.
func (t *Tree) Kind(ino Ino) tarx.Kind { return t.rec(ino).kind() }

// Size is the size of a regular file in bytes, holes included; 0 for anything else.
func (t *Tree) Size(ino Ino) int64 {
	if r := t.rec(ino); r.kind() == tarx.Regular {
		return r.size
	}
	return 0
}

// Attr returns the attributes of an inode.
func (t *Tree) Attr(ino Ino) Attr {
	r := t.rec(ino)
	a := Attr{
		Ino: ino, Kind: r.kind(), Perm: r.mode & permMask, Nlink: r.nlink, UID: r.uid, GID: r.gid,
		MTime: r.mtime, MTimeNano: r.mtimeNano, Layer: int(r.layer), Entry: -1,
	}
	if r.entry != noEntry {
		a.Entry = int(r.entry)
	}
	switch a.Kind {
	case tarx.Directory:
		a.Size = DirSize
	case tarx.Char, tarx.Block:
		a.Major, a.Minor = uint32(r.size>>32), uint32(r.size)
		return a
	default:
		a.Size = r.size
	}
	stored := a.Size
	if a.Kind == tarx.Regular && r.mode&moreBit != 0 {
		stored = t.stored(r)
	}
	a.Blocks = stored/512 + min(stored%512, 1)
	return a
}

// stored returns the stored bytes of a file that may be sparse. An entry that cannot be
// read was read when the layers were merged; then the logical size is as good as any.
func (t *Tree) stored(r *record) int64 {
	var e tarx.Entry
	if err := t.entry(int(r.layer), int(r.entry), &e); err != nil || e.Sparse == nil {
		return r.size
	}
	return e.Stored
}

// Readlink returns the target of a symlink, as it is in the layer (ENT-34).
func (t *Tree) Readlink(ino Ino) (string, error) {
	r := t.rec(ino)
	if r.kind() != tarx.Symlink {
		return "", ErrNotSymlink
	}
	var e tarx.Entry
	if err := t.entry(int(r.layer), int(r.entry), &e); err != nil {
		return "", err
	}
	return e.Link, nil
}

// HasXattrs tells whether any inode may have xattrs.
func (t *Tree) HasXattrs() bool { return t.xattrs > 0 }

// Xattrs returns the xattrs of an inode, sorted by name. They must not be changed.
func (t *Tree) Xattrs(ino Ino) ([]tarx.Xattr, error) {
	r := t.rec(ino)
	if r.mode&moreBit == 0 {
		return nil, nil
	}
	var e tarx.Entry
	if err := t.entry(int(r.layer), int(r.entry), &e); err != nil {
		return nil, err
	}
	return e.Xattrs, nil
}

// Entry fills e with the entry that gave the inode its attributes, and tells whether there is one:
// an implied directory has none.
func (t *Tree) Entry(ino Ino, e *tarx.Entry) (layer int, ok bool, err error) {
	r := t.rec(ino)
	if r.entry == noEntry {
		return int(r.layer), false, nil
	}
	return int(r.layer), true, t.entry(int(r.layer), int(r.entry), e)
}
