package fs_test

import (
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"

	"github.com/shalefs/shalefs/index/tarx"
)

// This file applies layers in the plainest way there is: maps of names, a full copy of the
// tree before each layer, paths resolved part by part. It follows the checklist's text and
// shares nothing with the package, so that the two can be compared (MRG-31).

// flatFile is an inode.
type flatFile struct {
	kind  tarx.Kind
	e     tarx.Entry // its attributes
	names map[string]*flatFile
	// A hard link whose target has not come yet. In the end it is a name for goal.
	pending bool
	goal    *flatFile
}

func flatDir() *flatFile {
	return &flatFile{kind: tarx.Directory, e: tarx.Entry{Mode: 0o755}, names: map[string]*flatFile{}}
}

// clone copies the directories; other inodes are shared, for they do not change.
func (f *flatFile) clone() *flatFile {
	if f.kind != tarx.Directory {
		return f
	}
	c := &flatFile{kind: f.kind, e: f.e, names: map[string]*flatFile{}}
	for n, child := range f.names {
		c.names[n] = child.clone()
	}
	return c
}

// flatRoot is a tree.
type flatRoot struct{ *flatFile }

// at follows a path of real names.
func (r flatRoot) at(path []string) *flatFile {
	f := r.flatFile
	for _, p := range path {
		if f == nil || f.kind != tarx.Directory {
			return nil
		}
		f = f.names[p]
	}
	return f
}

func parts(path string) []string {
	return slices.DeleteFunc(strings.Split(path, "/"), func(p string) bool { return p == "" || p == "." })
}

var errFlatLoop = errors.New("loop")

// realDir turns a path into real names without symlinks. With missing, whatever is not
// a directory on the way is made one; without, the answer is nil, false.
// forbidden are the real paths of symlinks that must not be followed.
func (r flatRoot) realDir(path string, missing bool, forbidden map[string]bool) ([]string, bool, error) {
	todo := parts(path)
	real := []string{}
	steps := 0
	for len(todo) > 0 {
		p := todo[0]
		todo = todo[1:]
		if p == ".." {
			real = real[:max(0, len(real)-1)]
			continue
		}
		dir := r.at(real)
		child := dir.names[p]
		here := append(slices.Clone(real), p)
		switch {
		case child != nil && child.kind == tarx.Directory && !child.pending:
			real = here
		case child != nil && child.kind == tarx.Symlink && !child.pending:
			if steps++; steps > 40 {
				return nil, false, errFlatLoop
			}
			if forbidden[strings.Join(here, "/")] {
				return nil, false, nil
			}
			if strings.HasPrefix(child.e.Link, "/") {
				real = []string{}
			}
			todo = append(parts(child.e.Link), todo...)
		case !missing:
			return nil, false, nil
		default:
			dir.names[p] = flatDir()
			real = here
		}
	}
	return real, true, nil
}

func cutLast(path string) (string, string) {
	all := parts(path)
	return strings.Join(all[:len(all)-1], "/"), all[len(all)-1]
}

func skipped(path string) bool {
	for _, p := range parts(path) {
		if strings.HasPrefix(p, ".wh..wh.") {
			return false
		}
		if strings.HasPrefix(p, ".wh.") {
			return true
		}
	}
	return false
}

// flatMerge is the reference.
func flatMerge(layers [][]tarx.Entry) (flatRoot, error) {
	tree := flatRoot{flatDir()}
	for i, l := range layers {
		below := flatRoot{tree.clone()}
		if i > 0 {
			if err := flatRemove(tree, below, l); err != nil {
				return tree, err
			}
		}
		if err := flatAdd(tree, below, l); err != nil {
			return tree, err
		}
	}
	return tree, nil
}

// flatRemove does the whiteouts of a layer (MRG-1 ... MRG-12, MRG-29, MRG-30).
func flatRemove(tree, below flatRoot, l []tarx.Entry) error {
	white := func(e tarx.Entry) bool { return e.Kind == tarx.Whiteout || e.Kind == tarx.Opaque }

	needed := false // only a layer with a whiteout asks which symlinks are replaced
	for _, e := range l {
		needed = needed || white(e)
	}
	if !needed {
		return nil
	}
	replaced := map[string]bool{}
	var replacedErr error
	for _, e := range l {
		if white(e) || e.Path == "" || skipped(e.Path) {
			continue
		}
		dir, base := cutLast(e.Path)
		real, ok, err := below.realDir(dir, false, nil)
		if err != nil {
			replacedErr = err
			continue
		}
		if f := below.at(append(real, base)); ok && f != nil && f.kind == tarx.Symlink {
			replaced[strings.Join(append(real, base), "/")] = true
		}
	}
	_ = replacedErr // such a layer is refused when the entry itself is put in

	for _, e := range l {
		if !white(e) || skipped(e.Path) {
			continue
		}
		dir, base := e.Path, ""
		if e.Kind == tarx.Whiteout {
			dir, base = cutLast(e.Path)
		}
		real, ok, err := below.realDir(dir, false, replaced)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		target := tree.at(real)
		if target == nil {
			continue // another whiteout took the directory away
		}
		if e.Kind == tarx.Whiteout {
			delete(target.names, base)
		} else {
			clear(target.names)
		}
	}
	return nil
}

