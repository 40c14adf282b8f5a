package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"path"

	"github.com/spf13/cobra"

	"github.com/shalefs/shalefs/cmd/internal/open"
	"github.com/shalefs/shalefs/index/tarx"
)

// A findTest is what "find" selects by; empty parts select everything.
type findTest struct {
	name, wholePath, kind string
	print0                bool
}

func newFind() *cobra.Command {
	var s settings
	var t findTest
	c := &cobra.Command{
		Use: "find REF [PATH...]", Short: "Find files of an image by name or type",
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := t.check(); err != nil {
				return err
			}
			return s.withImage(cmd, args[0], func(_ context.Context, img *open.Image) error {
				w := bufio.NewWriter(cmd.OutOrStdout())
				return errors.Join(t.run(w, img, pathsOf(args), s.json), w.Flush())
			})
		},
	}
	s.add(c)
	c.Flags().StringVar(&t.name, "name", "", "only names that match this shell pattern")
	c.Flags().StringVar(&t.wholePath, "path", "", "only paths that match this shell pattern (* does not match /)")
	c.Flags().StringVar(&t.kind, "type", "", "only f (files), d, l, c, b or p")
	c.Flags().BoolVar(&t.print0, "print0", false, "end each path with a zero byte, and quote nothing")
	return c
}

func (t *findTest) check() error {
	for _, pattern := range []string{t.name, t.wholePath} {
		if _, err := path.Match(pattern, ""); err != nil {
			return usageError("pattern %q: %w", pattern, err)
		}
	}
	if t.kind != "" && (len(t.kind) != 1 || !containsByte("fdlcbp", t.kind[0])) {
		return usageError("--type %q: not one of f, d, l, c, b, p", t.kind)
	}
	return nil
}

func containsByte(s string, b byte) bool {
	for i := range len(s) {
		if s[i] == b {
			return true
		}
	}
	return false
}

func (t *findTest) run(w *bufio.Writer, img *open.Image, paths []string, asJSON bool) error {
	entries := []entryJSON{}
	for _, p := range paths {
		ino, err := find(img, p, false)
		if err != nil {
			return err
		}
		err = walk(img.Tree, p, ino, func(v visit) (bool, error) {
			kind := img.Tree.Attr(v.ino).Kind
			into := kind == tarx.Directory
			if !t.matches(v, kind) {
				return into, nil
			}
			if asJSON {
				e, err := newEntryJSON(img.Tree, v.path, v.ino)
				entries = append(entries, e)
				return into, err
			}
			text := quoted(v.path) + "\n"
			if t.print0 {
				text = v.path + "\x00"
			}
			_, err := fmt.Fprint(w, text)
			return into, err
		})
		if err != nil {
			return err
		}
	}
	if asJSON {
		return printJSON(w, entries)
	}
	return nil
}

func (t *findTest) matches(v visit, kind tarx.Kind) bool {
	letter := kindLetters[kind]
	if letter == '-' {
		letter = 'f'
	}
	if t.kind != "" && t.kind[0] != letter {
		return false
	}
	for pattern, s := range map[string]string{t.name: path.Base(v.name), t.wholePath: v.path} {
		if pattern == "" {
			continue
		}
		if ok, err := path.Match(pattern, s); err != nil || !ok {
			return false
		}
	}
	return true
}
