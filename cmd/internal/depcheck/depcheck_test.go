package depcheck

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/shalefs/shalefs"

// chain has the parts of the module from the left to the right.
var chain = []string{"cmd", "fs/fusefs", "fs", "index", "lazy", "layout"}

// testOnly are packages that only tests, and one another, import.
var testOnly = []string{"layout/layouttest", "layout/registry/registrytest", "lazy/lazytest", "index/needs/needstest"}

// onlyIn are modules that only one part of ours imports, tests and all.
var onlyIn = map[string][]string{
	"github.com/hanwen/go-fuse":  {"fs/fusefs"},
	"github.com/spf13/cobra":     {"cmd"},
	"github.com/vbauerster/mpb":  {"cmd"},
	"github.com/BurntSushi/toml": {"layout/registry"},
}

// A pkg is what "go list" says of a package.
type pkg struct {
	ImportPath   string
	Imports      []string // direct ones
	TestImports  []string
	XTestImports []string
	Deps         []string // direct and indirect ones
}

func list(t *testing.T) []pkg {
	t.Helper()
	var stderr bytes.Buffer
	cmd := exec.Command("go", "list", "-e", "-json=ImportPath,Imports,TestImports,XTestImports,Deps", module+"/...")
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v: %s", err, stderr.String())
	}
	var pkgs []pkg
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		err := dec.Decode(&p)
		if errors.Is(err, io.EOF) {
			return pkgs
		}
		if err != nil {
			t.Fatal(err)
		}
		pkgs = append(pkgs, p)
	}
}

// within reports whether an import path is prefix or below it.
func within(path, prefix string) bool {
	return path == prefix || strings.HasPrefix(path, prefix+"/")
}

// part is the place of a package in the chain, counted from the left; -1 for packages of
// others.
func part(path string) int {
	best := -1
	for i, name := range chain {
		if within(path, module+"/"+name) && (best < 0 || len(name) > len(chain[best])) {
			best = i
		}
	}
	return best
}

// violations lists what is wrong with the imports of the packages.
func violations(pkgs []pkg) []string {
	var bad []string
	for _, p := range pkgs {
		here := part(p.ImportPath)
		if here < 0 && p.ImportPath != module {
			bad = append(bad, p.ImportPath+" is not part of the chain")
		}
		for _, d := range p.Deps {
			if there := part(d); there >= 0 && there < here {
				bad = append(bad, p.ImportPath+" depends on "+d+", to its left")
			}
		}
		bad = append(bad, testOnlyViolations(p)...)
		bad = append(bad, onlyInViolations(p)...)
	}
	return bad
}

func isTestOnly(path string) bool {
	return slices.ContainsFunc(testOnly, func(name string) bool { return within(path, module+"/"+name) })
}

func testOnlyViolations(p pkg) []string {
	var bad []string
	for _, d := range p.Imports {
		if isTestOnly(d) && !isTestOnly(p.ImportPath) {
			bad = append(bad, p.ImportPath+" imports "+d+" outside its tests")
		}
	}
	return bad
}

func onlyInViolations(p pkg) []string {
	var bad []string
	for _, d := range slices.Concat(p.Imports, p.TestImports, p.XTestImports) {
		for mod, parts := range onlyIn {
			allowed := slices.ContainsFunc(parts, func(name string) bool { return within(p.ImportPath, module+"/"+name) })
			if within(d, mod) && !allowed {
				bad = append(bad, p.ImportPath+" imports "+d)
			}
		}
	}
	return bad
}

// TestImports checks the module.
func TestImports(t *testing.T) {
	pkgs := list(t)
	seen := map[int]bool{}
	for _, p := range pkgs {
		seen[part(p.ImportPath)] = true
	}
	for i, name := range chain {
		if !seen[i] {
			t.Errorf("no package of %s was found", name)
		}
	}
	for _, v := range violations(pkgs) {
		t.Error(v)
	}
}

// TestViolations checks that the check sees what it is there for.
func TestViolations(t *testing.T) {
	m := func(s string) string { return module + "/" + s }
	tests := []struct {
		name string
		p    pkg
		want int
	}{
		{"right", pkg{ImportPath: m("fs"), Deps: []string{"os", m("index"), m("lazy/cache"), m("layout")}}, 0},
		{"left", pkg{ImportPath: m("layout/archive"), Deps: []string{m("layout"), m("lazy/cache")}}, 1},
		{"fs and fusefs", pkg{ImportPath: m("fs"), Deps: []string{m("fs/fusefs")}}, 1},
		{"fusefs and fs", pkg{ImportPath: m("fs/fusefs"), Deps: []string{m("fs")}}, 0},
		{"elsewhere", pkg{ImportPath: m("util")}, 1},
		{"double in code", pkg{ImportPath: m("fs"), Imports: []string{m("lazy/lazytest")}}, 1},
		{"double in a test", pkg{ImportPath: m("fs"), TestImports: []string{m("lazy/lazytest")}, XTestImports: []string{m("layout/layouttest")}}, 0},
		{"double in a double", pkg{ImportPath: m("layout/registry/registrytest"), Imports: []string{m("layout/layouttest")}}, 0},
		{"go-fuse", pkg{ImportPath: m("fs"), TestImports: []string{"github.com/hanwen/go-fuse/v2/fuse"}}, 1},
		{"go-fuse in fusefs", pkg{ImportPath: m("fs/fusefs"), Imports: []string{"github.com/hanwen/go-fuse/v2/fuse"}}, 0},
	}
	for _, tt := range tests {
		if got := violations([]pkg{tt.p}); len(got) != tt.want {
			t.Errorf("%s: got %v, want %d", tt.name, got, tt.want)
		}
	}
}
