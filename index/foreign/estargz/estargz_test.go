package estargz

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	digest "github.com/opencontainers/go-digest"

	"github.com/shalefs/shalefs/index/foreign"
	"github.com/shalefs/shalefs/index/tarx"
)

type blob struct {
	*bytes.Reader
	requests int
}

func (b *blob) ReadAt(_ context.Context, p []byte, off int64) (int, error) {
	b.requests++
	return b.Reader.ReadAt(p, off)
}

func read(t testing.TB, l layer, want digest.Digest) (*foreign.Index, int, error) {
	t.Helper()
	b := &blob{Reader: bytes.NewReader(l.blob)}
	idx, err := Read(t.Context(), b, int64(len(l.blob)), want)
	return idx, b.requests, err
}

var when = time.Unix(1700000000, 0)

func headers() []tar.Header {
	return []tar.Header{
		{Typeflag: tar.TypeDir, Name: "d/", Mode: 0o1755, ModTime: when},
		{Typeflag: tar.TypeReg, Name: "d/empty", Mode: 0o600, ModTime: when},
		{Typeflag: tar.TypeReg, Name: "d/small", Size: 100, Mode: 0o4755, Uid: 1000, Gid: 5, ModTime: when, PAXRecords: map[string]string{"SCHILY.xattr.user.a": "\x00b"}},
		{Typeflag: tar.TypeReg, Name: "d/small2", Size: 3, ModTime: time.Unix(-5, 0)},
		{Typeflag: tar.TypeReg, Name: "d/.wh.gone", Size: 2, ModTime: when},
		{Typeflag: tar.TypeReg, Name: "large", Size: 25_000, Mode: 0o644, ModTime: when},
		{Typeflag: tar.TypeSymlink, Name: "s", Linkname: "../x", ModTime: when},
		{Typeflag: tar.TypeLink, Name: "h", Linkname: "d/small", ModTime: when},
		{Typeflag: tar.TypeChar, Name: "c", Devmajor: 1, Devminor: 3, ModTime: when},
		{Typeflag: tar.TypeReg, Name: ".no.prefetch.landmark", Size: 1, ModTime: when},
	}
}

// collect parses a tar into entries.
type collect struct{ entries []tarx.Entry }

func (c *collect) Entry(e *tarx.Entry) error        { c.entries = append(c.entries, *e); return nil }
func (c *collect) Content([]byte) error             { return nil }
func (c *collect) EndContent() error                { return nil }
func (c *collect) Warning(tarx.WarningKind, string) {}

// TestSameTree (FMT-12): the entries of the TOC are those of the tar, and its pieces decode
// to the files' bytes.
func TestSameTree(t *testing.T) {
	for name, s := range map[string]shape{
		"eStargz": {footer: "SG", chunk: 10_000},
		"legacy":  {footer: "legacy", chunk: 4000},
		"shared":  {footer: "SG", chunk: 10_000, shared: true},
		"whole":   {footer: "SG", chunk: 1 << 20, noDigest: true},
	} {
		t.Run(name, func(t *testing.T) {
			hs := headers()
			l := build(t, s, hs...)
			idx, requests, err := read(t, l, l.toc)
			if err != nil {
				t.Fatal(err)
			}
			if requests != 1 || idx.Exact {
				t.Errorf("%d requests, exact %v", requests, idx.Exact)
			}
			var want collect
			p := tarx.NewParser(tarx.Options{}, &want)
			if _, err := p.Write(l.tar); err != nil {
				t.Fatal(err)
			}
			last := idx.Entries[len(idx.Entries)-1]
			if last.Path != TOCName || last.Kind != tarx.Regular {
				t.Errorf("last entry %+v", last)
			}
			diff := cmp.Diff(want.entries, idx.Entries[:len(idx.Entries)-1], cmpopts.IgnoreFields(tarx.Entry{}, "Off"))
			if diff != "" {
				t.Errorf("-tar +TOC:\n%s", diff)
			}
			checkPieces(t, l, idx, hs)
			if err := idx.Validate(int64(len(l.blob))); err != nil {
				t.Error(err)
			}
		})
	}
}

func checkPieces(t *testing.T, l layer, idx *foreign.Index, hs []tar.Header) {
	t.Helper()
	files := map[string][]byte{}
	for _, h := range hs {
		files[strings.TrimSuffix(h.Name, "/")] = content(h)
	}
	for _, p := range idx.Pieces {
		var e *tarx.Entry
		for i := range idx.Entries {
			if x := &idx.Entries[i]; x.Kind == tarx.Regular && p.Off >= x.Off && p.Off+p.Len <= x.Off+x.Stored {
				e = x
			}
		}
		if e == nil {
			t.Fatalf("piece %+v is of no file", p)
		}
		got := decode(t, l.blob, p.In, p.InEnd, p.Skip, p.Len)
		if want, at := files[e.Path], p.Off-e.Off; e.Path == TOCName {
			if digest.FromBytes(got) != l.toc {
				t.Error("the TOC's own file is not the TOC")
			}
		} else if !bytes.Equal(got, want[at:at+p.Len]) {
			t.Errorf("%s: piece %d+%d decodes to other bytes", e.Path, at, p.Len)
		}
		if p.Known && p.Digest != sha256.Sum256(got) {
			t.Errorf("%s: digest", e.Path)
		}
		if e.Path != TOCName && !p.Known {
			t.Errorf("%s: no digest", e.Path)
		}
	}
}

