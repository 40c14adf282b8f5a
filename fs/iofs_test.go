package fs_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	iofs "io/fs"
	"testing"
	stdfstest "testing/fstest"
	"testing/iotest"
	"time"

	"github.com/shalefs/shalefs/fs"
	"github.com/shalefs/shalefs/fs/fstest"
	"github.com/shalefs/shalefs/index"
)

const ioTree = `
dir d 0750 mtime=5
file d/f 04755 data=hello
link h -> d/f
file d/sub/empty
sym d/up -> ../h
sym abs -> /d/f
sym dir -> d
file big fill=100000
`

// The tree passes the standard library's own test.
func TestFS(t *testing.T) {
	tree, c := fstest.Tree(t, ioTree, "file d/.wh.nothing\nfile d/new data=new")
	if err := stdfstest.TestFS(tree.FS(c), "d/f", "h", "d/sub/empty", "d/new", "big", "d/up"); err != nil {
		t.Error(err)
	}
}

func TestFSInfo(t *testing.T) {
	tree, c := fstest.Tree(t, ioTree+"fifo p")
	fsys := tree.FS(c)
	info, err := iofs.Stat(fsys, "d/up")
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != 0o755|iofs.ModeSetuid || info.Size() != 5 || info.Name() != "up" || info.Sys().(fs.Attr).Nlink != 2 {
		t.Errorf("d/up: %v", info)
	}
	if info, err = iofs.Lstat(fsys, "d/up"); err != nil || info.Mode() != 0o777|iofs.ModeSymlink {
		t.Errorf("d/up, not followed: %v, %v", info, err)
	}
	if info, err = iofs.Stat(fsys, "dir"); err != nil || !info.IsDir() || !info.ModTime().Equal(time.Unix(5, 0)) {
		t.Errorf("dir: %v, %v", info, err)
	}
	for name, want := range map[string]error{"nope": iofs.ErrNotExist, "d/f/x": iofs.ErrNotExist, "/d": iofs.ErrInvalid, "d/": iofs.ErrInvalid} {
		if _, err := fsys.Open(name); !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", name, err, want)
		}
	}
	if _, err := iofs.ReadFile(fsys, "p"); !errors.Is(err, fs.ErrNotRegular) {
		t.Errorf("p: %v", err)
	}
}

func TestFSReader(t *testing.T) {
	tree, c := fstest.Tree(t, ioTree)
	f, err := tree.FS(c).Open("big")
	if err != nil {
		t.Fatal(err)
	}
	if err := iotest.TestReader(f.(io.ReadSeeker), fstest.Fill(100000)); err != nil {
		t.Error(err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}

// streamed counts reads that say which file they belong to.
type streamed struct {
	*fstest.Layer
	ends []int64
}

func (s *streamed) ReadStream(ctx context.Context, _ uint64, p []byte, off, end int64) (int, error) {
	s.ends = append(s.ends, end)
	return s.ReadAt(ctx, p, off)
}

// NewContent reads files from the layers' tar streams, and says where each file ends.
func TestNewContent(t *testing.T) {
	layers, err := fstest.Layers(ioTree, "file new data=new")
	if err != nil {
		t.Fatal(err)
	}
	tree, err := fs.Merge(context.Background(), layers, fs.Options{})
	if err != nil {
		t.Fatal(err)
	}
	low := &streamed{Layer: layers[0].(*fstest.Layer)}
	c := fs.NewContent(tree, []index.TarReader{low, layers[1].(*fstest.Layer)}, nil)
	defer func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}()
	for name, want := range map[string][]byte{"big": fstest.Fill(100000), "new": []byte("new"), "abs": []byte("hello")} {
		got, err := iofs.ReadFile(tree.FS(c), name)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes, %v; want %d", name, len(got), err, len(want))
		}
	}
	ino, err := tree.Resolve("big", false)
	if err != nil {
		t.Fatal(err)
	}
	ext, err := tree.Open(ino)
	if err != nil {
		t.Fatal(err)
	}
	if len(low.ends) == 0 {
		t.Fatal("no streams")
	}
	found := false
	for _, end := range low.ends {
		found = found || end == ext.Off+ext.Stored
	}
	if !found {
		t.Errorf("ends %v, want %d among them", low.ends, ext.Off+ext.Stored)
	}
	if _, ok := c.Backing(ino); ok {
		t.Error("a backing file without a cache")
	}
	if _, err := c.ReadAt(context.Background(), fs.Root, make([]byte, 1), 0); !errors.Is(err, fs.ErrNotRegular) {
		t.Errorf("the root: %v", err)
	}
}
