package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/shalefs/shalefs/cmd/internal/open"
	"github.com/shalefs/shalefs/fs"
	"github.com/shalefs/shalefs/index/tarx"
)

func newCp() *cobra.Command {
	var s settings
	c := &cobra.Command{
		Use: "cp REF PATH... DEST", Short: "Copy files or directories of an image to the host",
		Long: `Copy files or directories, with everything below them, out of an image. Modes, times,
hard links, symlinks, sparse files and extended attributes are kept; owners and
device nodes too when run as root. If DEST is a directory the copies go into it,
under their own names; the root's content goes into DEST itself.`,
		Args: cobra.MinimumNArgs(3),
		RunE: func(cmd *cobra.Command, args []string) error {
			paths, dest := args[1:len(args)-1], args[len(args)-1]
			return s.withImage(cmd, args[0], func(ctx context.Context, img *open.Image) error {
				for _, p := range paths {
					if err := copyOut(ctx, img, p, dest, len(paths) > 1); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
	s.add(c)
	return c
}

// copyOut copies one path to dest.
func copyOut(ctx context.Context, img *open.Image, from, dest string, several bool) error {
	ino, err := find(img, from, false)
	if err != nil {
		return err
	}
	st, err := os.Stat(dest)
	intoDir := err == nil && st.IsDir()
	if several && !intoDir {
		return fmt.Errorf("%s: not a directory, and there are several things to copy", dest)
	}
	parent, name := filepath.Split(filepath.Clean(dest))
	if intoDir {
		if parent, name = dest, path.Base(path.Clean("/"+from)); name == "/" {
			parent, name = filepath.Split(filepath.Clean(dest))
			if name == "" || name == "." || name == ".." {
				abs, err := filepath.Abs(dest)
				if err != nil {
					return err
				}
				parent, name = filepath.Split(abs)
			}
		}
	}
	if parent == "" {
		parent = "."
	}
	root, err := os.OpenRoot(parent)
	if err != nil {
		return err
	}
	defer root.Close() //nolint:errcheck // only read
	c := &copier{ctx: ctx, img: img, root: root, base: name, links: map[fs.Ino]string{}, asRoot: os.Geteuid() == 0}
	return c.run(from, ino)
}

// A copier writes a subtree below root. All names are resolved inside root, so that
// nothing that stands there already can lead it elsewhere.
type copier struct {
	ctx     context.Context
	img     *open.Image
	root    *os.Root
	base    string            // name of the subtree's top in root
	links   map[fs.Ino]string // where inodes with several names were written first
	asRoot  bool
	skipped int // device nodes that only root can make

	dir     *os.File // the directory of the last entry
	dirName string
}

func (c *copier) run(from string, ino fs.Ino) error {
	var dirs []visit // in the order they were made
	err := walk(c.img.Tree, c.base, ino, func(v visit) (bool, error) {
		if err := c.ctx.Err(); err != nil {
			return false, err
		}
		if err := c.one(v); err != nil {
			return false, fmt.Errorf("%s: %w", v.path, err)
		}
		isDir := c.img.Tree.Attr(v.ino).Kind == tarx.Directory
		if isDir {
			dirs = append(dirs, v)
		}
		return isDir, nil
	})
	// The attributes of directories last, the deepest first: writing below changes their times.
	for i := len(dirs) - 1; i >= 0 && err == nil; i-- {
		err = c.finishDir(dirs[i])
	}
	if c.dir != nil {
		c.dir.Close()
	}
	if err == nil && c.skipped > 0 {
		err = fmt.Errorf("%s: %d device nodes were left out: only root can make them", from, c.skipped)
	}
	return err
}

// at opens the directory that a name of the copy is in.
func (c *copier) at(name string) (fd int, last string, err error) {
	dir, last := path.Split(name)
	if c.dir == nil || dir != c.dirName {
		f, err := c.root.Open(path.Clean("./" + dir))
		if err != nil {
			return 0, "", err
		}
		if c.dir != nil {
			c.dir.Close()
		}
		c.dir, c.dirName = f, dir
	}
	return int(c.dir.Fd()), last, nil
}

func (c *copier) one(v visit) error {
	a := c.img.Tree.Attr(v.ino)
	fd, name, err := c.at(v.path)
	if err != nil {
		return err
	}
	if a.Kind != tarx.Directory && a.Nlink > 1 {
		if first, ok := c.links[v.ino]; ok {
			return c.root.Link(first, v.path)
		}
		c.links[v.ino] = v.path
	}
	if a.Kind != tarx.Directory {
		// An older copy makes room, as with cp.
		if err := unix.Unlinkat(fd, name, 0); err != nil && !errors.Is(err, unix.ENOENT) {
			return &os.PathError{Op: "unlink", Path: v.path, Err: err}
		}
	}
	switch a.Kind {
	case tarx.Directory:
		if err := unix.Mkdirat(fd, name, 0o700); err != nil && !errors.Is(err, unix.EEXIST) {
			return &os.PathError{Op: "mkdir", Path: v.path, Err: err}
		}
		return nil
	case tarx.Regular:
		if err := c.file(fd, name, v.ino); err != nil {
			return err
		}
	case tarx.Symlink:
		target, err := c.img.Tree.Readlink(v.ino)
		if err != nil {
			return err
		}
		if err := unix.Symlinkat(target, fd, name); err != nil {
			return &os.PathError{Op: "symlink", Path: v.path, Err: err}
		}
	default:
		if done, err := c.node(fd, name, a); !done || err != nil {
			return err
		}
	}
	return c.attributes(fd, name, v.ino, a)
}

// node makes a device or a fifo; done is false for a device that only root can make.
func (c *copier) node(fd int, name string, a fs.Attr) (done bool, err error) {
	mode := map[tarx.Kind]uint32{tarx.Char: unix.S_IFCHR, tarx.Block: unix.S_IFBLK, tarx.Fifo: unix.S_IFIFO}[a.Kind]
	if a.Kind != tarx.Fifo && !c.asRoot {
		c.skipped++
		return false, nil
	}
	if err := unix.Mknodat(fd, name, mode|0o600, int(unix.Mkdev(a.Major, a.Minor))); err != nil {
		return false, &os.PathError{Op: "mknod", Path: name, Err: err}
	}
	return true, nil
}

// file writes a regular file with its holes.
func (c *copier) file(dirfd int, name string, ino fs.Ino) (err error) {
	fd, err := unix.Openat(dirfd, name, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return &os.PathError{Op: "create", Path: name, Err: err}
	}
	f := os.NewFile(uintptr(fd), name)
	defer func() { err = errors.Join(err, f.Close()) }()
	x, err := c.img.Tree.Open(ino)
	if err != nil {
		return err
	}
	runs := x.Sparse
	if runs == nil {
		runs = []tarx.Run{{Off: 0, Len: x.Size}}
	}
	if err := f.Truncate(x.Size); err != nil {
		return err
	}
	buf := make([]byte, min(copyBytes, max(x.Stored, 1)))
	for _, run := range runs {
		for off, end := run.Off, run.Off+run.Len; off < end; {
			n, err := c.img.Content.ReadAt(c.ctx, ino, buf[:min(int64(len(buf)), end-off)], off)
			if n == 0 && err != nil {
				return err
			}
			if _, err := f.WriteAt(buf[:n], off); err != nil {
				return err
			}
			off += int64(n)
		}
	}
	return nil
}

func (c *copier) finishDir(v visit) error {
	fd, name, err := c.at(v.path)
	if err == nil {
		err = c.attributes(fd, name, v.ino, c.img.Tree.Attr(v.ino))
	}
	if err != nil {
		return fmt.Errorf("%s: %w", v.path, err)
	}
	return nil
}

// attributes sets owner, xattrs, mode and times, in the order that keeps them all.
func (c *copier) attributes(fd int, name string, ino fs.Ino, a fs.Attr) error {
	if c.asRoot {
		if err := unix.Fchownat(fd, name, int(a.UID), int(a.GID), unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return &os.PathError{Op: "chown", Path: name, Err: err}
		}
	}
	xattrs, err := c.img.Tree.Xattrs(ino)
	if err != nil {
		return err
	}
	for _, x := range xattrs {
		if !c.asRoot && (len(x.Name) < 5 || x.Name[:5] != "user.") {
			continue
		}
		if err := unix.Lsetxattr(fmt.Sprintf("/proc/self/fd/%d/%s", fd, name), x.Name, x.Value, 0); err != nil {
			return &os.PathError{Op: "setxattr " + x.Name, Path: name, Err: err}
		}
	}
	if a.Kind != tarx.Symlink {
		if err := unix.Fchmodat(fd, name, uint32(a.Perm), 0); err != nil {
			return &os.PathError{Op: "chmod", Path: name, Err: err}
		}
	}
	when := unix.Timespec{Sec: a.MTime, Nsec: int64(a.MTimeNano)}
	if err := unix.UtimesNanoAt(fd, name, []unix.Timespec{when, when}, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return &os.PathError{Op: "utimes", Path: name, Err: err}
	}
	return nil
}
