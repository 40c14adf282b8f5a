// Package fusefs shows a merged tree to the kernel over FUSE. It is the only
// package that knows go-fuse and the only one with errno values.
//
// # What an adapter for a tree that never changes can leave out
//
// The kernel names an inode by a node ID, which it learns from LOOKUP and READDIRPLUS
// and gives back with FORGET. Here the node ID is the inode number, which is a
// place in the tree's array: there are no node objects, FORGET has nothing to do, and
// a node ID means the same to the next process that serves the mount. File handles
// carry no state either, but for files with passthrough.
//
// Nothing ever changes, so the kernel may keep what it learned: names, absent names,
// attributes, symlink targets, directory listings and pages, for hours. A warm walk of the
// tree asks nothing of this process.
//
// What is left is the first read of each of many small files. Who reads them in the order of
// the listing is given the next ones before asking: see ahead.
//
// # What it must get right
//
// A place in a listing is the number of a child, so telldir and seekdir work for ever.
// A READ that the kernel interrupts is canceled and answered with EINTR. An error of
// the content is EIO, never ENOENT, and its story is in the log. Whatever would change
// something is EROFS. SEMANTICS.md in the directory above says what each system call does.
//
// # Passthrough
//
// A file whose bytes lie whole in a local file can be handed to the kernel: see Backer.
package fusefs
