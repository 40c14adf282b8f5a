package ztoc

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	digest "github.com/opencontainers/go-digest"

	"github.com/shalefs/shalefs/index/foreign"
	"github.com/shalefs/shalefs/index/tarx"
)

const layerSize = 9000

func sum(s string) string { return digest.FromString(s).String() }

// sample is a ztoc of a gzip layer with three spans; edit changes it before it is written.
func sample(edit func(root, info fbTable, files *fbList)) []byte {
	files := fbList{
		fbTable{fileName: fbString("d/"), fileType: fbString("dir"), fileOff: fbLong(512), fileMode: fbLong(0o755), fileTime: fbString("2024-05-06T07:08:09.5Z")},
		fbTable{fileName: fbString("d/f"), fileType: fbString("reg"), fileOff: fbLong(2048), fileSize: fbLong(5000), fileMode: fbLong(0o4644), fileUID: fbInt(-2), fileGID: fbInt(7),
			fileXattrs: fbList{fbTable{xattrKey: fbString("SCHILY.xattr.user.a"), xattrValue: fbString("\x00b")}, fbTable{xattrKey: fbString("comment"), xattrValue: fbString("x")}}},
		fbTable{fileName: fbString("s"), fileType: fbString("symlink"), fileOff: fbLong(7680), fileLink: fbString("../x")},
		fbTable{fileName: fbString(".wh.gone"), fileType: fbString("reg"), fileOff: fbLong(8192)},
		fbTable{fileName: fbString("c"), fileType: fbString("char"), fileOff: fbLong(8704), fileMajor: fbLong(1), fileMinor: fbLong(3)},
	}
	info := fbTable{
		infoMaxSpan: fbInt(2), infoDigests: fbList{fbString(sum("0")), fbString(sum("1")), fbString(sum("2"))},
		infoCheckpoints: points(3, point(18, 0, 0, 0), point(3000, 4000, 3, 1), point(6000, 8000, 0, 2)),
	}
	root := fbTable{ztocVersion: fbString("0.9"), ztocTool: fbString("test"), ztocPacked: fbLong(layerSize), ztocUnpacked: fbLong(10240), ztocInfo: info}
	if edit != nil {
		edit(root, info, &files)
	}
	if root[ztocTOC] == nil {
		root[ztocTOC] = fbTable{tocMetadata: files}
	}
	return flatBuffer(root)
}

