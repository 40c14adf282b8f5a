package fstest

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/shalefs/shalefs/fs"
	"github.com/shalefs/shalefs/index/tarx"
)

// Dump writes a tree as text, one name a line in the order of the places. A further
// name of a hard-linked file is a line "link NAME = FIRST NAME".
func Dump(t *fs.Tree, c fs.Content) (string, error) {
	var b strings.Builder
	dirs := []string{""}
	inos := []fs.Ino{fs.Root}
	first := map[fs.Ino]string{}
	if err := dumpName(&b, t, c, "", fs.Root, first); err != nil {
		return "", err
	}
	for i := 0; i < len(dirs); i++ {
		var err error
		t.ReadDir(inos[i], 0, func(_ int, name string, ino fs.Ino) bool {
			path := name
			if dirs[i] != "" {
				path = dirs[i] + "/" + name
			}
			if t.Kind(ino) == tarx.Directory {
				dirs, inos = append(dirs, path), append(inos, ino)
			}
			err = dumpName(&b, t, c, path, ino, first)
			return err == nil
		})
		if err != nil {
			return "", err
		}
	}
	return b.String(), nil
}

func dumpName(b *strings.Builder, t *fs.Tree, c fs.Content, path string, ino fs.Ino, first map[fs.Ino]string) error {
	if f, ok := first[ino]; ok {
		fmt.Fprintf(b, "link %s = %s\n", word(path), word(f))
		return nil
	}
	first[ino] = path
	a := t.Attr(ino)
	fmt.Fprintf(b, "%s %s", kindWords[a.Kind], word(path))
	switch a.Kind {
	case tarx.Symlink:
		target, err := t.Readlink(ino)
		if err != nil {
			return err
		}
		fmt.Fprintf(b, " -> %s", word(target))
	case tarx.Char, tarx.Block:
		fmt.Fprintf(b, " dev=%d:%d", a.Major, a.Minor)
	}
	fmt.Fprintf(b, " %04o %d:%d mtime=%s links=%d", a.Perm, a.UID, a.GID, mtime(a), a.Nlink)
	if a.Kind == tarx.Regular {
		p := make([]byte, min(a.Size, 64))
		if n, err := c.ReadAt(context.Background(), ino, p, 0); n < len(p) {
			return fmt.Errorf("%q: %w", path, err)
		}
		fmt.Fprintf(b, " size=%d blocks=%d data=%q", a.Size, a.Blocks, p)
	}
	xattrs, err := t.Xattrs(ino)
	if err != nil {
		return err
	}
	for _, x := range xattrs {
		fmt.Fprintf(b, " x.%s=%q", word(x.Name), x.Value)
	}
	b.WriteByte('\n')
	return nil
}

var kindWords = [...]string{
	tarx.Regular: "file", tarx.Directory: "dir", tarx.Symlink: "sym", tarx.Char: "chr", tarx.Block: "blk", tarx.Fifo: "fifo",
}

func mtime(a fs.Attr) string {
	s := strconv.FormatInt(a.MTime, 10)
	if a.MTimeNano != 0 {
		s += fmt.Sprintf(".%09d", a.MTimeNano)
	}
	return s
}

// word quotes what would not be read back as one plain word.
func word(s string) string {
	if s == "" {
		return `""`
	}
	for _, r := range s {
		if r <= ' ' || r > '~' || r == '"' || r == '\\' {
			return strconv.Quote(s)
		}
	}
	if len(s) > 300 {
		return fmt.Sprintf("%s...(%d bytes)", s[:20], len(s))
	}
	return s
}

// Report lists what a tree says about its layers: warnings, differences, hidden entries.
func Report(t *fs.Tree) (string, error) {
	var b strings.Builder
	for _, f := range t.Warnings() {
		fmt.Fprintf(&b, "warning: layer %d: %s: %d: %q\n", f.Layer, f.Kind.Name(), f.Count, f.Paths)
	}
	for _, f := range t.Differences() {
		fmt.Fprintf(&b, "difference: layer %d: %s: %d: %q\n", f.Layer, f.Kind.Name(), f.Count, f.Paths)
	}
	for h := range t.Hidden {
		var e tarx.Entry
		if err := t.HiddenEntry(h, &e); err != nil {
			return "", err
		}
		fmt.Fprintf(&b, "hidden: %s of layer %d by layer %d: %s\n", word(e.Path), h.Layer, h.By, h.Why)
	}
	return b.String(), nil
}
