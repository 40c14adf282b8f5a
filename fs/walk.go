package fs

import (
	"fmt"
	"strings"

	"github.com/shalefs/shalefs/index/tarx"
	"github.com/shalefs/shalefs/layout"
)

// A walkMode says what a walk does with what it meets.
type walkMode uint8

const (
	walkMake    walkMode = iota // in the tree as it is now; make what is missing
	walkNow                     // in the tree as it is now
	walkBelow                   // in the tree before this layer
	walkRemoval                 // the same, not through symlinks that this layer replaces
)

// errLoop refuses a layer with an entry behind too many symlinks.
var errLoop = fmt.Errorf("more than %d symlinks on the way: %w", maxSymlinks, layout.ErrInvalid)

// walk goes to a directory from the root, through symlinks, never out of the root
// (MRG-26). Unless it makes what is missing, it returns noNode for a path that is
// not a directory.
func (b *builder) walk(path string, mode walkMode) (uint32, error) {
	cur, rest, steps := rootNode, path, 0
	var name string
	for rest != "" {
		name, rest, _ = strings.Cut(rest, "/")
		switch name {
		case "", ".":
			continue
		case "..":
			cur = b.nodes[cur].parent
			continue
		}
		id := b.find(cur, name, mode >= walkBelow)
		if id == noNode {
			if mode != walkMake {
				return noNode, nil
			}
			made, err := b.imply(cur, name)
			if err != nil {
				return noNode, err
			}
			cur = made
			continue
		}
		switch b.kind(id) {
		case tarx.Directory:
			cur = id
			if mode == walkMake {
				b.touch(id)
			}
		case tarx.Symlink:
			if steps++; steps > maxSymlinks {
				return noNode, fmt.Errorf("%q: %w", path, errLoop)
			}
			if mode == walkRemoval {
				replaced, err := b.isReplaced(id)
				if err != nil || replaced {
					return noNode, err
				}
			}
			if mode == walkMake {
				b.noteThroughSymlink(id)
			}
			target, err := b.link(b.inode(id))
			if err != nil {
				return noNode, err
			}
			if strings.HasPrefix(target, "/") {
				cur = rootNode
			}
			rest = target + "/" + rest
		default:
			if mode != walkMake {
				return noNode, nil
			}
			b.remove(id, ReasonReplaced) // MRG-19
			made, err := b.imply(cur, name)
			if err != nil {
				return noNode, err
			}
			cur = made
		}
	}
	return cur, nil
}

// parent walks to the directory of a path, makes what is missing, and returns it with the last part.
func (b *builder) parent(path string) (dir uint32, base string, err error) {
	dirPath, base := split(path)
	if b.dir != noNode && dirPath == b.dirPath {
		return b.dir, base, nil
	}
	dir, err = b.walk(dirPath, walkMake)
	if err != nil {
		return noNode, "", err
	}
	b.dirPath, b.dir = dirPath, dir
	return dir, base, nil
}

// locate finds a name without following a symlink in its last part, and without
// making anything. dir is noNode if the directory is not there, id if the name is not.
func (b *builder) locate(path string, mode walkMode) (dir, id uint32, base string, err error) {
	dirPath, base := split(path)
	if base == "" {
		return rootNode, rootNode, "", nil
	}
	dir, err = b.walk(dirPath, mode)
	if err != nil || dir == noNode {
		return noNode, noNode, base, err
	}
	return dir, b.find(dir, base, mode >= walkBelow), base, nil
}

// split cuts a path at its last slash.
func split(path string) (dir, base string) {
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		return path[:i], path[i+1:]
	}
	return "", path
}
