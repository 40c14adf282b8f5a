package fs

import "errors"

var (
	// ErrNotRegular: the inode is not a regular file.
	ErrNotRegular = errors.New("not a regular file")
	// ErrNotDirectory: a part of a path is not a directory.
	ErrNotDirectory = errors.New("not a directory")
	// ErrLoop: more than 40 symlinks on the way to a path.
	ErrLoop = errors.New("too many symlinks")
	// ErrNotSymlink: the inode is not a symlink.
	ErrNotSymlink = errors.New("not a symlink")
)