func TestParse(t *testing.T) {
	l, err := Parse(sample(nil), layerSize)
	if err != nil {
		t.Fatal(err)
	}
	want := []tarx.Entry{
		{Path: "d", Kind: tarx.Directory, Mode: 0o755, MTime: 1714979289, MTimeNano: 500_000_000, Off: 512},
		{Path: "d/f", Kind: tarx.Regular, Mode: 0o4644, UID: 4294967294, GID: 7, Size: 5000, Stored: 5000, Off: 2048, Xattrs: []tarx.Xattr{{Name: "user.a", Value: []byte("\x00b")}}},
		{Path: "s", Kind: tarx.Symlink, Mode: 0o777, Size: 4, Link: "../x", Off: 7680},
		{Path: "gone", Kind: tarx.Whiteout, Off: 8192},
		{Path: "c", Kind: tarx.Char, Major: 1, Minor: 3, Off: 8704},
	}
	if diff := cmp.Diff(want, l.Entries); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if !l.Exact || l.Size != 10240 || l.Format != Gzip || l.Tool != "test" || l.Pieces != nil {
		t.Errorf("exact %v, size %d, format %s, tool %s", l.Exact, l.Size, l.Format, l.Tool)
	}
	if len(l.Seeks) != 3 || l.Seeks[0].Window != nil || l.Seeks[0].In != 0 {
		t.Fatalf("%d seeks", len(l.Seeks))
	}
	if s := l.Seeks[1]; s.Out != 4000 || s.In != 2999 || s.Bit != 5 || len(s.Window) != windowBytes || s.Window[0] != 1 {
		t.Errorf("seek %d %d %d", s.Out, s.In, s.Bit)
	}
	if s := l.Seeks[2]; s.Out != 8000 || s.In != 6000 || s.Bit != 0 || s.Window[windowBytes-1] != 2 {
		t.Errorf("seek %d %d %d", s.Out, s.In, s.Bit)
	}
	spans := []Span{{18, 3000, digest.Digest(sum("0"))}, {2999, 6000, digest.Digest(sum("1"))}, {6000, layerSize, digest.Digest(sum("2"))}}
	if diff := cmp.Diff(spans, l.Spans); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestFirstNumbering: version 1 checkpoints leave out the first.
func TestFirstNumbering(t *testing.T) {
	l, err := Parse(sample(func(_, info fbTable, _ *fbList) {
		info[infoCheckpoints] = points(3, point(3000, 4000, 3, 1), point(6000, 8000, 0, 2))
	}), layerSize)
	if err != nil {
		t.Fatal(err)
	}
	if len(l.Seeks) != 3 || l.Seeks[0].In != 0 || l.Seeks[1].In != 2999 || l.Spans[0].In != 10 {
		t.Errorf("%d seeks, spans %v", len(l.Seeks), l.Spans)
	}
}

func TestUncompressed(t *testing.T) {
	l, err := Parse(sample(func(root, info fbTable, _ *fbList) {
		info[infoAlgorithm] = fbByte(algorithmNone)
		info[infoCheckpoints] = fbBytes(flatBuffer(fbTable{0: fbString("1"), 1: fbLong(4000), 2: fbLong(layerSize)}))
	}), layerSize)
	if err != nil {
		t.Fatal(err)
	}
	want := []Span{{0, 4000, digest.Digest(sum("0"))}, {4000, 8000, digest.Digest(sum("1"))}, {8000, layerSize, digest.Digest(sum("2"))}}
	if diff := cmp.Diff(want, l.Spans); diff != "" || l.Format != Uncompressed || l.Seeks != nil {
		t.Errorf("%s: -want +got:\n%s", l.Format, diff)
	}
}

func TestRefused(t *testing.T) {
	for _, c := range []struct {
		name string
		size int64
		edit func(root, info fbTable, files *fbList)
		err  string
	}{
		{name: "FMT-14 a layer of another size", size: 8999, err: "invalid foreign index: ztoc of a layer of 9000 bytes, not 8999"},
		{name: "version", edit: func(root, _ fbTable, _ *fbList) { root[ztocVersion] = fbString("1.0") }, err: `unsupported foreign index: ztoc of version "1.0"`},
		{name: "algorithm", edit: func(_, info fbTable, _ *fbList) { info[infoAlgorithm] = fbByte(3) }, err: "unsupported foreign index: ztoc of compression 3"},
		{name: "spans", edit: func(_, info fbTable, _ *fbList) { info[infoMaxSpan] = fbInt(5) }, err: "invalid foreign index: ztoc: digests of 3 spans for 6"},
		{name: "cut checkpoint", edit: func(_, info fbTable, _ *fbList) { info[infoCheckpoints] = points(3, make([]byte, 99)) }, err: "invalid foreign index: ztoc: 99 bytes of checkpoints for 3"},
		{name: "order of checkpoints", edit: func(_, info fbTable, _ *fbList) {
			info[infoCheckpoints] = points(3, point(6000, 8000, 0, 1), point(7000, 8000, 0, 1))
		}, err: "invalid foreign index: ztoc: checkpoint at 8000 of the tar, 7000 of the layer"},
		{name: "checkpoint past the end", edit: func(_, info fbTable, _ *fbList) {
			info[infoCheckpoints] = points(3, point(6000, 8000, 0, 1), point(9001, 9000, 0, 1))
		}, err: "invalid foreign index: ztoc: checkpoint at 9000 of the tar, 9001 of the layer"},
		{name: "bits", edit: func(_, info fbTable, _ *fbList) {
			info[infoCheckpoints] = points(3, point(3000, 4000, 8, 1), point(6000, 8000, 0, 1))
		}, err: "invalid foreign index: ztoc: checkpoint at 4000 of the tar, 3000 of the layer"},
		{name: "digest", edit: func(_, info fbTable, _ *fbList) {
			info[infoDigests] = fbList{fbString("x"), fbString("x"), fbString("x")}
		}, err: `invalid foreign index: ztoc: digest "x"`},
		{name: "file past the end", edit: func(_, _ fbTable, files *fbList) { (*files)[1].(fbTable)[fileSize] = fbLong(9999) }, err: `invalid foreign index: ztoc: "d/f" at 2048+9999`},
		{name: "files over one another", edit: func(_, _ fbTable, files *fbList) { (*files)[1].(fbTable)[fileSize] = fbLong(6000) }, err: `invalid foreign index: ztoc: "s" at 7680+0`},
		{name: "time", edit: func(_, _ fbTable, files *fbList) { (*files)[1].(fbTable)[fileTime] = fbString("yesterday") }, err: `invalid foreign index: ztoc: "d/f": time "yesterday"`},
		{name: "sparse", edit: func(_, _ fbTable, files *fbList) {
			(*files)[1].(fbTable)[fileXattrs] = fbList{fbTable{xattrKey: fbString("GNU.sparse.major"), xattrValue: fbString("1")}}
		}, err: `unsupported foreign index: ztoc: "d/f" is sparse`},
		{name: "type", edit: func(_, _ fbTable, files *fbList) { (*files)[1].(fbTable)[fileType] = fbString("socket") }, err: `unsupported foreign index: "d/f": entry type "socket"`},
		{name: "no info", edit: func(root, _ fbTable, _ *fbList) { delete(root, ztocInfo) }, err: "invalid foreign index: ztoc: digests of 0 spans for 1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			size := c.size
			if size == 0 {
				size = layerSize
			}
			if _, err := Parse(sample(c.edit), size); err == nil || err.Error() != c.err {
				t.Errorf("error %v\nwant  %s", err, c.err)
			}
		})
	}
}

