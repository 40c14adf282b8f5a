package fs_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/shalefs/shalefs/fs"
	"github.com/shalefs/shalefs/fs/fstest"
	"github.com/shalefs/shalefs/index/tarx"
	"github.com/shalefs/shalefs/layout"
)

func merge(t *testing.T, opt fs.Options, layers ...[]tarx.Entry) (*fs.Tree, error) {
	t.Helper()
	var list []fs.Layer
	for _, l := range layers {
		list = append(list, &fstest.Layer{Entries: l})
	}
	return fs.Merge(context.Background(), list, opt)
}

// A path of 100,000 parts is walked, listed, hidden and removed without recursion (ERR-9).
func TestDeepPath(t *testing.T) {
	deep := strings.Repeat("d/", 100_000) + "f"
	tree, err := merge(t, fs.Options{}, []tarx.Entry{{Path: deep}, {Path: deep + "2", Kind: tarx.Hardlink, Link: deep}})
	if err != nil {
		t.Fatal(err)
	}
	ino, err := tree.Resolve(deep+"2", true)
	if err != nil {
		t.Fatal(err)
	}
	if tree.Path(ino) != deep || tree.NumInodes() != 100_002 || tree.Attr(ino).Nlink != 2 {
		t.Errorf("%d inodes, path of %d bytes", tree.NumInodes(), len(tree.Path(ino)))
	}
	tree, err = merge(t, fs.Options{}, []tarx.Entry{{Path: deep}}, []tarx.Entry{{Path: "d", Kind: tarx.Whiteout}})
	if err != nil {
		t.Fatal(err)
	}
	if tree.NumInodes() != 1 || tree.NumHidden() != 1 {
		t.Errorf("%d inodes, %d hidden entries", tree.NumInodes(), tree.NumHidden())
	}
}

// Chains of hard links are flat, also those that come before their targets (ERR-9).
func TestLongLinkChains(t *testing.T) {
	const n = 100_000
	forward, backward := []tarx.Entry{}, []tarx.Entry{{Path: "f"}}
	for i := range n {
		forward = append(forward, tarx.Entry{Path: fmt.Sprint(i), Kind: tarx.Hardlink, Link: fmt.Sprint(i + 1)})
		backward = append(backward, tarx.Entry{Path: fmt.Sprint(i), Kind: tarx.Hardlink, Link: "f"})
		if i > 0 {
			backward[i+1].Link = fmt.Sprint(i - 1)
		}
	}
	forward = append(forward, tarx.Entry{Path: fmt.Sprint(n)})
	for name, l := range map[string][]tarx.Entry{"forward": forward, "backward": backward} {
		tree, err := merge(t, fs.Options{}, l)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		ino, ok := tree.Lookup(fs.Root, "5")
		if !ok || tree.Attr(ino).Nlink != n+1 || tree.NumInodes() != 2 {
			t.Errorf("%s: %d inodes, %+v", name, tree.NumInodes(), tree.Attr(ino))
		}
	}
}

// The same name again and again costs no more each time.
func TestManyDuplicates(t *testing.T) {
	var l []tarx.Entry
	for i := range 50_000 {
		l = append(l, tarx.Entry{Path: "d/same", UID: uint32(i)})
	}
	tree, err := merge(t, fs.Options{}, l, l)
	if err != nil {
		t.Fatal(err)
	}
	ino, err := tree.Resolve("d/same", true)
	if err != nil || tree.Attr(ino).UID != 49_999 || tree.NumHidden() != 99_999 {
		t.Errorf("%+v, %d hidden, %v", tree.Attr(ino), tree.NumHidden(), err)
	}
}

