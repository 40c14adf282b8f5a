package main

import (
	"context"
	"errors"
	"fmt"
	iofs "io/fs"

	"github.com/spf13/cobra"

	"github.com/shalefs/shalefs/cmd/internal/open"
	"github.com/shalefs/shalefs/fs"
)

// withImage opens the image that ref names, for a command that ends soon, and calls f.
func (s *settings) withImage(cmd *cobra.Command, ref string, f func(ctx context.Context, img *open.Image) error) (err error) {
	opt, err := s.options()
	if err != nil {
		return err
	}
	pr := newProgress()
	defer pr.finish()
	opt.OneShot, opt.Progress = true, pr.report
	img, err := open.Open(cmd.Context(), ref, opt)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, img.Close()) }()
	pr.finish()
	return f(cmd.Context(), img)
}

// find looks a path of the image up. A symlink in its last part is followed if follow.
func find(img *open.Image, path string, follow bool) (fs.Ino, error) {
	ino, err := img.Tree.Resolve(path, !follow)
	if errors.Is(err, iofs.ErrNotExist) {
		return 0, fmt.Errorf("%s: no such file or directory in the image: %w", path, iofs.ErrNotExist)
	}
	return ino, err
}

// pathsOf returns the paths of the arguments after the reference, or the root.
func pathsOf(args []string) []string {
	if len(args) < 2 {
		return []string{"/"}
	}
	return args[1:]
}

// A visit is one step of a walk.
type visit struct {
	path string // slash-separated, as the walk's start was given
	name string
	ino  fs.Ino
	// depth is 0 for the start of the walk.
	depth int
	last  bool // the last of its siblings
}

// walk calls f for ino and everything below it, a directory before its children,
// the children by name. A false from f for a directory leaves its children out.
// It does not recurse: paths may be of any depth (ERR-9).
func walk(tree *fs.Tree, path string, ino fs.Ino, f func(v visit) (bool, error)) error {
	stack := []visit{{path: path, name: path, ino: ino, last: true}}
	for len(stack) > 0 {
		v := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		into, err := f(v)
		if err != nil {
			return err
		}
		if !into {
			continue
		}
		from := len(stack)
		tree.ReadDir(v.ino, 0, func(_ int, name string, child fs.Ino) bool {
			stack = append(stack, visit{path: join(v.path, name), name: name, ino: child, depth: v.depth + 1})
			return true
		})
		if len(stack) > from {
			stack[len(stack)-1].last = true
		}
		for i, j := from, len(stack)-1; i < j; i, j = i+1, j-1 {
			stack[i], stack[j] = stack[j], stack[i]
		}
	}
	return nil
}

func join(dir, name string) string {
	if dir == "" || dir[len(dir)-1] == '/' {
		return dir + name
	}
	return dir + "/" + name
}
