package fs_test

import (
	"context"
	"testing"

	"github.com/shalefs/shalefs/fs"
	"github.com/shalefs/shalefs/fs/fstest"
	"github.com/shalefs/shalefs/index/tarx"
)

// A releasedLayer knows whether it was read since it was released.
type releasedLayer struct {
	fs.Layer
	reads int
}

func (l *releasedLayer) Entry(i int, e *tarx.Entry) error {
	l.reads++
	return l.Layer.Entry(i, e)
}

func (l *releasedLayer) Release() { l.reads = 0 }

// After the merge no layer holds memory that it can get again, also those that later layers
// looked into; nor does it after Tree.Release.
func TestRelease(t *testing.T) {
	layers, err := fstest.Layers("dir d\nsym s -> d\nfile f data=f", "file s/g data=g\nfile f data=new", "sym t -> f")
	if err != nil {
		t.Fatal(err)
	}
	counted := make([]*releasedLayer, len(layers))
	for i, l := range layers {
		counted[i] = &releasedLayer{Layer: l}
		layers[i] = counted[i]
	}
	tree, err := fs.Merge(context.Background(), layers, fs.Options{})
	if err != nil {
		t.Fatal(err)
	}
	check := func(when string) {
		t.Helper()
		for i, l := range counted {
			if l.reads != 0 {
				t.Errorf("%s: layer %d was read %d times and not released", when, i, l.reads)
			}
		}
	}
	check("after the merge")
	ino, ok := tree.Lookup(tree.Root(), "t")
	if !ok {
		t.Fatal("t is not there")
	}
	if target, err := tree.Readlink(ino); err != nil || target != "f" {
		t.Errorf("readlink: %q, %v", target, err)
	}
	if counted[2].reads == 0 {
		t.Error("the target was not read from its layer")
	}
	tree.Release()
	check("after a release")
}
