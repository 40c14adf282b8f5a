package fs

import (
	"path"
	"strings"
	"sync"

	"github.com/shalefs/shalefs/index/needs/dynlink"
	"github.com/shalefs/shalefs/index/tarx"
)

// libraryDirs are where a dynamic linker looks for libraries; also directories in them whose name
// is that of a system, like x86_64-linux-gnu.
var libraryDirs = []string{"lib", "usr/lib", "usr/local/lib", "lib64", "usr/lib64"}

const (
	maxDirs = 16   // directories that are searched for libraries
	maxPath = 4096 // bytes of the path of one
)

// A libraryPath finds libraries.
type libraryPath struct {
	tree *Tree

	mu   sync.Mutex
	dirs []Ino // guarded by mu; nil until they are needed
}

// needs returns the files that the linker opens for an object.
func (l *libraryPath) needs(ino Ino, o *dynlink.Object) []Ino {
	var out []Ino
	if o.Interp != "" {
		out = l.tree.files(out, o.Interp, "etc/ld.so.cache")
	}
	var first []Ino // directories that the object names itself
	dir := path.Dir(l.tree.Path(ino))
	for _, d := range o.RunPath {
		if len(d)+strings.Count(d, "ORIGIN")*len(dir) > maxPath {
			continue
		}
		d = strings.ReplaceAll(strings.ReplaceAll(d, "${ORIGIN}", dir), "$ORIGIN", dir)
		if ino, err := l.tree.Resolve(d, false); err == nil {
			first = append(first, ino)
		}
	}
	for _, name := range o.Needed {
		if ino, ok := l.find(name, first); ok {
			out = append(out, ino)
		}
	}
	return out
}

// find finds a library as a dynamic linker does, but for what is configured in the image.
func (l *libraryPath) find(name string, first []Ino) (Ino, bool) {
	if strings.Contains(name, "/") {
		return l.tree.file(name)
	}
	for _, dirs := range [][]Ino{first, l.list()} {
		for _, d := range dirs {
			ino, ok := l.tree.Lookup(d, name)
			if ok && l.tree.Kind(ino) == tarx.Symlink {
				ino, ok = l.tree.file(l.tree.Path(d) + "/" + name)
			}
			if ok && l.tree.Kind(ino) == tarx.Regular {
				return ino, true
			}
		}
	}
	return 0, false
}

// locale returns what glibc reads for a program that asks for the locale, which is UTF-8 unless another is
// configured, and for the time zone.
func (l *libraryPath) locale() []Ino {
	names := []string{"usr/lib/locale/C.utf8/LC_CTYPE", "etc/localtime"}
	for _, d := range l.list() {
		names = append(names, l.tree.Path(d)+"/gconv/gconv-modules.cache")
	}
	return l.tree.files(nil, names...)
}

// file resolves the path of a regular file.
func (t *Tree) file(name string) (Ino, bool) {
	ino, err := t.Resolve(name, false)
	return ino, err == nil && t.Kind(ino) == tarx.Regular
}

// files appends those of some paths that are regular files.
func (t *Tree) files(to []Ino, names ...string) []Ino {
	for _, name := range names {
		if ino, ok := t.file(name); ok {
			to = append(to, ino)
		}
	}
	return to
}

func (l *libraryPath) list() []Ino {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dirs != nil {
		return l.dirs
	}
	l.dirs = []Ino{}
	seen := map[Ino]bool{}
	add := func(d Ino) {
		if !seen[d] && len(l.dirs) < maxDirs && l.tree.Kind(d) == tarx.Directory {
			seen[d] = true
			l.dirs = append(l.dirs, d)
		}
	}
	for _, name := range libraryDirs {
		d, err := l.tree.Resolve(name, false)
		if err != nil || seen[d] {
			continue
		}
		l.tree.ReadDir(d, 0, func(_ int, name string, child Ino) bool {
			if strings.Contains(name, "-linux-") {
				add(child)
			}
			return true
		})
		add(d)
	}
	return l.dirs
}
