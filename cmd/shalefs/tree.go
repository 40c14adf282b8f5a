package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/shalefs/shalefs/cmd/internal/open"
	"github.com/shalefs/shalefs/index/tarx"
)

func newTree() *cobra.Command {
	var s settings
	var level int
	c := &cobra.Command{
		Use: "tree REF [PATH]", Short: "Show a directory of an image as a tree",
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.withImage(cmd, args[0], func(_ context.Context, img *open.Image) error {
				w := bufio.NewWriter(cmd.OutOrStdout())
				return errors.Join(printTree(w, img, pathsOf(args)[0], level, s.json), w.Flush())
			})
		},
	}
	s.add(c)
	c.Flags().IntVarP(&level, "level", "L", 0, "show only this many levels (0: all)")
	return c
}

func printTree(w *bufio.Writer, img *open.Image, path string, level int, asJSON bool) error {
	ino, err := find(img, path, true)
	if err != nil {
		return err
	}
	var entries []entryJSON
	var more []bool // for each level above, whether siblings follow
	files, dirs := 0, 0
	err = walk(img.Tree, path, ino, func(v visit) (bool, error) {
		a := img.Tree.Attr(v.ino)
		isDir := a.Kind == tarx.Directory
		into := isDir && (level == 0 || v.depth < level)
		if asJSON {
			e, err := newEntryJSON(img.Tree, v.path, v.ino)
			entries = append(entries, e)
			return into, err
		}
		if v.depth > 0 {
			if isDir {
				dirs++
			} else {
				files++
			}
			more = append(more[:v.depth-1], !v.last)
		}
		tail := ""
		if a.Kind == tarx.Symlink {
			target, err := img.Tree.Readlink(v.ino)
			if err != nil {
				return false, err
			}
			tail = " -> " + quoted(target)
		}
		_, err := fmt.Fprintf(w, "%s%s%s\n", branches(more[:v.depth]), quoted(v.name), tail)
		return into, err
	})
	if err != nil {
		return err
	}
	if asJSON {
		return printJSON(w, entries)
	}
	_, err = fmt.Fprintf(w, "\n%d directories, %d files\n", dirs, files)
	return err
}

// branches draws the lines before a name.
func branches(more []bool) string {
	var b strings.Builder
	for i, m := range more {
		switch {
		case i == len(more)-1 && m:
			b.WriteString("├── ")
		case i == len(more)-1:
			b.WriteString("└── ")
		case m:
			b.WriteString("│   ")
		default:
			b.WriteString("    ")
		}
	}
	return b.String()
}
