package zstdchunked

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"maps"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/klauspost/compress/zstd"
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

func read(t testing.TB, l layer, p Position) (*foreign.Index, int, error) {
	t.Helper()
	b := &blob{Reader: bytes.NewReader(l.blob)}
	idx, err := Read(t.Context(), b, int64(len(l.blob)), p)
	return idx, b.requests, err
}

func headers() []tar.Header {
	when := time.Unix(1700000000, 0)
	return []tar.Header{
		{Typeflag: tar.TypeDir, Name: "d/", Mode: 0o1755, ModTime: when},
		{Typeflag: tar.TypeReg, Name: "d/empty", Mode: 0o600, ModTime: when},
		{Typeflag: tar.TypeReg, Name: "d/small", Size: 100, Mode: 0o4755, Uid: 1000, Gid: 5, ModTime: when, PAXRecords: map[string]string{"SCHILY.xattr.user.a": "\x00b"}},
		{Typeflag: tar.TypeReg, Name: "d/.wh.gone", Size: 2, ModTime: when},
		{Typeflag: tar.TypeReg, Name: ".wh.x/inside", Size: 9, ModTime: when},
		{Typeflag: tar.TypeReg, Name: "large", Size: 25_000, Mode: 0o644, ModTime: time.Unix(1700000000, 5).UTC(), Format: tar.FormatPAX},
		{Typeflag: tar.TypeSymlink, Name: "s", Linkname: "../x", ModTime: when},
		{Typeflag: tar.TypeLink, Name: "h", Linkname: "d/small", ModTime: when},
	}
}

type collect struct{ entries []tarx.Entry }

func (c *collect) Entry(e *tarx.Entry) error        { c.entries = append(c.entries, *e); return nil }
func (c *collect) Content([]byte) error             { return nil }
func (c *collect) EndContent() error                { return nil }
func (c *collect) Warning(tarx.WarningKind, string) {}

// TestBothDialects (FMT-13): the entries are those of the tar, exactly so with tar-split, and
// the pieces decode to the tar's bytes.
func TestBothDialects(t *testing.T) {
	for name, containers := range map[string]bool{"containers": true, "stargz": false} {
		t.Run(name, func(t *testing.T) {
			l := build(t, containers, 10_000, nil, headers()...)
			pos, err := FromAnnotations(l.ann)
			if err != nil || !pos.Bound() {
				t.Fatal(pos, err)
			}
			foot, err := ParseFooter(l.blob[len(l.blob)-min(len(l.blob), FooterBytes):])
			if err != nil || foot.TOC != pos.TOC || foot.TarSplit != pos.TarSplit || foot.Bound() {
				t.Errorf("footer %+v, annotations %+v, %v", foot, pos, err)
			}
			idx, requests, err := read(t, l, pos)
			if err != nil {
				t.Fatal(err)
			}
			if requests != 1 || idx.Exact != containers || len(idx.Warnings) != 1 {
				t.Errorf("%d requests, exact %v, warnings %v", requests, idx.Exact, idx.Warnings)
			}
			var want collect
			p := tarx.NewParser(tarx.Options{}, &want)
			if _, err := p.Write(l.tar); err != nil {
				t.Fatal(err)
			}
			ignore := []string{}
			if !containers {
				ignore = append(ignore, "Off", "MTimeNano")
			}
			if diff := cmp.Diff(want.entries, idx.Entries, cmpopts.IgnoreFields(tarx.Entry{}, ignore...)); diff != "" {
				t.Errorf("-tar +index:\n%s", diff)
			}
			if containers && idx.Size != int64(len(l.tar)) {
				t.Errorf("size %d, tar of %d", idx.Size, len(l.tar))
			}
			if err := idx.Validate(int64(len(l.blob))); err != nil {
				t.Error(err)
			}
			checkPieces(t, l, idx, want.entries)
		})
	}
}

