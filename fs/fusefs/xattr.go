package fusefs

import (
	"strings"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// GetXAttr returns one extended attribute. An image without any says so once, and
// then the kernel does not ask again.
func (r *rawFS) GetXAttr(_ <-chan struct{}, h *fuse.InHeader, name string, dest []byte) (uint32, fuse.Status) {
	start := r.begin()
	n, st := r.getxattr(h, name, dest)
	return n, r.end("GETXATTR", start, 0, st)
}

func (r *rawFS) getxattr(h *fuse.InHeader, name string, dest []byte) (uint32, fuse.Status) {
	if !r.tree.HasXattrs() {
		return 0, fuse.ENOSYS
	}
	ino, ok := r.ino(h.NodeId)
	if !ok {
		return 0, fuse.Status(syscall.ESTALE)
	}
	list, err := r.tree.Xattrs(ino)
	if err != nil {
		return 0, r.fail("GETXATTR", ino, 0, err)
	}
	for _, x := range list {
		if x.Name == name && shown(name) {
			return copyOut(dest, x.Value)
		}
	}
	return 0, fuse.ENODATA
}

// ListXAttr lists the names, each with a zero byte at its end.
func (r *rawFS) ListXAttr(_ <-chan struct{}, h *fuse.InHeader, dest []byte) (uint32, fuse.Status) {
	start := r.begin()
	n, st := r.listxattr(h, dest)
	return n, r.end("LISTXATTR", start, 0, st)
}

func (r *rawFS) listxattr(h *fuse.InHeader, dest []byte) (uint32, fuse.Status) {
	if !r.tree.HasXattrs() {
		return 0, fuse.OK // ENOSYS would become EOPNOTSUPP, at which some programs give up
	}
	ino, ok := r.ino(h.NodeId)
	if !ok {
		return 0, fuse.Status(syscall.ESTALE)
	}
	list, err := r.tree.Xattrs(ino)
	if err != nil {
		return 0, r.fail("LISTXATTR", ino, 0, err)
	}
	var names []byte
	for _, x := range list {
		if !shown(x.Name) {
			continue
		}
		names = append(append(names, x.Name...), 0)
	}
	return copyOut(dest, names)
}

// shown tells whether the attribute is for the mount's users. ACLs are not, as long as the
// kernel does not enforce them (ENT-30).
func shown(name string) bool { return !strings.HasPrefix(name, "system.") }

// copyOut copies a value, or says how long it is.
func copyOut(dest, value []byte) (uint32, fuse.Status) {
	if len(value) > len(dest) {
		return uint32(len(value)), fuse.ERANGE
	}
	return uint32(copy(dest, value)), fuse.OK
}
