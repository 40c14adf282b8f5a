package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/shalefs/shalefs/cmd/internal/open"
	"github.com/shalefs/shalefs/fs"
	"github.com/shalefs/shalefs/index/tarx"
)

func newLs() *cobra.Command {
	var s settings
	var l lister
	c := &cobra.Command{
		Use: "ls REF [PATH...]", Short: "List files of an image",
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.withImage(cmd, args[0], func(_ context.Context, img *open.Image) error {
				w := bufio.NewWriter(cmd.OutOrStdout())
				l.w, l.tree, l.json = w, img.Tree, s.json
				return errors.Join(l.list(img, pathsOf(args)), w.Flush())
			})
		},
	}
	s.add(c)
	c.Flags().BoolVarP(&l.long, "long", "l", false, "show attributes")
	c.Flags().BoolVarP(&l.recursive, "recursive", "R", false, "show everything below")
	c.Flags().BoolVarP(&l.dirItself, "directory", "d", false, "show directories themselves, not what is in them")
	return c
}

// A lister prints listings.
type lister struct {
	w                                *bufio.Writer
	tree                             *fs.Tree
	long, recursive, dirItself, json bool
	entries                          []entryJSON
}

func (l *lister) list(img *open.Image, paths []string) error {
	for i, p := range paths {
		ino, err := find(img, p, !l.long && !l.dirItself)
		if err != nil {
			return err
		}
		if err := l.one(p, ino, i, len(paths)); err != nil {
			return err
		}
	}
	if l.json {
		if l.entries == nil {
			l.entries = []entryJSON{}
		}
		return printJSON(l.w, l.entries)
	}
	return nil
}

// one lists one argument.
func (l *lister) one(path string, ino fs.Ino, i, n int) error {
	isDir := l.tree.Attr(ino).Kind == tarx.Directory
	if !isDir || l.dirItself {
		return l.print(path, path, ino)
	}
	if l.recursive {
		return walk(l.tree, path, ino, func(v visit) (bool, error) {
			if v.depth > 0 {
				if err := l.print(v.path, v.path, v.ino); err != nil {
					return false, err
				}
			}
			return l.tree.Attr(v.ino).Kind == tarx.Directory, nil
		})
	}
	if n > 1 && !l.json {
		if i > 0 {
			fmt.Fprintln(l.w)
		}
		fmt.Fprintf(l.w, "%s:\n", quoted(path))
	}
	var err error
	l.tree.ReadDir(ino, 0, func(_ int, name string, child fs.Ino) bool {
		err = l.print(join(path, name), name, child)
		return err == nil
	})
	return err
}

// print writes one line, or keeps one entry for JSON.
func (l *lister) print(path, shown string, ino fs.Ino) error {
	if l.json {
		e, err := newEntryJSON(l.tree, path, ino)
		if err != nil {
			return err
		}
		l.entries = append(l.entries, e)
		return nil
	}
	if !l.long {
		_, err := fmt.Fprintln(l.w, quoted(shown))
		return err
	}
	return longLine(l.w, l.tree, shown, ino)
}

// longLine writes a line of "ls -l".
func longLine(w io.Writer, tree *fs.Tree, shown string, ino fs.Ino) error {
	a := tree.Attr(ino)
	tail := ""
	if a.Kind == tarx.Symlink {
		target, err := tree.Readlink(ino)
		if err != nil {
			return err
		}
		tail = " -> " + quoted(target)
	}
	_, err := fmt.Fprintf(w, "%s %3d %5d %5d %10s %s %s%s\n",
		modeString(a), a.Nlink, a.UID, a.GID, sizeString(a), mtime(a).Format("2006-01-02 15:04"), quoted(shown), tail)
	return err
}
