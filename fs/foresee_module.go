package fs

import (
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/shalefs/shalefs/index/needs"
	"github.com/shalefs/shalefs/index/needs/pyimport"
	"github.com/shalefs/shalefs/index/tarx"
)

// packageDirs are where Python looks for modules beside the directory of its own ones, relative to that
// one, which is called D here; %s is D's last part. It is known by lib-dynload, which is in it.
var packageDirs = []string{"lib-dynload", "site-packages", "../python3/dist-packages",
	"../../local/lib/%s/site-packages", "../../local/lib/%s/dist-packages"}

const (
	maxRoots   = 16 // directories that are searched for modules
	maxEndings = 64 // endings of one name in a directory that are looked at
)

// A modulePath finds Python modules. Where Python looks for them is not known, but the modules that
// it reads show it.
type modulePath struct {
	tree *Tree

	mu    sync.Mutex
	roots []Ino  // guarded by mu; directories of modules, in the order in which they were first seen
	tag   string // guarded by mu; the ending of compiled modules, like .cpython-311.pyc
}

// frozen are the modules that an interpreter of version 3.11 or later has in itself (Tools/build/freeze_modules.py of
// CPython): their files are never read.
var frozen = map[string]bool{
	"abc": true, "codecs": true, "io": true, "zipimport": true, "_collections_abc": true, "_sitebuiltins": true, "genericpath": true,
	"ntpath": true, "posixpath": true, "os": true, "site": true, "stat": true, "runpy": true,
	"importlib._bootstrap": true, "importlib._bootstrap_external": true, "importlib.util": true, "importlib.machinery": true,
}

// isSource says whether a file is the text of a module of which there is no compiled form.
func (m *modulePath) isSource(ino Ino) bool {
	name, dir := m.tree.name(ino), m.tree.Parent(ino)
	module, ok := strings.CutSuffix(name, ".py")
	if !ok {
		return false
	}
	cache, ok := m.tree.Lookup(dir, needs.CacheDir)
	return !ok || !m.tree.hasPrefix(cache, module+".")
}

// imports returns the files that Python reads for what the module ino imports.
func (m *modulePath) imports(ino Ino, imports []pyimport.Import) []Ino {
	m.mu.Lock()
	defer m.mu.Unlock()
	dir := m.tree.Parent(ino)
	if m.tree.name(dir) == needs.CacheDir {
		if _, tag, ok := strings.Cut(m.tree.name(ino), "."); ok {
			m.tag = "." + tag
		}
		dir = m.tree.Parent(dir)
	}
	m.learn(dir)
	var out []Ino
	for _, i := range imports {
		from := dir
		if i.Level == 0 {
			from = m.root(i.Name)
		}
		for range i.Level - 1 {
			from = m.tree.Parent(from)
		}
		out = append(out, m.find(from, i)...)
	}
	return slices.DeleteFunc(out, m.isFrozen)
}

// root returns the directory where an absolute name begins. A directory that is no package by its own
// code gives way to a module of that name elsewhere.
func (m *modulePath) root(name string) Ino {
	first, _, _ := strings.Cut(name, ".")
	var bare Ino
	for _, d := range m.roots {
		if file, _, ok := m.module(d, first); file != 0 {
			return d
		} else if ok && bare == 0 {
			bare = d
		}
	}
	return bare
}

// maxPaths is how many .pth files of a directory are taken to be read.
const maxPaths = 16