// TestAliases: many references to one long string must not cost their product in memory.
func TestAliases(t *testing.T) {
	b := sample(func(root, _ fbTable, _ *fbList) {
		root[ztocTOC] = fbTable{tocMetadata: fbList{fbTable{fileName: fbString(strings.Repeat("n", 1<<20)), fileType: fbString("reg")}}}
	})
	f := &buffer{b: b, budget: 3 << 20}
	off, _ := f.vector(f.table(f.root(), ztocTOC), tocMetadata, 4)
	for range 3 {
		f.string(table(f.element(off, 0)), fileName)
	}
	if f.err == nil {
		t.Error("three strings of 1 MiB fit in a budget of 3 MiB that a vector shares")
	}
}

func TestCutAnywhere(t *testing.T) {
	b := sample(nil)
	for n := 0; n < len(b); n += max(1, n/50) {
		if _, err := Parse(b[:n], layerSize); err == nil {
			t.Fatalf("%d of %d bytes were taken", n, len(b))
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(sample(nil), int64(layerSize))
	f.Add(sample(func(_, info fbTable, _ *fbList) {
		info[infoAlgorithm] = fbByte(algorithmNone)
		info[infoCheckpoints] = fbBytes(flatBuffer(fbTable{1: fbLong(4000), 2: fbLong(layerSize)}))
	}), int64(layerSize))
	f.Fuzz(func(t *testing.T, b []byte, size int64) {
		l, err := Parse(b, size)
		if err != nil {
			return
		}
		for i, s := range l.Seeks {
			if s.Out > l.Size || s.In > size || i > 0 && (s.Out <= l.Seeks[i-1].Out || len(s.Window) != windowBytes) {
				t.Fatalf("seek %d: %d %d", i, s.Out, s.In)
			}
		}
		for _, e := range l.Entries {
			if e.Kind == tarx.Regular && (e.Off < 0 || e.Off+e.Stored > l.Size) {
				t.Fatalf("entry %+v of %d", e, l.Size)
			}
		}
	})
}

const indexV1 = `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",
"config":{"mediaType":"application/vnd.amazon.soci.index.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2},
"subject":{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:1111111111111111111111111111111111111111111111111111111111111111","size":9},
"layers":[{"mediaType":"application/octet-stream","digest":"sha256:2222222222222222222222222222222222222222222222222222222222222222","size":77,
"annotations":{"com.amazon.soci.image-layer-digest":"sha256:3333333333333333333333333333333333333333333333333333333333333333","com.amazon.soci.image-layer-mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","com.amazon.soci.span-size":"4194304"}},
{"mediaType":"application/vnd.amazon.soci.prefetch.v1+json","digest":"sha256:2222222222222222222222222222222222222222222222222222222222222222","size":7}]}`

func TestParseIndex(t *testing.T) {
	layer := digest.Digest("sha256:" + strings.Repeat("3", 64))
	x, err := ParseIndex([]byte(indexV1))
	if err != nil {
		t.Fatal(err)
	}
	z, ok := x.Find(layer)
	if x.Version != 1 || x.Subject.Encoded() != strings.Repeat("1", 64) || len(x.Ztocs) != 1 || !ok || z.Blob.Size != 77 || z.SpanBytes != 4<<20 {
		t.Errorf("%+v", x)
	}
	if _, ok := x.Find(digest.FromString("other")); ok {
		t.Error("a ztoc for a layer that has none")
	}
	v2 := strings.Replace(strings.Replace(indexV1, `"config"`, `"artifactType":"application/vnd.amazon.soci.index.v2+json","config"`, 1), `"subject"`, `"other"`, 1)
	if x, err := ParseIndex([]byte(v2)); err != nil || x.Version != 2 || x.Subject != "" || len(x.Ztocs) != 1 {
		t.Errorf("version 2: %+v, %v", x, err)
	}
	for name, c := range map[string]struct {
		doc  string
		want error
	}{
		"JSON":       {`{`, foreign.ErrInvalid},
		"other":      {`{"config":{"mediaType":"application/vnd.oci.image.config.v1+json"}}`, foreign.ErrUnsupported},
		"no subject": {strings.Replace(indexV1, `"subject"`, `"x"`, 1), foreign.ErrInvalid},
		"layer":      {strings.Replace(indexV1, "sha256:333", "sha256:x", 1), foreign.ErrInvalid},
		"span":       {strings.Replace(indexV1, `"4194304"`, `"-1"`, 1), foreign.ErrInvalid},
		"too large":  {strings.Repeat(" ", maxIndex+1), foreign.ErrTooLarge},
	} {
		if _, err := ParseIndex([]byte(c.doc)); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
	}
}

func FuzzParseIndex(f *testing.F) {
	f.Add([]byte(indexV1))
	f.Fuzz(func(t *testing.T, b []byte) {
		x, err := ParseIndex(b)
		if err != nil {
			return
		}
		for _, z := range x.Ztocs {
			if z.Layer.Validate() != nil || z.Blob.Digest.Validate() != nil {
				t.Fatalf("%+v", z)
			}
		}
	})
}
