package fs_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/shalefs/shalefs/fs"
	"github.com/shalefs/shalefs/fs/fstest"
	"github.com/shalefs/shalefs/index/tarx"
)

// treeDump writes a tree in the format of flatDump.
func treeDump(t *testing.T, tree *fs.Tree) string {
	t.Helper()
	type item struct {
		path string
		ino  fs.Ino
	}
	list := []item{{"", fs.Root}}
	for i := 0; i < len(list); i++ {
		tree.ReadDir(list[i].ino, 0, func(_ int, name string, ino fs.Ino) bool {
			list = append(list, item{strings.TrimPrefix(list[i].path+"/"+name, "/"), ino})
			return true
		})
	}
	var b strings.Builder
	first := map[fs.Ino]string{}
	for _, it := range list {
		if p, ok := first[it.ino]; ok {
			fmt.Fprintf(&b, "%s = %s\n", it.path, p)
			continue
		}
		first[it.ino] = it.path
		a := tree.Attr(it.ino)
		target := ""
		if a.Kind == tarx.Symlink {
			var err error
			if target, err = tree.Readlink(it.ino); err != nil {
				t.Fatal(err)
			}
		}
		xattrs, err := tree.Xattrs(it.ino)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%s kind=%d %o %d:%d %d.%d links=%d -> %q xattrs=%v\n",
			it.path, a.Kind, a.Perm, a.UID, a.GID, a.MTime, a.MTimeNano, a.Nlink, target, xattrs)
	}
	return b.String()
}

// drawName draws one part of a path.
func drawName(t *rapid.T) string {
	return rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "name")
}

// drawPath draws a path of one to three parts.
func drawPath(t *rapid.T) string {
	p := make([]string, rapid.IntRange(1, 3).Draw(t, "depth"))
	for i := range p {
		p[i] = drawName(t)
	}
	return strings.Join(p, "/")
}

var drawTargets = []string{
	"a", "b", "c", "/a", "/b", "..", ".", "a/b", "/b/a", "../c", "../../a", "b/..", "/", "c/a/../b", "./b//a",
}

// drawEntry draws one entry; n makes its attributes its own.
func drawEntry(t *rapid.T, n int) tarx.Entry {
	e := tarx.Entry{Path: drawPath(t), Mode: uint16(0o400 + n%256), UID: uint32(n), MTime: int64(n)}
	switch k := rapid.IntRange(0, 99).Draw(t, "kind"); {
	case k < 25:
		e.Kind = tarx.Regular
	case k < 45:
		e.Kind = tarx.Directory
		if k < 30 {
			e.Xattrs = []tarx.Xattr{{Name: "user.n", Value: []byte{byte(n)}}}
		}
	case k < 57:
		e.Kind, e.Link = tarx.Symlink, rapid.SampledFrom(drawTargets).Draw(t, "target")
		e.Size = int64(len(e.Link))
	case k < 75:
		e.Kind, e.Link = tarx.Hardlink, drawPath(t)
		if k == 74 {
			e.Link = ".wh..wh.plnk/a"
		}
	case k < 88:
		e.Kind = tarx.Whiteout
	case k < 94:
		e.Kind = tarx.Opaque
		if k == 93 {
			e.Path = ""
		}
	case k < 96:
		e.Kind, e.Path = tarx.Regular, ".wh..wh.plnk/"+drawName(t)
	case k < 97:
		e.Kind, e.Path = tarx.Directory, ""
	case k < 98:
		e.Kind, e.Path = tarx.Regular, ".wh.a/"+e.Path
	default:
		e.Kind = tarx.Fifo
	}
	return e
}

func drawLayers(t *rapid.T) [][]tarx.Entry {
	layers := make([][]tarx.Entry, rapid.IntRange(1, 4).Draw(t, "layers"))
	n := 0
	var files []string // in this layer and those below
	for i := range layers {
		for range rapid.IntRange(0, 7).Draw(t, "entries") {
			n++
			e := drawEntry(t, n)
			layers[i] = append(layers[i], e)
			if e.Kind == tarx.Regular || e.Kind == tarx.Symlink || e.Kind == tarx.Hardlink {
				files = append(files, e.Path)
			}
		}
		aimLinks(t, layers[i], files)
	}
	return layers
}

// aimLinks makes most hard links point at something that may be there: with targets at
// random, nearly every layer with a link would be refused.
func aimLinks(t *rapid.T, l []tarx.Entry, files []string) {
	for i := range l {
		if l[i].Kind == tarx.Hardlink && rapid.IntRange(0, 9).Draw(t, "aim") > 0 {
			if target := rapid.SampledFrom(files).Draw(t, "file"); target != l[i].Path {
				l[i].Link = target
			}
		}
	}
}

// checkFlat compares the two.
func checkFlat(t *testing.T, rt *rapid.T, layers [][]tarx.Entry) {
	want, wantErr := flatMerge(layers)
	var list []fs.Layer
	for _, l := range layers {
		list = append(list, &fstest.Layer{Entries: l})
	}
	got, gotErr := fs.Merge(context.Background(), list, fs.Options{})
	if (wantErr == nil) != (gotErr == nil) {
		rt.Fatalf("flat application: %v\nMerge: %v\n%s", wantErr, gotErr, showLayers(layers))
	}
	if wantErr != nil {
		return
	}
	if w, g := flatDump(want), treeDump(t, got); w != g {
		rt.Fatalf("flat application:\n%s\nMerge:\n%s\n%s", w, g, showLayers(layers))
	}
}

func showLayers(layers [][]tarx.Entry) string {
	var b strings.Builder
	for i, l := range layers {
		fmt.Fprintf(&b, "layer %d\n", i)
		for _, e := range l {
			fmt.Fprintf(&b, "  kind=%d %q -> %q uid=%d\n", e.Kind, e.Path, e.Link, e.UID)
		}
	}
	return b.String()
}

// TestMergeEqualsFlatApplication is MRG-31: random layers over a tiny alphabet. The cases are the same
// in every run; SHALEFS_PROPERTY_CASES sets how many others to try instead.
func TestMergeEqualsFlatApplication(t *testing.T) {
	setFlag(t, "rapid.nofailfile", "true")
	if cases := os.Getenv("SHALEFS_PROPERTY_CASES"); cases != "" {
		setFlag(t, "rapid.checks", cases)
	} else {
		setFlag(t, "rapid.checks", "3000")
		setFlag(t, "rapid.seed", "1")
	}
	rapid.Check(t, func(rt *rapid.T) { checkFlat(t, rt, drawLayers(rt)) })
}

// setFlag sets a flag of the test binary until the test ends.
func setFlag(t *testing.T, name, value string) {
	t.Helper()
	old := flag.Lookup(name).Value.String()
	if err := flag.Set(name, value); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := flag.Set(name, old); err != nil {
			t.Error(err)
		}
	})
}
