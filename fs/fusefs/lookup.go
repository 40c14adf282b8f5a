package fusefs

import (
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/shalefs/shalefs/fs"
	"github.com/shalefs/shalefs/index/tarx"
)

// Lookup finds a name. That a name is not there is an answer too, which the kernel
// keeps as long as others.
func (r *rawFS) Lookup(_ <-chan struct{}, h *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	start := r.begin()
	dir, ok := r.ino(h.NodeId)
	if !ok {
		return r.end("LOOKUP", start, 0, fuse.Status(syscall.ESTALE))
	}
	out.EntryValid, out.EntryValidNsec = r.entryValid, uint32(r.entryNsec)
	if ino, ok := r.tree.Lookup(dir, name); ok {
		r.entry(ino, out)
	}
	return r.end("LOOKUP", start, 0, fuse.OK)
}

// entry fills in what LOOKUP and READDIRPLUS say of an inode.
func (r *rawFS) entry(ino fs.Ino, out *fuse.EntryOut) {
	out.NodeId = uint64(ino)
	out.EntryValid, out.EntryValidNsec = r.entryValid, uint32(r.entryNsec)
	out.AttrValid, out.AttrValidNsec = r.entryValid, uint32(r.entryNsec)
	r.attr(ino, &out.Attr)
}

// GetAttr is stat.
func (r *rawFS) GetAttr(_ <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	start := r.begin()
	ino, ok := r.ino(in.NodeId)
	if !ok {
		return r.end("GETATTR", start, 0, fuse.Status(syscall.ESTALE))
	}
	out.AttrValid, out.AttrValidNsec = r.entryValid, uint32(r.entryNsec)
	r.attr(ino, &out.Attr)
	return r.end("GETATTR", start, 0, fuse.OK)
}

// attr fills in the attributes of an inode.
func (r *rawFS) attr(ino fs.Ino, out *fuse.Attr) {
	a := r.tree.Attr(ino)
	*out = fuse.Attr{
		Ino: uint64(ino), Size: uint64(a.Size), Blocks: uint64(a.Blocks), Blksize: 4096,
		Mode: typeBits[a.Kind] | uint32(a.Perm), Nlink: a.Nlink,
		Owner: fuse.Owner{Uid: a.UID, Gid: a.GID},
		Mtime: uint64(a.MTime), Atime: uint64(a.MTime), Ctime: uint64(a.MTime),
		Mtimensec: a.MTimeNano, Atimensec: a.MTimeNano, Ctimensec: a.MTimeNano,
	}
	if a.Kind == tarx.Char || a.Kind == tarx.Block {
		out.Rdev = rdev(a.Major, a.Minor)
	}
	if r.opt.UID != nil {
		out.Uid = *r.opt.UID
	}
	if r.opt.GID != nil {
		out.Gid = *r.opt.GID
	}
}

// typeBits are the file type bits of a mode.
var typeBits = [...]uint32{
	tarx.Regular:   syscall.S_IFREG,
	tarx.Directory: syscall.S_IFDIR,
	tarx.Symlink:   syscall.S_IFLNK,
	tarx.Char:      syscall.S_IFCHR,
	tarx.Block:     syscall.S_IFBLK,
	tarx.Fifo:      syscall.S_IFIFO,
}

// rdev packs device numbers of 12 and 20 bits as the protocol does.
func rdev(major, minor uint32) uint32 {
	return minor&0xff | (major&0xfff)<<8 | (minor&^0xff)<<12
}

// Readlink returns a symlink's target; the kernel follows it, never we (MRG-32).
func (r *rawFS) Readlink(_ <-chan struct{}, h *fuse.InHeader) ([]byte, fuse.Status) {
	start := r.begin()
	ino, ok := r.ino(h.NodeId)
	if !ok {
		return nil, r.end("READLINK", start, 0, fuse.Status(syscall.ESTALE))
	}
	target, err := r.tree.Readlink(ino)
	if err != nil {
		return nil, r.end("READLINK", start, 0, r.fail("READLINK", ino, 0, err))
	}
	return []byte(target), r.end("READLINK", start, 0, fuse.OK)
}

// StatFs tells the size of the tree; nothing is free.
func (r *rawFS) StatFs(_ <-chan struct{}, _ *fuse.InHeader, out *fuse.StatfsOut) fuse.Status {
	start := r.begin()
	const block = 4096
	out.Bsize, out.Frsize, out.NameLen = block, block, 255
	out.Blocks = uint64((r.tree.Bytes() + block - 1) / block)
	out.Files = uint64(r.tree.NumInodes())
	return r.end("STATFS", start, 0, fuse.OK)
}
