package foreign

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/shalefs/shalefs/index/tarx"
)

func TestCollector(t *testing.T) {
	var idx Index
	c := NewCollector(&idx)
	for _, r := range []*Record{
		{Type: "dir", Name: "./d/", Mode: 0o41755, UID: 3000000000, MTime: -3, MTimeNano: 500_000_000},
		{Type: "reg", Name: "d/f", Size: 1 << 40, Mode: 0o644, GID: -1, MTime: -1, MTimeNano: 1},
		{Type: "reg", Name: "", Size: 7},
		{Type: "reg", Name: "d/" + strings.Repeat("n", 255), MTime: 1 << 40, Xattrs: map[string]string{"user.b": "", "user.a": "=\n\x00", "trusted.x": "y"}},
		{Type: "symlink", Name: "s", Link: "/x y", Mode: 0o644},
		{Type: "hardlink", Name: "h", Link: "/d/../d/f"},
		{Type: "char", Name: "c", Major: 4095, Minor: 1 << 19},
		{Type: "fifo", Name: ".wh.p"},
	} {
		if _, err := c.Add(r); err != nil {
			t.Fatal(err)
		}
	}
	want := []tarx.Entry{
		{Path: "d", Kind: tarx.Directory, Mode: 0o1755, UID: 3000000000, MTime: -3, MTimeNano: 500_000_000},
		{Path: "d/f", Kind: tarx.Regular, Mode: 0o644, MTime: -1, MTimeNano: 1, Size: 1 << 40, Stored: 1 << 40},
		{Path: "d/" + strings.Repeat("n", 255), Kind: tarx.Regular, MTime: 1 << 40, Xattrs: []tarx.Xattr{{Name: "user.a", Value: []byte("=\n\x00")}, {Name: "user.b", Value: []byte{}}}},
		{Path: "s", Kind: tarx.Symlink, Mode: 0o777, Size: 4, Link: "/x y"},
		{Path: "h", Kind: tarx.Hardlink, Link: "d/f"},
		{Path: "c", Kind: tarx.Char, Major: 4095, Minor: 1 << 19},
		{Path: "p", Kind: tarx.Whiteout},
	}
	got := append([]tarx.Entry(nil), idx.Entries...)
	var last int64
	for i := range got {
		if got[i].Off <= last {
			t.Errorf("%q at %d, after %d", got[i].Path, got[i].Off, last)
		}
		last, got[i].Off = got[i].Off+got[i].Stored, 0
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	warnings := []Warning{{tarx.WarnOwner, "d/f"}, {tarx.WarnRoot, ""}, {tarx.WarnXattrHeld, want[2].Path}}
	if diff := cmp.Diff(warnings, idx.Warnings); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	for _, r := range []*Record{
		{Type: "chunk", Name: "x"}, {Type: "reg", Name: "x", Size: -1}, {Type: "char", Name: "x", Major: 4096},
		{Type: "char", Name: "x", Minor: -1}, {Type: "symlink", Name: "x"}, {Type: "reg", Name: "a\x00b"},
	} {
		if _, err := NewCollector(&Index{}).Add(r); err == nil {
			t.Errorf("taken: %+v", *r)
		}
	}
}

// TestCollectorKeeps: what goes in comes out.
func TestCollectorKeeps(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := &Record{
			Type: "reg", Name: rapid.StringMatching(`[a-z\n=]{1,120}`).Draw(t, "name"),
			Mode: rapid.Int64Range(0, 0o7777).Draw(t, "mode"), UID: rapid.Int64Range(0, 1<<32-2).Draw(t, "uid"),
			Size: rapid.Int64Range(0, 1<<40).Draw(t, "size"), MTime: rapid.Int64().Draw(t, "mtime"),
			MTimeNano: rapid.Uint32Range(0, 999_999_999).Draw(t, "nsec"),
			Xattrs:    map[string]string{"user.x": rapid.String().Draw(t, "value")},
		}
		if r.MTime == -1<<63 { // has no whole second before it
			r.MTime++
		}
		e, err := NewCollector(&Index{}).Add(r)
		if err != nil {
			t.Fatal(err)
		}
		got := Record{Type: "reg", Name: e.Path, Mode: int64(e.Mode), UID: int64(e.UID), Size: e.Size, MTime: e.MTime, MTimeNano: e.MTimeNano,
			Xattrs: map[string]string{e.Xattrs[0].Name: string(e.Xattrs[0].Value)}}
		if diff := cmp.Diff(*r, got); diff != "" {
			t.Fatalf("-in +out:\n%s", diff)
		}
	})
}

