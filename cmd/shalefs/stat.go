package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"sort"

	"github.com/spf13/cobra"

	"github.com/shalefs/shalefs/cmd/internal/open"
)

func newStat() *cobra.Command {
	var s settings
	c := &cobra.Command{
		Use: "stat REF PATH...", Short: "Show all attributes of files of an image",
		Args: cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.withImage(cmd, args[0], func(_ context.Context, img *open.Image) error {
				w := bufio.NewWriter(cmd.OutOrStdout())
				return errors.Join(printStat(w, img, args[1:], s.json), w.Flush())
			})
		},
	}
	s.add(c)
	return c
}

func printStat(w *bufio.Writer, img *open.Image, paths []string, asJSON bool) error {
	var entries []entryJSON
	for _, p := range paths {
		ino, err := find(img, p, false)
		if err != nil {
			return err
		}
		e, err := newEntryJSON(img.Tree, p, ino)
		if err != nil {
			return err
		}
		entries = append(entries, e)
	}
	if asJSON {
		return printJSON(w, entries)
	}
	for _, e := range entries {
		statText(w, img, e)
	}
	return nil
}

func statText(w *bufio.Writer, img *open.Image, e entryJSON) {
	fmt.Fprintf(w, "  Path: %s", quoted(e.Path))
	if e.Target != "" {
		fmt.Fprintf(w, " -> %s", quoted(e.Target))
	}
	fmt.Fprintf(w, "\n  Type: %s  Size: %d  Inode: %d  Links: %d\n", e.Type, e.Size, e.Inode, e.Nlink)
	if e.Major != nil {
		fmt.Fprintf(w, "Device: %d, %d\n", *e.Major, *e.Minor)
	}
	fmt.Fprintf(w, "  Mode: %s  Uid: %d  Gid: %d\n", e.Mode, e.UID, e.GID)
	fmt.Fprintf(w, "Modify: %s\n", e.MTime.Format("2006-01-02 15:04:05.999999999 -0700"))
	fmt.Fprintf(w, " Layer: %d %s\n", e.Layer, img.LayerName(e.Layer))
	if e.BLAKE3 != "" {
		fmt.Fprintf(w, "BLAKE3: %s\n", e.BLAKE3)
	}
	names := make([]string, 0, len(e.Xattrs))
	for n := range e.Xattrs {
		names = append(names, n)
	}
	sort.Strings(names)
	for _, n := range names {
		fmt.Fprintf(w, " Xattr: %s = 0x%s\n", quoted(n), hex.EncodeToString(e.Xattrs[n]))
	}
}