func checkPieces(t *testing.T, l layer, idx *foreign.Index, entries []tarx.Entry) {
	t.Helper()
	// Where a piece is in the tar: its file has the same number there.
	for _, p := range idx.Pieces {
		for i, e := range idx.Entries {
			if e.Kind != tarx.Regular || p.Off < e.Off || p.Off >= e.Off+e.Stored {
				continue
			}
			at := entries[i].Off + p.Off - e.Off
			dec, err := zstd.NewReader(bytes.NewReader(l.blob[p.In:p.InEnd]))
			if err != nil {
				t.Fatal(err)
			}
			got := make([]byte, p.Skip+p.Len)
			if _, err := io.ReadFull(dec, got); err != nil {
				t.Fatal(err)
			}
			dec.Close()
			if got = got[p.Skip:]; !bytes.Equal(got, l.tar[at:at+p.Len]) {
				t.Errorf("%s: piece at %d decodes to other bytes", e.Path, p.Off)
			}
			if !p.Known || p.Digest != sha256.Sum256(got) {
				t.Errorf("%s: digest of the piece at %d", e.Path, p.Off)
			}
		}
	}
}

func TestRefused(t *testing.T) {
	type maps = []map[string]any
	for _, c := range []struct {
		name string
		edit func(entries, split maps) (maps, maps)
		err  string
	}{
		{"tar-split of another size", func(e, s maps) (maps, maps) { s[5]["size"] = 99; return e, s }, `invalid foreign index: tar-split: "d/small" has 99 bytes, but not in the tar`},
		{"TOC of another size", func(e, s maps) (maps, maps) { e[2]["size"] = 99; return e, s }, `invalid foreign index: tar-split and TOC differ at "d/small"`},
		{"content in a segment", func(e, s maps) (maps, maps) {
			s[5]["size"], s[6]["payload"] = 0, append(make([]byte, 100), s[6]["payload"].([]byte)...)
			return e, s
		}, `invalid foreign index: tar-split: a file's content in a segment`},
		{"tar-split of another name", func(e, s maps) (maps, maps) { s[5]["name_raw"] = []byte("q"); return e, s }, `invalid foreign index: tar-split and TOC differ at "q"`},
		{"content where there is none", func(e, s maps) (maps, maps) { s[1]["size"] = 9; return e, s }, `invalid foreign index: tar-split: "d/" has 9 bytes, but not in the tar`},
		{"content that lacks", func(e, s maps) (maps, maps) { return e, s[:5] }, `tar offset 2560, "d/small": cut content: unexpected EOF`},
		{"file that lacks", func(e, s maps) (maps, maps) {
			return append(e, map[string]any{"type": "reg", "name": "z", "size": 1, "offset": 9}), s
		}, `invalid foreign index: tar-split lacks "z"`},
		{"type", func(e, s maps) (maps, maps) { s[0]["type"] = 3; return e, s }, `unsupported foreign index: tar-split entry of type 3`},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := build(t, true, 10_000, c.edit, headers()...)
			pos, err := FromAnnotations(l.ann)
			if err != nil {
				t.Fatal(err)
			}
			if _, _, err := read(t, l, pos); err == nil || err.Error() != c.err {
				t.Errorf("error %v\nwant  %s", err, c.err)
			}
		})
	}
}

// TestDigests (DIG-14): what the annotations bind is checked.
func TestDigests(t *testing.T) {
	l := build(t, true, 10_000, nil, headers()...)
	pos, err := FromAnnotations(l.ann)
	if err != nil {
		t.Fatal(err)
	}
	other := pos
	other.Checksum = digest.FromString("other")
	if _, _, err := read(t, l, other); !errors.Is(err, foreign.ErrDigest) {
		t.Errorf("manifest: %v", err)
	}
	broken := layer{blob: bytes.Clone(l.blob)}
	broken.blob[pos.TarSplit.Off+9] ^= 1
	if _, _, err := read(t, broken, pos); !errors.Is(err, foreign.ErrDigest) {
		t.Errorf("tar-split: %v", err)
	}
	s := build(t, false, 10_000, nil, headers()...)
	if pos, err = FromAnnotations(s.ann); err != nil {
		t.Fatal(err)
	}
	pos.JSON = digest.FromString("other")
	if _, _, err := read(t, s, pos); !errors.Is(err, foreign.ErrDigest) {
		t.Errorf("TOC: %v", err)
	}
	pos.JSON, pos.TOC.Unpacked = "", pos.TOC.Unpacked-1
	if _, _, err := read(t, s, pos); !errors.Is(err, foreign.ErrInvalid) {
		t.Errorf("longer than it says: %v", err)
	}
	pos.TOC.Unpacked = foreign.MaxUnpacked + 1
	if _, _, err := read(t, s, pos); !errors.Is(err, foreign.ErrTooLarge) {
		t.Errorf("too large unpacked: %v", err)
	}
	pos.TOC.Len = foreign.MaxPacked + 1
	if _, _, err := read(t, s, pos); !errors.Is(err, foreign.ErrTooLarge) {
		t.Errorf("too large packed: %v", err)
	}
	pos.TOC = Span{Off: 1 << 60, Len: 5}
	if _, _, err := read(t, s, pos); !errors.Is(err, foreign.ErrInvalid) {
		t.Errorf("past the end: %v", err)
	}
}

