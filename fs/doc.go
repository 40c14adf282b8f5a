// Package fs merges the layers of an image into one tree of inodes.
//
// # The result
//
// The tree is what one would get by applying the layers to an empty directory,
// base first, as the image specification says: a later layer's file replaces an
// earlier one, a whiteout removes a name that came from below, an opaque whiteout
// removes all of a directory's names that came from below, a hard link shares the
// inode that its target has at that moment. Whiteouts never touch the entries of
// their own layer, whatever the order. For each layer, base first:
//
//	below = the tree so far, kept readable
//	whiteouts and opaque whiteouts remove names, looked up in below
//	then every other entry, in the order of the archive:
//	    its parent is walked to, through symlinks, inside the root; what is missing is made
//	    a directory on a directory replaces the attributes and keeps the children
//	    anything else replaces what is there with all that is under it
//
// The checklist's names for these rules (MRG-1 ... MRG-32, ENT-14 ... ENT-39) stand
// in the code and in the tests where they apply.
//
// # The shape
//
// A Tree is one array of fixed-size records and one string of names. An inode's
// number is its place in the array plus one, so it is a function of the layers
// alone. The children of a directory lie side by side, sorted by name: a lookup is a
// binary search, a listing is a loop, and a place in a listing is a number that
// stays good for ever. A further name of a hard-linked file takes a place in the
// array too, one that is no inode but says which inode it stands for.
//
// A record holds what stat needs. Symlink targets, xattrs and extents stay in the
// layers (package index maps them from disk) and are looked up there, so the layers
// must stay open as long as the tree is used.
//
// # What is fetched ahead
//
// The layers tell what a program, a library or a Python module needs (package index/needs), and the tree tells
// where that is. So the first read of such a file, from a layer that is far away, asks for all that
// will be read with it, in one go; see LayerContent.Foresee.
//
// Merging reads no content; Content is the way to it, and FS puts both together as
// an io/fs.FS.
package fs
