package fusefs

import (
	"math"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/shalefs/shalefs/fs"
)

// The places of a listing are 0 for ".", 1 for "..", and 2 + i for child i. An
// entry's offset is the place after it.
const dots = 2

// OpenDir lets the kernel do without the call (CAP_NO_OPENDIR_SUPPORT), and then it
// caches listings. A kernel without that gets the same by flags.
func (r *rawFS) OpenDir(_ <-chan struct{}, _ *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	start := r.begin()
	if r.handles.noOpendir {
		return r.end("OPENDIR", start, 0, fuse.ENOSYS)
	}
	out.OpenFlags = fuse.FOPEN_CACHE_DIR | fuse.FOPEN_KEEP_CACHE
	return r.end("OPENDIR", start, 0, fuse.OK)
}

// ReadDir lists names.
func (r *rawFS) ReadDir(_ <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	start := r.begin()
	return r.end("READDIR", start, 0, r.list(in, func(e fuse.DirEntry, _ bool) bool {
		return out.AddDirEntry(e)
	}))
}

// ReadDirPlus lists names with attributes, and so saves a LOOKUP of each.
func (r *rawFS) ReadDirPlus(_ <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	start := r.begin()
	some := false
	st := r.list(in, func(e fuse.DirEntry, dot bool) bool {
		some = true
		entry := out.AddDirLookupEntry(e)
		if entry == nil {
			return false
		}
		if !dot {
			r.entry(fs.Ino(e.Ino), entry)
		}
		return true
	})
	if !some && st == fuse.OK { // the kernel has heard of all that are in it
		r.ahead.listed(fs.Ino(in.NodeId))
	}
	return r.end("READDIRPLUS", start, 0, st)
}

// list calls add for the entries from the place in.Offset on, until it returns false.
func (r *rawFS) list(in *fuse.ReadIn, add func(e fuse.DirEntry, dot bool) bool) fuse.Status {
	dir, ok := r.ino(in.NodeId)
	if !ok {
		return fuse.Status(syscall.ESTALE)
	}
	if in.Offset > math.MaxInt32*4 {
		return fuse.OK // past every end
	}
	at := int(in.Offset)
	for ; at < dots; at++ {
		ino, name := dir, "."
		if at == 1 {
			ino, name = r.tree.Parent(dir), ".."
		}
		e := fuse.DirEntry{Mode: syscall.S_IFDIR, Name: name, Ino: uint64(ino), Off: uint64(at + 1)}
		if !add(e, true) {
			return fuse.OK
		}
	}
	r.tree.ReadDir(dir, at-dots, func(i int, name string, ino fs.Ino) bool {
		return add(fuse.DirEntry{
			Mode: typeBits[r.tree.Kind(ino)], Name: name, Ino: uint64(ino), Off: uint64(i + dots + 1),
		}, false)
	})
	return fuse.OK
}