// Limits refuse, and name the option (ERR-6).
func TestMergeLimits(t *testing.T) {
	two := []tarx.Entry{{Path: "a"}, {Path: "b"}}
	if _, err := merge(t, fs.Options{MaxEntries: 4}, two, two); err != nil {
		t.Errorf("at the limit: %v", err)
	}
	_, err := merge(t, fs.Options{MaxEntries: 3}, two, two)
	if want := "more than 3 entries (option MaxEntries): too large"; err == nil || err.Error() != want || !errors.Is(err, layout.ErrTooLarge) {
		t.Errorf("got %v, want %s", err, want)
	}
	_, err = merge(t, fs.Options{MaxEntries: 3}, []tarx.Entry{{Path: "a/b/c/d"}})
	if want := `layer 0: entry 0: "a/b/c/d": more than 3 files and directories (option MaxEntries): too large`; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// The limits on names and targets hold for layers of any origin (ENT-17, ENT-34, MRG-7).
func TestMergeRefusesBadEntries(t *testing.T) {
	for name, c := range map[string]struct {
		e    tarx.Entry
		want string
	}{
		"name":         {tarx.Entry{Path: "d/" + strings.Repeat("n", 256)}, "name of 256 bytes, at most 255 are allowed: invalid"},
		"implied":      {tarx.Entry{Path: strings.Repeat("n", 256) + "/f"}, "name of 256 bytes, at most 255 are allowed: invalid"},
		"no target":    {tarx.Entry{Path: "s", Kind: tarx.Symlink}, "symlink target of 0 bytes, 1 to 4095 are allowed: invalid"},
		"long target":  {tarx.Entry{Path: "s", Kind: tarx.Symlink, Link: strings.Repeat("t", 4096)}, "symlink target of 4096 bytes, 1 to 4095 are allowed: invalid"},
		"bare whiteou": {tarx.Entry{Kind: tarx.Whiteout}, "whiteout without a name: invalid"},
	} {
		for layers := 1; layers <= 2; layers++ {
			all := make([][]tarx.Entry, layers)
			all[layers-1] = []tarx.Entry{c.e}
			_, err := merge(t, fs.Options{}, all...)
			want := fmt.Sprintf("layer %d: entry 0: %q: %s", layers-1, c.e.Path, c.want)
			if err == nil || err.Error() != want {
				t.Errorf("%s: got %v, want %s", name, err, want)
			}
		}
	}
}

// Entries that a parser would have skipped are skipped with a warning, however many (MRG-15, ENT-19, ERR-10).
func TestMergeWarnings(t *testing.T) {
	var l []tarx.Entry
	for i := range 10_000 {
		l = append(l, tarx.Entry{Path: fmt.Sprintf(".wh.f/%d", i)})
	}
	l = append(l, tarx.Entry{Kind: tarx.Regular}, tarx.Entry{Path: "k"})
	tree, err := merge(t, fs.Options{}, l)
	if err != nil {
		t.Fatal(err)
	}
	w := tree.Warnings()
	if len(w) != 2 || w[0].Kind != fs.WarnWhiteoutPath || w[0].Count != 10_000 || len(w[0].Paths) != 20 ||
		w[1].Kind != fs.WarnRootNotDirectory || w[1].Count != 1 || tree.NumInodes() != 2 {
		t.Errorf("got %+v", w)
	}
}

// Inode numbers are a function of the layers (ENT-36), and so is all else (MRG-31).
func TestMergeIsDeterministic(t *testing.T) {
	layers := []fs.Layer{bigLayer(2000), bigLayer(3000)}
	a, err := fs.Merge(context.Background(), layers, fs.Options{})
	if err != nil {
		t.Fatal(err)
	}
	b, err := fs.Merge(context.Background(), layers, fs.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for ino := fs.Root; ino <= a.MaxIno(); ino++ {
		if a.Valid(ino) != b.Valid(ino) || a.Attr(ino) != b.Attr(ino) || a.Path(ino) != b.Path(ino) {
			t.Fatalf("inode %d: %+v and %+v", ino, a.Attr(ino), b.Attr(ino))
		}
	}
}

// Whatever is reached by a name has one number, and no two inodes share one (ENT-36).
func TestInodeNumbers(t *testing.T) {
	tree, _ := fstest.Tree(t, "file b/x\nlink a -> b/x\nlink b/y -> a\nfile c\ndir d/e")
	if tree.Root() != 1 || tree.NumInodes() != 6 || tree.MaxIno() != 8 {
		t.Errorf("%d inodes, greatest %d", tree.NumInodes(), tree.MaxIno())
	}
	seen := map[fs.Ino][]string{}
	for _, p := range []string{"", "a", "b", "b/x", "b/y", "c", "d", "d/e"} {
		ino, err := tree.Resolve(p, true)
		if err != nil || !tree.Valid(ino) {
			t.Fatalf("%q: %d, %v", p, ino, err)
		}
		seen[ino] = append(seen[ino], p)
	}
	if len(seen) != 6 || len(seen[2]) != 3 {
		t.Errorf("got %v", seen)
	}
}

// errLayer is a layer whose index is damaged.
type errLayer struct{ fstest.Layer }

var errDamaged = errors.New("damaged")

func (errLayer) NumEntries() int { return 3 }
func (errLayer) Entry(i int, _ *tarx.Entry) error {
	if i == 2 {
		return errDamaged
	}
	return nil
}

// A damaged layer gives no tree (ERR-1).
func TestMergeReportsLayerErrors(t *testing.T) {
	_, err := fs.Merge(context.Background(), []fs.Layer{&fstest.Layer{}, &errLayer{}}, fs.Options{})
	if want := "layer 1: entry 2: damaged"; err == nil || err.Error() != want || !errors.Is(err, errDamaged) {
		t.Errorf("got %v, want %s", err, want)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := fs.Merge(ctx, []fs.Layer{bigLayer(1000)}, fs.Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}

// No symlink is followed when a tree is read, but by Resolve, inside the root (MRG-32).
func TestResolve(t *testing.T) {
	tree, _ := fstest.Tree(t, `
dir a/b
file a/b/f
sym up -> ../../a
sym abs -> /a/b
sym self -> self
sym file -> a/b/f
sym dangling -> nope
sym slash -> a/b/f/
`)
	for path, want := range map[string]string{
		"": "/", "/": "/", "..": "/", "a/..": "/", "a/b/f": "a/b/f", "/a//b/./f": "a/b/f",
		"up/b/f": "a/b/f", "abs/f": "a/b/f", "abs/..": "a", "file": "a/b/f", "../../abs": "a/b",
	} {
		ino, err := tree.Resolve(path, false)
		if err != nil || tree.Path(ino) != want {
			t.Errorf("%q: %v, %v; want %q", path, ino, err, want)
		}
	}
	for path, want := range map[string]string{
		"nope": "nope: file does not exist", "a/b/f/x": "a/b/f/x: not a directory", "file/x": "file/x: not a directory",
		"self": "self: too many symlinks", "dangling": "dangling: file does not exist", "slash": "slash: not a directory",
		"a/b/f/": "a/b/f/: not a directory",
	} {
		if _, err := tree.Resolve(path, false); err == nil || err.Error() != want {
			t.Errorf("%q: got %v, want %s", path, err, want)
		}
	}
	if ino, err := tree.Resolve("self", true); err != nil || tree.Kind(ino) != tarx.Symlink {
		t.Errorf("self, not followed: %v", err)
	}
}
