package fs_test

import (
	"context"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/shalefs/shalefs/fs"
	"github.com/shalefs/shalefs/fs/fstest"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestGolden applies the layers in testdata, one file for each rule of the checklist,
// and compares the tree. A file holds cases; each has layers NAME/0, NAME/1 ... in the
// format of package fstest, and NAME/want.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d golden files, %v", len(files), err)
	}
	for _, name := range files {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) { goldenFile(t, name) })
	}
}

func goldenFile(t *testing.T, name string) {
	ar, err := txtar.ParseFile(name)
	if err != nil {
		t.Fatal(err)
	}
	changed := false
	for _, c := range caseNames(t, ar) {
		t.Run(c, func(t *testing.T) {
			got := applyCase(t, ar, c)
			i := slices.IndexFunc(ar.Files, func(f txtar.File) bool { return f.Name == c+"/want" })
			switch {
			case i >= 0 && string(ar.Files[i].Data) == got:
			case !*update && i < 0:
				t.Errorf("no golden tree; got\n%s", got)
			case !*update:
				t.Errorf("got\n%s\nwant\n%s", got, ar.Files[i].Data)
			case i < 0:
				last := 0
				for j, f := range ar.Files {
					if strings.HasPrefix(f.Name, c+"/") {
						last = j + 1
					}
				}
				ar.Files = slices.Insert(ar.Files, last, txtar.File{Name: c + "/want", Data: []byte(got)})
				changed = true
			default:
				ar.Files[i].Data = []byte(got)
				changed = true
			}
		})
	}
	if changed {
		if err := os.WriteFile(name, txtar.Format(ar), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func caseNames(t *testing.T, ar *txtar.Archive) []string {
	t.Helper()
	var names []string
	for _, f := range ar.Files {
		c, _, ok := strings.Cut(f.Name, "/")
		if !ok {
			t.Fatalf("file %q is not CASE/LAYER", f.Name)
		}
		if !slices.Contains(names, c) {
			names = append(names, c)
		}
	}
	return names
}

// applyCase merges the layers of a case and describes the tree, or the error.
func applyCase(t *testing.T, ar *txtar.Archive, c string) string {
	t.Helper()
	var texts []string
	for _, f := range ar.Files {
		if name, ok := strings.CutPrefix(f.Name, c+"/"); ok && name != "want" {
			texts = append(texts, string(f.Data))
		}
	}
	layers, err := fstest.Layers(texts...)
	if err != nil {
		return "error: " + err.Error() + "\n"
	}
	tree, err := fs.Merge(context.Background(), layers, fs.Options{})
	if err != nil {
		return "error: " + err.Error() + "\n"
	}
	dump, err := fstest.Dump(tree, fstest.Content(tree, layers))
	if err != nil {
		t.Fatal(err)
	}
	report, err := fstest.Report(tree)
	if err != nil {
		t.Fatal(err)
	}
	var dropped string
	for _, l := range layers {
		for _, w := range l.(*fstest.Layer).Warnings {
			dropped += "tar: " + w + "\n"
		}
	}
	return dump + report + dropped
}