func TestParseTOC(t *testing.T) {
	for doc, want := range map[string]error{
		`{"version":1}`: nil, `{"version":2}`: ErrUnsupported, `{}`: ErrUnsupported, `[`: ErrInvalid,
		`{"version":1,"entries":[{"type":"chunk","name":"f"}]}`:                                                                             nil,
		`{"version":1,"entries":[{"type":"dir","name":"d"},{"type":"chunk","name":"d"}]}`:                                                   ErrInvalid,
		`{"version":1,"entries":[{"type":"reg","name":"f"},{"type":"chunk","name":"f"}]}`:                                                   ErrInvalid,
		`{"version":1,"entries":[{"type":"reg","name":"f","size":5,"offset":1,"chunkSize":4}]}`:                                             ErrInvalid,
		`{"version":1,"entries":[{"type":"reg","name":"f","size":5,"offset":100}]}`:                                                         ErrInvalid,
		`{"version":1,"entries":[{"type":"reg","name":"f","size":5,"offset":99}]}`:                                                          nil,
		`{"version":1,"entries":[{"type":"reg","name":"f","size":5,"offset":1,"chunkSize":9223372036854775807}]}`:                           ErrInvalid,
		`{"version":1,"entries":[{"type":"reg","name":"f","size":5,"digest":"sha256:00"}]}`:                                                 ErrInvalid,
		`{"version":1,"entries":[{"type":"reg","name":"f","size":5,"chunkSize":3},{"type":"chunk","name":"f","offset":9,"chunkOffset":3}]}`: nil,
	} {
		if _, err := ParseTOC([]byte(doc), 100); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", doc, err, want)
		}
	}
	// A chunk without its file is no file.
	toc, err := ParseTOC([]byte(`{"version":1,"entries":[{"type":"chunk","name":"f"}]}`), 100)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := toc.Index(); !errors.Is(err, ErrUnsupported) {
		t.Errorf("a chunk without its file: %v", err)
	}
}

func TestValidate(t *testing.T) {
	good := func() *Index {
		return &Index{
			Size:    2000,
			Entries: []tarx.Entry{{Kind: tarx.Regular, Off: 512, Stored: 100}, {Kind: tarx.Directory}, {Kind: tarx.Regular, Off: 1536, Stored: 9}},
			Pieces:  []Piece{{Off: 512, Len: 60, In: 5, InEnd: 9}, {Off: 572, Len: 40, In: 9, InEnd: 20}, {Off: 1536, Len: 9, In: 9, InEnd: 20, Skip: 40}},
			Seeks:   []Seek{{}, {Out: 100, In: 5, Bit: 7}},
		}
	}
	if err := good().Validate(20); err != nil {
		t.Error(err)
	}
	for name, edit := range map[string]func(x *Index){
		"entry past the end":  func(x *Index) { x.Size = 1540 },
		"gap":                 func(x *Index) { x.Pieces[0].Len = 50 },
		"overlap":             func(x *Index) { x.Pieces[0].Len = 70 },
		"missing":             func(x *Index) { x.Pieces = x.Pieces[:2] },
		"piece of no file":    func(x *Index) { x.Entries = x.Entries[:2] },
		"piece past the blob": func(x *Index) { x.Pieces[1].InEnd = 21 },
		"empty range":         func(x *Index) { x.Pieces[1].InEnd = 9 },
		"negative skip":       func(x *Index) { x.Pieces[1].Skip = -1 },
		"order of seeks":      func(x *Index) { x.Seeks[0].Out = 100 },
		"bit":                 func(x *Index) { x.Seeks[1].Bit = 8 },
		"seek past the blob":  func(x *Index) { x.Seeks[1].In = 21 },
	} {
		x := good()
		edit(x)
		if err := x.Validate(20); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

type readerAt struct{ r *bytes.Reader }

func (r readerAt) ReadAt(_ context.Context, p []byte, off int64) (int, error) {
	return r.r.ReadAt(p, off)
}

func TestReadRange(t *testing.T) {
	r := readerAt{bytes.NewReader([]byte("0123456789"))}
	for _, c := range []struct {
		size, off, n int64
		want         string
		err          error
	}{
		{10, 3, 4, "3456", nil}, {10, 6, 4, "6789", nil}, {10, 10, 0, "", nil},
		{10, 7, 4, "", ErrInvalid}, {10, -1, 4, "", ErrInvalid}, {10, 1 << 62, 4, "", ErrInvalid}, {10, 0, -1, "", ErrInvalid},
		{1 << 40, 0, MaxPacked + 1, "", ErrTooLarge}, {20, 6, 10, "", io.ErrUnexpectedEOF},
	} {
		b, err := ReadRange(t.Context(), r, c.size, c.off, c.n)
		if string(b) != c.want || !errors.Is(err, c.err) {
			t.Errorf("%+v: %q, %v", c, b, err)
		}
	}
}

func FuzzParseTOC(f *testing.F) {
	f.Add([]byte(`{"version":1,"entries":[{"type":"reg","name":"f","size":5,"chunkSize":3,"xattrs":{"user.a":"AA=="}},{"type":"chunk","name":"f","offset":9,"chunkOffset":3}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		toc, err := ParseTOC(b, 1000)
		if err != nil {
			return
		}
		if idx, err := toc.Index(); err == nil {
			if err := idx.Validate(1000); err != nil {
				t.Fatal(err)
			}
		}
	})
}