func TestFromAnnotations(t *testing.T) {
	l := build(t, true, 10_000, nil, headers()...)
	for _, c := range []struct {
		name, key, value string
		want             error
	}{
		{"fields", annPosition, "1:2:3", foreign.ErrInvalid},
		{"number", annPosition, "1:2:x:1", foreign.ErrInvalid},
		{"sign", annPosition, "-1:2:3:1", foreign.ErrInvalid},
		{"type", annPosition, "1:2:3:2", foreign.ErrUnsupported},
		{"tar-split", annTarSplit, "1:2", foreign.ErrInvalid},
		{"checksum", annChecksum, "x", foreign.ErrInvalid},
	} {
		ann := maps.Clone(l.ann)
		ann[annContainers+c.key] = c.value
		if _, err := FromAnnotations(ann); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	if _, err := FromAnnotations(nil); !errors.Is(err, foreign.ErrNone) {
		t.Errorf("none: %v", err)
	}
	if _, err := ParseFooter([]byte("no footer here, but long enough to be one, were its end another one")); !errors.Is(err, foreign.ErrNone) {
		t.Errorf("no footer: %v", err)
	}
}

// FuzzParse: any TOC and tar-split give an error or an index that is in order.
func FuzzParse(f *testing.F) {
	toc := []byte(`{"version":1,"entries":[{"type":"reg","name":"f","size":3,"offset":7,"digest":"sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"}]}`)
	var b bytes.Buffer
	tw := tar.NewWriter(&b)
	if err := tw.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "f", Size: 3}); err != nil {
		f.Fatal(err)
	}
	f.Add(toc, b.Bytes(), "f", int64(3), b.Bytes())
	f.Fuzz(func(t *testing.T, toc, head []byte, name string, size int64, tail []byte) {
		x, err := foreign.ParseTOC(toc, 1000)
		if err != nil {
			return
		}
		if idx, err := x.Index(); err == nil {
			if err := idx.Validate(1000); err != nil {
				t.Fatal(err)
			}
		}
		split := mustJSON(t, map[string]any{"type": splitSegment, "payload": head})
		split = append(split, mustJSON(t, map[string]any{"type": splitFile, "name_raw": []byte(name), "size": size})...)
		split = append(split, mustJSON(t, map[string]any{"type": splitSegment, "payload": tail})...)
		if idx, err := exact(x, split); err == nil {
			if err := idx.Validate(1000); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func FuzzParseFooter(f *testing.F) {
	l := build(f, true, 10_000, nil, headers()...)
	f.Add(l.blob[len(l.blob)-FooterBytes:], l.ann[annContainers+annPosition])
	f.Fuzz(func(t *testing.T, b []byte, s string) {
		if p, err := ParseFooter(b); err == nil && (p.TOC.Off < 0 || p.TOC.Len < 0 || p.Bound()) {
			t.Fatalf("%+v", p)
		}
		if p, err := FromAnnotations(map[string]string{annStargz + annPosition: s}); err == nil && (p.TOC.Off < 0 || p.TOC.Len < 0) {
			t.Fatalf("%+v", p)
		}
	})
}
