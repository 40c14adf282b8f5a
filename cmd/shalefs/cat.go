package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/shalefs/shalefs/cmd/internal/open"
	"github.com/shalefs/shalefs/fs"
	"github.com/shalefs/shalefs/index/tarx"
)

func newCat() *cobra.Command {
	var s settings
	c := &cobra.Command{
		Use: "cat REF PATH...", Short: "Write files of an image to standard output",
		Args: cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.withImage(cmd, args[0], func(ctx context.Context, img *open.Image) error {
				for _, p := range args[1:] {
					ino, err := find(img, p, true)
					if err != nil {
						return err
					}
					if kind := img.Tree.Attr(ino).Kind; kind != tarx.Regular {
						return fmt.Errorf("%s: is a %s, not a file", p, kindNames[kind])
					}
					if err := copyFile(ctx, cmd.OutOrStdout(), img, ino); err != nil {
						return fmt.Errorf("%s: %w", p, err)
					}
				}
				return nil
			})
		},
	}
	s.add(c)
	return c
}

// copyBytes is how much cat and cp read at a time.
const copyBytes = 1 << 20

// copyFile writes a file's content to w.
func copyFile(ctx context.Context, w io.Writer, img *open.Image, ino fs.Ino) error {
	size := img.Tree.Attr(ino).Size
	buf := make([]byte, min(copyBytes, max(size, 1)))
	for off := int64(0); off < size; {
		n, err := img.Content.ReadAt(ctx, ino, buf[:min(int64(len(buf)), size-off)], off)
		if n > 0 {
			if _, werr := w.Write(buf[:n]); werr != nil {
				return werr
			}
			off += int64(n)
		}
		if err != nil && (!errors.Is(err, io.EOF) || off < size) {
			return err
		}
	}
	return nil
}
