package fs_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	iofs "io/fs"
	"os"
	"strings"
	"testing"
	"time"

	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/shalefs/shalefs/fs"
	"github.com/shalefs/shalefs/fs/fstest"
	"github.com/shalefs/shalefs/index"
	"github.com/shalefs/shalefs/layout/layouttest"
	"github.com/shalefs/shalefs/lazy"
	"github.com/shalefs/shalefs/lazy/cache"
)

// A whole stack: a gzip layer in a store, its index, a loader with a cache, the tree. Large
// files get a backing file once they are complete and sealed; others never.
func TestBacking(t *testing.T) {
	ctx := context.Background()
	const size = 3<<20 + 100
	tarBytes, err := fstest.Tar(fmt.Sprintf("file small data=small\nfile large fill=%d\nfile after data=after", size))
	if err != nil {
		t.Fatal(err)
	}
	gz := layouttest.Gzip(tarBytes)
	store := layouttest.Image()
	desc := store.Add(ocispec.MediaTypeImageLayerGzip, gz)
	blob, err := store.Blob(ctx, desc)
	if err != nil {
		t.Fatal(err)
	}
	b, err := index.Build(ctx, blob, index.Want{DiffID: digest.FromBytes(tarBytes)}, index.BuildOptions{})
	if err != nil {
		t.Fatal(err)
	}
	l, err := index.OpenBytes(b)
	if err != nil {
		t.Fatal(err)
	}
	store2, err := cache.Open(t.TempDir(), cache.Options{})
	if err != nil {
		t.Fatal(err)
	}
	g := lazy.NewGroup(lazy.Options{})
	loader := g.Loader(blob, l, store2, lazy.LoaderOptions{})
	tree, err := fs.Merge(ctx, []fs.Layer{l}, fs.Options{})
	if err != nil {
		t.Fatal(err)
	}
	c := fs.NewContent(tree, []index.TarReader{loader}, store2)
	defer func() {
		for _, x := range []io.Closer{c, loader, g, store2, l} {
			if err := x.Close(); err != nil {
				t.Error(err)
			}
		}
	}()

	ino := func(name string) fs.Ino {
		i, err := tree.Resolve(name, true)
		if err != nil {
			t.Fatal(err)
		}
		return i
	}
	if _, ok := c.Backing(ino("large")); ok {
		t.Fatal("a backing file before anything was read")
	}
	fsys := tree.FS(c)
	for name, want := range map[string][]byte{"large": fstest.Fill(size), "small": []byte("small"), "after": []byte("after")} {
		got, err := iofs.ReadFile(fsys, name)
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%s: %d bytes, %v", name, len(got), err)
		}
	}
	if _, ok := c.Backing(ino("small")); ok {
		t.Error("a backing file of a small file")
	}
	if _, ok := c.Backing(fs.Root); ok {
		t.Error("a backing file of the root")
	}
	var f fs.BackingFile
	for end := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) { // sealing goes on in the background
		var ok bool
		if f, ok = c.Backing(ino("large")); ok {
			break
		}
		if time.Now().After(end) {
			t.Fatal("no backing file after a minute")
		}
	}
	got, err := io.ReadAll(io.NewSectionReader(f.(interface{ io.ReaderAt }), 0, size+1))
	if err != nil || !bytes.Equal(got, fstest.Fill(size)) {
		t.Errorf("the backing file has %d bytes, or others: %v", len(got), err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	// A layer that was refuted backs nothing any more.
	loader.Fail(os.ErrInvalid)
	if _, ok := c.Backing(ino("large")); ok {
		t.Error("a backing file of a refuted layer")
	}
	if _, err := iofs.ReadFile(fsys, "small"); err == nil || !strings.Contains(err.Error(), `layer 0: "small" at 0`) {
		t.Errorf("a refuted layer: %v", err)
	}
}