// starts returns what a program reads before it comes to the first module that it was asked for, if
// it is a Python interpreter, which its name says.
func (m *modulePath) starts(program Ino) []Ino {
	at := m.tree.Path(program)
	name := path.Base(at)
	minor, ok := strings.CutPrefix(name, "python3.")
	if _, err := strconv.ParseUint(minor, 10, 8); !ok || err != nil {
		return nil
	}
	lib, err := m.tree.Resolve(path.Join("/", at, "../../lib", name), false)
	if err != nil {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tag = ".cpython-3" + minor + ".pyc"
	m.learn(lib)
	var out []Ino
	for _, name := range []string{"encodings.aliases", "encodings.utf_8", "sitecustomize"} {
		i := pyimport.Import{Name: name}
		out = append(out, m.find(m.root(name), i)...)
	}
	for _, d := range m.roots {
		n := 0
		m.tree.ReadDir(d, 0, func(_ int, name string, ino Ino) bool {
			if strings.HasSuffix(name, ".pth") && m.tree.Kind(ino) == tarx.Regular {
				out = append(out, ino)
				n++
			}
			return n < maxPaths
		})
	}
	return out
}

// isFrozen says whether a file is that of a module that the interpreter has in itself.
func (m *modulePath) isFrozen(ino Ino) bool {
	name, dir := m.tree.name(ino), m.tree.Parent(ino)
	if m.tree.name(dir) == needs.CacheDir {
		dir = m.tree.Parent(dir)
	}
	name, tag, _ := strings.Cut(name, ".")
	version, ok := strings.CutPrefix(tag, "cpython-3")
	version, pyc := strings.CutSuffix(version, ".pyc")
	if minor, err := strconv.Atoi(version); !ok || !pyc || err != nil || minor < 11 {
		return false
	}
	if m.tree.name(dir) == "importlib" {
		name, dir = "importlib."+name, m.tree.Parent(dir)
	}
	if !frozen[name] {
		return false
	}
	_, ok = m.tree.Lookup(dir, "lib-dynload")
	return ok
}

// learn notes that a module was read from a directory, which is that of a package, or one where
// Python looks for modules.
func (m *modulePath) learn(dir Ino) {
	for dir != Root {
		if _, ok := m.init(dir); !ok {
			break
		}
		dir = m.tree.Parent(dir)
	}
	if !m.add(dir) {
		return
	}
	if _, ok := m.tree.Lookup(dir, "lib-dynload"); !ok {
		return
	}
	at := m.tree.Path(dir)
	for _, p := range packageDirs {
		if d, err := m.tree.Resolve(path.Join("/", at, strings.ReplaceAll(p, "%s", path.Base(at))), false); err == nil {
			m.add(d)
		}
	}
}

func (m *modulePath) add(dir Ino) bool {
	if m.tree.Kind(dir) != tarx.Directory || slices.Contains(m.roots, dir) || len(m.roots) >= maxRoots {
		return false
	}
	m.roots = append(m.roots, dir)
	return true
}

// find finds what one statement imports, from a directory on, which may be 0 for none.
func (m *modulePath) find(dir Ino, i pyimport.Import) (files []Ino) {
	if i.Name != "" {
		for part := range strings.SplitSeq(i.Name, ".") {
			if dir == 0 {
				return files
			}
			var file Ino
			if file, dir, _ = m.module(dir, part); file != 0 {
				files = append(files, file)
			}
		}
	}
	if dir == 0 {
		return files
	}
	for _, name := range i.From {
		if file, _, _ := m.module(dir, name); file != 0 {
			files = append(files, file)
		}
	}
	return files
}

// module finds a module in a directory: the file that is read for it, and its own directory if it is
// a package. Without a file it is a package without code, as every directory is.
func (m *modulePath) module(dir Ino, name string) (file, sub Ino, ok bool) {
	if d, found := m.tree.Lookup(dir, name); found && m.tree.Kind(d) == tarx.Directory {
		file, _ = m.init(d)
		return file, d, true
	}
	file, ok = m.file(dir, name)
	return file, 0, ok
}

// init finds the file of a package.
func (m *modulePath) init(dir Ino) (Ino, bool) { return m.file(dir, "__init__") }

// file finds the file of a module in a directory: a library, compiled code, or the text.
func (m *modulePath) file(dir Ino, name string) (file Ino, ok bool) {
	looks := 0
	m.tree.withPrefix(dir, name+".", func(n string, ino Ino) bool {
		if strings.HasSuffix(n, ".so") {
			file, ok = ino, m.tree.Kind(ino) == tarx.Regular
		}
		looks++
		return !ok && looks < maxEndings
	})
	if ok {
		return file, true
	}
	text, ok := m.tree.Lookup(dir, name+".py")
	if !ok {
		return 0, false
	}
	if cache, found := m.tree.Lookup(dir, needs.CacheDir); found && m.tag != "" {
		if c, found := m.tree.Lookup(cache, name+m.tag); found && m.tree.Kind(c) == tarx.Regular {
			return c, true
		}
	}
	if m.tree.Kind(text) == tarx.Symlink {
		return m.tree.file(m.tree.Path(text))
	}
	return text, m.tree.Kind(text) == tarx.Regular
}

// name is an inode's first name.
func (t *Tree) name(ino Ino) string {
	if ino == Root {
		return ""
	}
	return t.nameAt(int(ino - 1))
}

// withPrefix calls yield for the names of a directory that begin with prefix, in order, until it returns
// false.
func (t *Tree) withPrefix(dir Ino, prefix string, yield func(name string, ino Ino) bool) {
	t.ReadDir(dir, t.search(dir, prefix), func(_ int, name string, ino Ino) bool {
		return strings.HasPrefix(name, prefix) && yield(name, ino)
	})
}

func (t *Tree) hasPrefix(dir Ino, prefix string) (found bool) {
	t.withPrefix(dir, prefix, func(string, Ino) bool {
		found = true
		return false
	})
	return found
}
