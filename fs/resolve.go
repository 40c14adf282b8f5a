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
	for rest != "" {
		name, after, slash := strings.Cut(rest, "/")
		rest = after
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
		switch kind := t.rec(next).kind(); {
		case kind == tarx.Symlink && (slash || !nofollow):
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
			if slash {
				target += "/"
			}
			rest = target + rest
		case kind != tarx.Directory && slash:
			return 0, fmt.Errorf("%s: %w", path, ErrNotDirectory)
		default:
			cur = next
		}
	}
	return cur, nil
}
