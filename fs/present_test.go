package fs_test

import (
	"context"
	"testing"

	"github.com/shalefs/shalefs/fs"
	"github.com/shalefs/shalefs/fs/fstest"
	"github.com/shalefs/shalefs/index"
	"github.com/shalefs/shalefs/index/tarx"
)

// A presentTar has all of its bytes here, or none.
type presentTar struct {
	*fstest.Layer
	here  bool
	calls int
}

func (r *presentTar) ReadPresent(ctx context.Context, _ uint64, p []byte, off, end int64) bool {
	if r.calls++; off+int64(len(p)) > end || !r.here {
		return false
	}
	_, err := r.ReadAt(ctx, p, off)
	return err == nil
}

func TestReadPresent(t *testing.T) {
	layers, err := fstest.Layers("dir d\nfile d/f data=hello\nsym s -> d\n")
	if err != nil {
		t.Fatal(err)
	}
	r := &presentTar{Layer: layers[0].(*fstest.Layer), here: true}
	tree, err := fs.Merge(context.Background(), layers, fs.Options{})
	if err != nil {
		t.Fatal(err)
	}
	c := fs.NewContent(tree, []index.TarReader{r}, nil)
	defer c.Close() //nolint:errcheck // nothing is open
	dir, _ := tree.Lookup(tree.Root(), "d")
	file, ok := tree.Lookup(dir, "f")
	if !ok || tree.Kind(file) != tarx.Regular || tree.Size(file) != 5 || tree.Size(dir) != 0 {
		t.Fatalf("f: %v, kind %v, size %d; d: size %d", ok, tree.Kind(file), tree.Size(file), tree.Size(dir))
	}
	p := make([]byte, 6)
	if !c.ReadPresent(context.Background(), file, p[:5]) || string(p[:5]) != "hello" {
		t.Errorf("here: %q", p[:5])
	}
	r.here = false
	if c.ReadPresent(context.Background(), file, p[:5]) {
		t.Error("not here, but present")
	}
	r.here, r.calls = true, 0
	if c.ReadPresent(context.Background(), file, p) || c.ReadPresent(context.Background(), dir, p[:1]) {
		t.Error("present past the end, or in a directory")
	}
	if r.calls != 0 {
		t.Errorf("%d reads of what cannot be", r.calls)
	}
	plain := fs.NewContent(tree, []index.TarReader{r.Layer}, nil)
	defer plain.Close() //nolint:errcheck // nothing is open
	if plain.ReadPresent(context.Background(), file, p[:5]) {
		t.Error("present, from a reader that does not know")
	}
}