func TestFooterForms(t *testing.T) {
	for form, want := range map[string]Footer{
		"SG":       {TOCOffset: 0x1234, Len: 51},
		"legacy":   {TOCOffset: 0x1234, Len: 47},
		"external": {Len: 46, External: true},
	} {
		b := append([]byte("the layer before it, long enough for any footer"), footer(form, 0x1234)...)
		got, err := ParseFooter(b)
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v", form, got, err)
		}
		if got, err := ParseFooter(b[len(b)-int(want.Len):]); err != nil || got != want {
			t.Errorf("%s alone: %+v, %v", form, got, err)
		}
		for n := range int(want.Len) {
			if _, err := ParseFooter(b[len(b)-n:]); !errors.Is(err, foreign.ErrNone) {
				t.Errorf("%s: the last %d bytes: %v", form, n, err)
			}
		}
	}
	bad := footer("SG", 1)
	copy(bad[16:], "-000000000000001")
	if _, err := ParseFooter(bad); !errors.Is(err, foreign.ErrInvalid) {
		t.Errorf("offset with a sign: %v", err)
	}
}

// TestLargeTOC: a TOC that the first request does not bring costs one more.
func TestLargeTOC(t *testing.T) {
	hs := make([]tar.Header, 300)
	for i := range hs {
		// Hardly compressible, 1 KiB each.
		var value []byte
		for k := range 32 {
			sum := sha256.Sum256([]byte{byte(i), byte(i >> 8), byte(k)})
			value = append(value, sum[:]...)
		}
		hs[i] = tar.Header{Typeflag: tar.TypeDir, Name: "d/", ModTime: when, PAXRecords: map[string]string{"SCHILY.xattr.user.x": string(value)}}
	}
	l := build(t, shape{chunk: 1000}, hs...)
	idx, requests, err := read(t, l, l.toc)
	if err != nil || requests != 2 || len(idx.Entries) != 301 {
		t.Errorf("%v, %d requests", err, requests)
	}
}

func TestRefused(t *testing.T) {
	set := func(i int, key string, v any) func([]map[string]any) []map[string]any {
		return func(es []map[string]any) []map[string]any {
			es[i][key] = v
			return es
		}
	}
	for _, c := range []struct {
		name string
		edit func([]map[string]any) []map[string]any
		err  string
	}{
		{"size", set(5, "size", 19_999), `invalid foreign index: "large": chunk of 10000 bytes at 10000`},
		{"chunk elsewhere", set(6, "chunkOffset", 9_999), `invalid foreign index: "large": chunk of 10000 bytes at 9999`},
		{"chunk of another file", set(6, "name", "small"), `invalid foreign index: "large": a chunk of "small"`},
		{"chunk of a symlink", set(8, "type", "chunk"), `invalid foreign index: "large": a chunk of "s"`},
		{"offset", set(2, "offset", -1), `invalid foreign index: "d/small": chunk in the layer at -1+0`},
		{"offset in the TOC", set(2, "offset", 1<<40), `invalid foreign index: "d/small": chunk in the layer at 1099511627776+0`},
		{"inner offset", set(2, "innerOffset", -7), ""},
		{"digest", set(2, "chunkDigest", "sha256:xyz"), `invalid foreign index: digest "sha256:xyz"`},
		{"type", set(2, "type", "door"), `unsupported foreign index: "d/small": entry type "door"`},
		{"time", set(2, "modtime", "noon"), `invalid foreign index: "d/small": time "noon"`},
		{"negative size", set(2, "size", -1), `invalid foreign index: "d/small": size -1`},
		{"MRG-7 name", set(2, "name", "d/.wh."), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := build(t, shape{chunk: 10_000, edit: c.edit}, headers()...)
			_, _, err := read(t, l, l.toc)
			if err == nil || c.err != "" && err.Error() != c.err {
				t.Errorf("error %v\nwant  %s", err, c.err)
			}
		})
	}
	l := build(t, shape{chunk: 10_000}, headers()...)
	other := digest.FromString("other")
	if _, _, err := read(t, l, other); !errors.Is(err, foreign.ErrDigest) {
		t.Errorf("DIG-14: a TOC with another digest: %v", err)
	}
	if _, _, err := read(t, l, "md5:1"); !errors.Is(err, foreign.ErrInvalid) {
		t.Errorf("an annotation that is no digest: %v", err)
	}
	l = build(t, shape{chunk: 10_000, footer: "external"}, headers()...)
	if _, _, err := read(t, l, ""); !errors.Is(err, foreign.ErrNone) {
		t.Errorf("external TOC: %v", err)
	}
	for name, b := range map[string][]byte{
		"no footer":                []byte("short"),
		"footer only":              footer("SG", 0),
		"TOC after the end":        footer("SG", 1<<40),
		"TOC that is no gzip":      append(make([]byte, 100), footer("SG", 50)...),
		"member that is no TOC":    append(bytes.Clone(l.blob), footer("SG", 0)...),
		"nothing":                  nil,
		"TOC that ends too early":  append(bytes.Clone(l.blob[:l.tocOff+40]), footer("SG", l.tocOff)...),
		"offset of another member": append(bytes.Clone(l.blob), footer("SG", l.starts[0])...),
	} {
		if _, _, err := read(t, layer{blob: b}, ""); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func FuzzRead(f *testing.F) {
	for _, s := range []shape{{footer: "SG", chunk: 10_000}, {footer: "legacy", chunk: 4000, shared: true}} {
		f.Add(build(f, s, headers()...).blob)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		idx, _, err := read(t, layer{blob: b}, "")
		if err != nil {
			return
		}
		if err := idx.Validate(int64(len(b))); err != nil {
			t.Fatal(err)
		}
	})
}