type flatPending struct {
	file   *flatFile
	target string
}

// flatAdd does the other entries, in order.
func flatAdd(tree, below flatRoot, l []tarx.Entry) error {
	var later []flatPending
	for _, e := range l {
		if e.Kind == tarx.Whiteout || e.Kind == tarx.Opaque || skipped(e.Path) {
			continue
		}
		if e.Path == "" {
			if e.Kind == tarx.Directory {
				tree.e = e
			}
			continue
		}
		dir, base := cutLast(e.Path)
		real, _, err := tree.realDir(dir, true, nil)
		if err != nil {
			return err
		}
		parent := tree.at(real)
		if e.Kind == tarx.Hardlink {
			f, err := flatTarget(tree, below, real, base, e.Link)
			if err != nil {
				return err
			}
			if f == nil {
				f = &flatFile{kind: tarx.Hardlink, pending: true}
				later = append(later, flatPending{f, e.Link})
			}
			parent.names[base] = f
			continue
		}
		old := parent.names[base]
		if e.Kind == tarx.Directory && old != nil && old.kind == tarx.Directory {
			old.e = e
			continue
		}
		f := &flatFile{kind: e.Kind, e: e}
		if e.Kind == tarx.Directory {
			f.names = map[string]*flatFile{}
		}
		parent.names[base] = f
	}
	return flatSettle(tree, later)
}

// flatTarget looks for a hard link's target: now, else below (MRG-20).
func flatTarget(tree, below flatRoot, ownDir []string, ownBase, target string) (*flatFile, error) {
	if len(parts(target)) == 0 {
		return nil, errors.New("link to the root")
	}
	dir, base := cutLast(target)
	for _, r := range []flatRoot{tree, below} {
		real, ok, err := r.realDir(dir, false, nil)
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		if base == ownBase && slices.Equal(real, ownDir) {
			return nil, errors.New("link to itself")
		}
		f := r.at(append(real, base))
		if f == nil {
			continue
		}
		if f.kind == tarx.Directory {
			return nil, errors.New("link to a directory")
		}
		return f, nil
	}
	return nil, nil
}

// flatSettle gives the links that came before their targets what they point at.
func flatSettle(tree flatRoot, later []flatPending) error {
	for _, p := range later {
		dir, base := cutLast(p.target)
		real, ok, err := tree.realDir(dir, false, nil)
		if err != nil {
			return err
		}
		var f *flatFile
		if ok {
			f = tree.at(append(real, base))
		}
		if f == nil || f == p.file || f.kind == tarx.Directory {
			return fmt.Errorf("link to %q, which is nothing or a directory", p.target)
		}
		p.file.goal = f
	}
	for _, p := range later {
		end, steps := p.file, 0
		for end.pending {
			end = end.goal
			if steps++; steps > len(later) {
				return errors.New("links in a circle")
			}
		}
	}
	tree.settle()
	return nil
}

// settle puts the inode in the place of each pending link.
func (f *flatFile) settle() {
	for n, child := range f.names {
		for child.pending {
			child = child.goal
		}
		f.names[n] = child
		child.settle()
	}
}

// flatDump writes the tree in the format of fstest.Dump, but for content.
func flatDump(tree flatRoot) string {
	links := map[*flatFile]int{}
	type item struct {
		path string
		f    *flatFile
	}
	list := []item{{"", tree.flatFile}}
	for i := 0; i < len(list); i++ {
		var names []string
		for n := range list[i].f.names {
			if !strings.HasPrefix(n, ".wh..wh.") {
				names = append(names, n)
			}
		}
		sort.Strings(names)
		links[list[i].f] += 1
		if list[i].f.kind == tarx.Directory {
			links[list[i].f]++
		}
		for _, n := range names {
			path := n
			if list[i].path != "" {
				path = list[i].path + "/" + n
			}
			child := list[i].f.names[n]
			list = append(list, item{path, child})
			if child.kind == tarx.Directory {
				links[list[i].f]++
			}
		}
	}
	var b strings.Builder
	first := map[*flatFile]string{}
	for _, it := range list {
		if p, ok := first[it.f]; ok {
			fmt.Fprintf(&b, "%s = %s\n", it.path, p)
			continue
		}
		first[it.f] = it.path
		e := it.f.e
		perm := e.Mode
		if it.f.kind == tarx.Symlink {
			perm = 0o777
		}
		fmt.Fprintf(&b, "%s kind=%d %o %d:%d %d.%d links=%d -> %q xattrs=%v\n",
			it.path, it.f.kind, perm, e.UID, e.GID, e.MTime, e.MTimeNano, links[it.f], e.Link, e.Xattrs)
	}
	return b.String()
}
