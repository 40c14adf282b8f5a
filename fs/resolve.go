package fs

import (
	"fmt"
	iofs "io/fs"
	"strings"

	"github.com/shalefs/shalefs/index/tarx"
)

// Resolve finds a path in the tree the way the kernel does in a chroot: symlinks
// are followed, absolute ones start at the tree's root, ".." stops there. A slash
// at the start means nothing. If nofollow, a symlink in the last part is not followed.
//
// Errors: io/fs.ErrNotExist, ErrNotDirectory, ErrLoop, with the path.
func (t *Tree) Resolve(path string, nofollow bool) (Ino, error) {
	cur, rest, steps := Root, path, 0
	var name string
	for rest != "" {
		name, rest, _ = strings.Cut(rest, "/")
		if t.rec(cur).kind() != tarx.Directory {
			return 0, fmt.Errorf("%s: %w", path, ErrNotDirectory)
		}
		switch name {
		case "", ".":
			continue
		case "..":
			cur = t.Parent(cur)
			continue
		}
		next, ok := t.Lookup(cur, name)
		if !ok {
			return 0, fmt.Errorf("%s: %w", path, iofs.ErrNotExist)
		}
		if t.rec(next).kind() != tarx.Symlink || nofollow && rest == "" {
			if rest != "" && t.rec(next).kind() != tarx.Directory {
				return 0, fmt.Errorf("%s: %w", path, ErrNotDirectory)
			}
			cur = next
			continue
		}
		if steps++; steps > maxSymlinks {
			return 0, fmt.Errorf("%s: %w", path, ErrLoop)
		}
		target, err := t.Readlink(next)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", path, err)
		}
		if strings.HasPrefix(target, "/") {
			cur = Root
		}
		if rest != "" || strings.HasSuffix(target, "/") {
			rest = target + "/" + rest
		} else {
			rest = target
		}
	}
	return cur, nil
}
