package layout_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/zeebo/blake3"

	"github.com/shalefs/shalefs/layout"
	lt "github.com/shalefs/shalefs/layout/layouttest"
)

var (
	amd64 = layout.Platform{OS: "linux", Architecture: "amd64"}
	arm64 = layout.Platform{OS: "linux", Architecture: "arm64"}
)

func arm(variant string) layout.Platform {
	return layout.Platform{OS: "linux", Architecture: "arm", Variant: variant}
}

func load(s layout.Store, p layout.Platform) (*layout.Image, error) {
	return layout.LoadImage(context.Background(), s, p)
}

// tiny is a layer that differs for each name.
func tiny(name string) []byte { return lt.Tar(lt.File(name, name)) }

// wantErr checks an error, and parts of its text.
func wantErr(t *testing.T, err, want error, parts ...string) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("got %v, want %v", err, want)
		return
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not say %q", err, part)
		}
	}
}

// wantImage checks which manifest was chosen.
func wantImage(t *testing.T, s layout.Store, p layout.Platform, want ocispec.Descriptor) {
	t.Helper()
	img, err := load(s, p)
	if err != nil {
		t.Errorf("%s: %v", layout.FormatPlatform(p), err)
		return
	}
	if img.Descriptor.Digest != want.Digest {
		t.Errorf("%s: chose %s, want %s", layout.FormatPlatform(p), img.Descriptor.Digest, want.Digest)
	}
}

// TestMAN1Docker: both forms of one image give the same layers (MAN-1, MAN-7).
func TestMAN1Docker(t *testing.T) {
	m := lt.NewMemory()
	l := tiny("a")
	a, b := m.Add(layout.DockerLayerGzip, lt.Gzip(l)), m.Add(ocispec.MediaTypeImageLayer, tiny("b"))
	cfg := ocispec.Image{Platform: amd64}
	cfg.RootFS = ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{digest.FromBytes(l), b.Digest, digest.FromBytes(l)}}
	man := ocispec.Manifest{Layers: []ocispec.Descriptor{a, b, a}}
	man.SchemaVersion = 2
	for _, form := range []struct{ manifest, config, index string }{
		{ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageConfig, ocispec.MediaTypeImageIndex},
		{layout.DockerManifest, layout.DockerConfig, layout.DockerManifestList},
		{layout.DockerManifest, "application/octet-stream", layout.DockerManifestList},
	} {
		man.MediaType = form.manifest
		man.Config = m.AddJSON(form.config, cfg)
		d := m.AddJSON(form.manifest, man)
		d.Platform = &amd64
		idx := lt.Index(d)
		idx.MediaType = form.index
		m.Root = m.AddJSON(form.index, idx)
		img, err := load(m, amd64)
		if err != nil {
			t.Errorf("%s: %v", form.manifest, err)
			continue
		}
		if len(img.Layers) != 3 || img.Layers[0].Digest != a.Digest || img.Layers[1].Digest != b.Digest || img.Layers[2].Digest != a.Digest {
			t.Errorf("%s: layers %v", form.manifest, img.Layers)
		}
	}
}

func TestMAN8(t *testing.T) {
	img, err := load(lt.Image(), layout.Platform{})
	if err != nil || len(img.Layers) != 0 || img.IsArtifact() {
		t.Errorf("got %+v, %v", img, err)
	}
}

// TestMAN11 refuses a wrong number of diffIDs before any layer is read.
func TestMAN11(t *testing.T) {
	m := lt.NewMemory()
	l := m.Add(ocispec.MediaTypeImageLayer, tiny("a"))
	cfg := ocispec.Image{Platform: amd64, RootFS: ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{l.Digest}}}
	man := ocispec.Manifest{Config: m.AddJSON(ocispec.MediaTypeImageConfig, cfg), Layers: []ocispec.Descriptor{l, l}}
	man.SchemaVersion = 2
	m.Root = m.AddJSON(ocispec.MediaTypeImageManifest, man)
	_, err := load(m, amd64)
	wantErr(t, err, layout.ErrInvalid, "2 layers", "1 diff_ids")
	if n := m.Counters.Requests.Load(); n != 0 {
		t.Errorf("%d requests for layers", n)
	}
}

// TestMAN13: two documents for an image, three with an index; each is read once.
func TestMAN13(t *testing.T) {
	m := lt.NewMemory()
	d := m.AddImage(amd64, tiny("a"))
	d.Platform = nil // its config is read to choose it
	m.Root = m.AddIndex(d)
	if _, err := load(m, amd64); err != nil {
		t.Fatal(err)
	}
	if n := m.Counters.Documents.Load(); n != 3 { // image index, manifest, config
		t.Errorf("%d documents", n)
	}
}

// TestFMT17 names the layer that cannot be shown, while LoadDocuments works (ART-2).
func TestFMT17(t *testing.T) {
	for _, mt := range []string{"application/x-foo", ocispec.MediaTypeImageLayerGzip + "+encrypted", "application/vnd.erofs.layer.v1"} {
		m := lt.NewMemory()
		good := m.Add(ocispec.MediaTypeImageLayer, tiny("a"))
		bad := m.Add(mt, []byte("x"))
		cfg := ocispec.Image{Platform: amd64, RootFS: ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{good.Digest, bad.Digest}}}
		man := ocispec.Manifest{Config: m.AddJSON(ocispec.MediaTypeImageConfig, cfg), Layers: []ocispec.Descriptor{good, bad}}
		man.SchemaVersion = 2
		m.Root = m.AddJSON(ocispec.MediaTypeImageManifest, man)
		_, err := load(m, amd64)
		wantErr(t, err, layout.ErrUnsupported, "layer 1", string(bad.Digest), mt)
		if _, err := layout.LoadDocuments(context.Background(), m, m.Root, layout.LoadOptions{}); err != nil {
			t.Errorf("LoadDocuments: %v", err)
		}
	}
}

func TestIDX1(t *testing.T) {
	m := lt.NewMemory()
	m.Root = m.AddIndex()
	_, err := load(m, amd64)
	wantErr(t, err, layout.ErrNotFound, "no manifest for platform linux/amd64", "lists no images")
}

// TestIDX2: layers and strange things beside the image (IDX-2, IDX-4).
func TestIDX2(t *testing.T) {
	m := lt.NewMemory()
	layer := m.Add(ocispec.MediaTypeImageLayerGzip, tiny("l"))
	xml := m.Add("application/xml", []byte("<x/>"))
	img := m.AddImage(amd64, tiny("a"))
	m.Root = m.AddIndex(layer, xml, img)
	wantImage(t, m, amd64, img)
	m.Root = m.AddIndex(layer, m.Add("application/vnd.buildkit.cacheconfig.v0", []byte("{}")))
	_, err := load(m, amd64)
	wantErr(t, err, layout.ErrNotFound, "lists no images")
}

// TestIDX3 follows nested indexes, to a limit; the outer platform counts.
func TestIDX3(t *testing.T) {
	m := lt.NewMemory()
	img := m.AddImage(amd64, tiny("a"))
	nest := func(n int, d ocispec.Descriptor) ocispec.Descriptor {
		for range n {
			d = m.AddIndex(d)
		}
		return d
	}
	for _, n := range []int{1, 2, 8} {
		m.Root = nest(n, img)
		wantImage(t, m, amd64, img)
	}
	m.Root = nest(9, img)
	_, err := load(m, amd64)
	wantErr(t, err, layout.ErrTooLarge, "8 deep")

	outer := m.AddIndex(img)
	outer.Platform = &arm64
	m.Root = m.AddIndex(outer)
	_, err = load(m, amd64)
	wantErr(t, err, layout.ErrNotFound, "linux/arm64")
	_, err = load(m, arm64)
	wantErr(t, err, layout.ErrNotFound, "linux/amd64")

	// Depth first in list order: the nested image comes before the later one.
	other := m.AddImage(amd64, tiny("b"))
	m.Root = m.AddIndex(m.AddIndex(img), other)
	wantImage(t, m, amd64, img)

	// A bare manifest takes the platform of the index around it.
	bare := img
	bare.Platform = nil
	outer = m.AddIndex(bare)
	outer.Platform = &amd64
	m.Root = m.AddIndex(outer)
	wantImage(t, m, amd64, img)

	var many []ocispec.Descriptor
	for range 1000 {
		many = append(many, m.AddIndex(lt.Named(img, fmt.Sprint(len(many)))))
	}
	m.Root = m.AddIndex(many...)
	_, err = load(m, amd64)
	wantErr(t, err, layout.ErrTooLarge, "1000 documents")
}

// TestIDX5: missing manifests matter only if they are chosen.
func TestIDX5(t *testing.T) {
	m := lt.NewMemory()
	a, b := m.AddImage(amd64, tiny("a")), m.AddImage(arm64, tiny("b"))
	nested := m.AddIndex(a)
	m.Delete(nested.Digest)
	m.Delete(b.Digest)
	m.Root = m.AddIndex(nested, b, a)
	wantImage(t, m, amd64, a)
	_, err := load(m, arm64)
	wantErr(t, err, layout.ErrNotFound, string(b.Digest))
	m.Root = m.AddIndex(nested)
	_, err = load(m, amd64)
	wantErr(t, err, layout.ErrNotFound, string(nested.Digest))
}

// TestDIG3Entry: an entry with an unknown digest algorithm matters only if it is chosen.
func TestDIG3Entry(t *testing.T) {
	m := lt.NewMemory()
	a := m.AddImage(amd64, tiny("a"))
	odd := a
	odd.Digest, odd.Platform = "sha999:abcdef", &arm64
	m.Root = m.AddIndex(odd, a)
	wantImage(t, m, amd64, a)
	m.AddDigest("", odd.Digest, make([]byte, odd.Size))
	_, err := load(m, arm64)
	wantErr(t, err, layout.ErrUnsupported, "sha999")
}

// TestIDX7Order: the nearest variant wins wherever it stands; among equals, the first.
func TestIDX7Order(t *testing.T) {
	m := lt.NewMemory()
	v5, v7, v7b := m.AddImage(arm("v5"), tiny("5")), m.AddImage(arm("v7"), tiny("7")), m.AddImage(arm("v7"), tiny("7b"))
	for _, order := range [][]ocispec.Descriptor{{v5, v7, v7b}, {v7, v5, v7b}, {v7, v7b, v5}} {
		m.Root = m.AddIndex(order...)
		wantImage(t, m, arm("v7"), v7)
		wantImage(t, m, arm("v6"), v5)
	}
}

// TestIDX8Index skips entries that need what is not supported (IDX-8, FMT-15).
func TestIDX8Index(t *testing.T) {
	m := lt.NewMemory()
	erofs, plain := m.AddImage(amd64, tiny("e")), m.AddImage(amd64, tiny("p"))
	p := amd64
	p.OSFeatures = []string{"erofs"}
	erofs.Platform = &p
	m.Root = m.AddIndex(erofs, plain)
	wantImage(t, m, amd64, plain)
	m.Root = m.AddIndex(erofs)
	_, err := load(m, amd64)
	wantErr(t, err, layout.ErrNotFound, "needs erofs")
}

// TestIDX9: the version counts only if the user names one.
func TestIDX9(t *testing.T) {
	win := func(v string) layout.Platform {
		return layout.Platform{OS: "windows", Architecture: "amd64", OSVersion: v}
	}
	m := lt.NewMemory()
	a, b := m.AddImage(win("10.1"), tiny("a")), m.AddImage(win("10.2"), tiny("b"))
	m.Root = m.AddIndex(a, b)
	wantImage(t, m, win(""), a)
	wantImage(t, m, win("10.2"), b)
}

// TestIDX10 skips attestations and artifacts (IDX-10, ART-9).
func TestIDX10(t *testing.T) {
	m := lt.NewMemory()
	unknown := m.AddImage(layout.Platform{OS: "unknown", Architecture: "unknown"}, tiny("u"))
	att := m.AddImage(amd64, tiny("att"))
	att.Annotations = map[string]string{"vnd.docker.reference.type": "attestation-manifest"}
	sbom := artifact(m, "application/spdx+json")
	sbom.ArtifactType = "application/spdx+json"
	img := m.AddImage(amd64, tiny("a"))
	m.Root = m.AddIndex(unknown, att, sbom, img)
	wantImage(t, m, amd64, img)
	m.Root = m.AddIndex(unknown, att, sbom)
	_, err := load(m, amd64)
	wantErr(t, err, layout.ErrNotFound)

	m.Root = m.AddIndex(img, sbom)
	got, err := layout.LoadDocuments(context.Background(), m, m.Root, layout.LoadOptions{ArtifactType: "application/spdx+json"})
	if err != nil || got.Descriptor.Digest != sbom.Digest {
		t.Errorf("asked for the artifact: got %+v, %v", got, err)
	}
	_, err = layout.LoadDocuments(context.Background(), m, m.Root, layout.LoadOptions{ArtifactType: "other"})
	wantErr(t, err, layout.ErrNotFound, `"other"`)
}

// TestIDX11: entries without a platform come last, and their configs decide.
func TestIDX11(t *testing.T) {
	m := lt.NewMemory()
	a, b, c := m.AddImage(arm64, tiny("a")), m.AddImage(amd64, tiny("b")), m.AddImage(amd64, tiny("c"))
	bare := func(d ocispec.Descriptor) ocispec.Descriptor { d.Platform = nil; return d }
	m.Root = m.AddIndex(bare(a), bare(b), c)
	wantImage(t, m, amd64, c)
	wantImage(t, m, arm64, a)
	m.Root = m.AddIndex(bare(a), bare(b))
	wantImage(t, m, amd64, b)
	_, err := load(m, arm("v7"))
	wantErr(t, err, layout.ErrNotFound, "linux/arm64, linux/amd64")
	art := artifact(m, "application/x")
	m.Root = m.AddIndex(art, bare(b))
	wantImage(t, m, amd64, b)
}

// TestIDX12: no match lists what there is; a single manifest is taken with a warning, unless
// the platform was asked for.
func TestIDX12(t *testing.T) {
	m := lt.NewMemory()
	other := layout.Platform{OS: "plan9", Architecture: "mips"}
	m.Root = m.AddIndex(m.AddImage(other, tiny("a")), m.AddImage(arm("v5"), tiny("b")))
	_, err := load(m, layout.Platform{})
	wantErr(t, err, layout.ErrNotFound, "plan9/mips, linux/arm/v5")
	m.Root = m.AddImage(other, tiny("a"))
	img, err := load(m, layout.Platform{})
	if err != nil || len(img.Warnings) != 1 || !strings.Contains(img.Warnings[0], "image is for plan9/mips") {
		t.Errorf("got %+v, %v", img, err)
	}
	_, err = load(m, layout.DefaultPlatform())
	wantErr(t, err, layout.ErrNotFound, "plan9/mips")
	wantImage(t, m, other, m.Root)
}

// artifact adds an artifact in the third style of the guide: a type and an empty config.
func artifact(m *lt.Memory, artifactType string) ocispec.Descriptor {
	man := ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, ArtifactType: artifactType, Config: ocispec.DescriptorEmptyJSON}
	man.SchemaVersion = 2
	man.Layers = []ocispec.Descriptor{m.Add("application/x-blob", []byte(artifactType))}
	return m.AddJSON(man.MediaType, man)
}

// TestART1 tells artifacts from images, and what type they are (ART-1, ART-2, DIG-10, MAN-9).
func TestART1(t *testing.T) {
	m := lt.NewMemory()
	typed := artifact(m, "application/vnd.example.model")
	man := ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, Config: m.Add("application/vnd.example.config.v1+json", []byte("not JSON"))}
	man.SchemaVersion = 2
	byConfig := m.AddJSON(man.MediaType, man)
	man.ArtifactType = "application/vnd.example.both"
	both := m.AddJSON(man.MediaType, man)
	for want, root := range map[string]ocispec.Descriptor{
		"application/vnd.example.model":          typed,
		"application/vnd.example.config.v1+json": byConfig,
		"application/vnd.example.both":           both,
	} {
		m.Root = root
		before := m.Counters.Documents.Load()
		_, err := load(m, layout.Platform{})
		wantErr(t, err, layout.ErrUnsupported, want, "artifact")
		img, err := layout.LoadDocuments(context.Background(), m, root, layout.LoadOptions{})
		if err != nil || img.ArtifactType != want || !img.IsArtifact() {
			t.Errorf("%s: got %+v, %v", want, img, err)
		}
		if n := m.Counters.Documents.Load() - before; n != 2 {
			t.Errorf("%s: %d documents for two loads, want 2: the config is not fetched", want, n)
		}
	}
}

// TestDIG9Load: good embedded data costs no request; bad data is a warning (DIG-9, DIG-10, DIG-11).
func TestDIG9Load(t *testing.T) {
	m := lt.NewMemory()
	d := m.AddImage(amd64, tiny("a"))
	d.Data, _ = m.Content(d.Digest)
	m.Root = d
	img, err := load(m, amd64)
	if err != nil || m.Counters.Documents.Load() != 1 || len(img.Warnings) != 0 {
		t.Errorf("good data: %v, %d documents, want 1", err, m.Counters.Documents.Load())
	}
	m.Root.Data = []byte("bad")
	img, err = load(m, amd64)
	if err != nil || m.Counters.Documents.Load() != 3 || len(img.Warnings) != 1 {
		t.Errorf("bad data: %+v, %v, %d documents, want 3", img, err, m.Counters.Documents.Load())
	}

	l := img.Layers[0]
	l.Data, _ = m.Content(l.Digest)
	empty := ocispec.Descriptor{Digest: digest.FromBytes(nil)}
	for _, desc := range []ocispec.Descriptor{l, empty, ocispec.DescriptorEmptyJSON} {
		b, err := layout.OpenBlob(context.Background(), m, desc)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.ReadAt(context.Background(), make([]byte, desc.Size), 0); err != nil {
			t.Error(err)
		}
	}
	if n := m.Counters.Requests.Load(); n != 0 {
		t.Errorf("%d requests, want 0", n)
	}
}

// TestDIG7 mixes algorithms in one image (DIG-5 to DIG-7).
func TestDIG7(t *testing.T) {
	m := lt.NewMemory()
	l := tiny("a")
	b3 := blake3.Sum256(l)
	d3 := digest.NewDigestFromEncoded(layout.BLAKE3, fmt.Sprintf("%x", b3))
	cfg := ocispec.Image{Platform: amd64, RootFS: ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{digest.SHA512.FromBytes(l)}}}
	man := ocispec.Manifest{
		Config: m.AddJSON(ocispec.MediaTypeImageConfig, cfg),
		Layers: []ocispec.Descriptor{m.AddDigest(ocispec.MediaTypeImageLayer, d3, l)},
	}
	man.SchemaVersion = 2
	raw, _ := m.Content(m.AddJSON(ocispec.MediaTypeImageManifest, man).Digest)
	m.Root = m.AddDigest(ocispec.MediaTypeImageManifest, digest.SHA512.FromBytes(raw), raw)
	img, err := load(m, amd64)
	if err != nil || img.Layers[0].Digest != d3 || img.DiffIDs[0].Algorithm() != digest.SHA512 {
		t.Fatalf("got %+v, %v", img, err)
	}
	dir := t.TempDir()
	if err := m.WriteLayout(dir); err != nil {
		t.Fatal(err)
	}
	lt.TestStore(t, func(t *testing.T) (layout.Store, lt.Expected) {
		s, err := layout.OpenLayout(dir, layout.Reference{})
		if err != nil {
			t.Fatal(err)
		}
		return s, lt.Expected{Root: m.Root, Layers: [][]byte{l}, DiffIDs: img.DiffIDs, Platform: amd64}
	})
}

// TestERR6 checks the limits at and above them (ERR-6, REG-8).
func TestERR6(t *testing.T) {
	pad := func(m *lt.Memory, d ocispec.Descriptor, size int) ocispec.Descriptor {
		raw, _ := m.Content(d.Digest)
		out := append([]byte(strings.Repeat(" ", size-len(raw))), raw...)
		return m.Add(d.MediaType, out)
	}
	m := lt.NewMemory()
	d := m.AddImage(layout.DefaultPlatform(), tiny("a"))
	m.Root = pad(m, d, 4<<20)
	if _, err := load(m, layout.Platform{}); err != nil {
		t.Errorf("manifest of 4 MiB: %v", err)
	}
	m.Root = pad(m, d, 4<<20+1)
	_, err := load(m, layout.Platform{})
	wantErr(t, err, layout.ErrTooLarge, "4194305 bytes, the limit is 4194304")

	var layers [][]byte
	for range 1001 {
		layers = append(layers, tiny("a"))
	}
	m.Root = m.AddImage(layout.DefaultPlatform(), layers[:1000]...)
	if _, err := load(m, layout.Platform{}); err != nil {
		t.Errorf("1000 layers: %v", err)
	}
	m.Root = m.AddImage(layout.DefaultPlatform(), layers...)
	_, err = load(m, layout.Platform{})
	wantErr(t, err, layout.ErrTooLarge, "1001 layers, the limit is 1000")
	_, err = layout.LoadImageOptions(context.Background(), m, m.Root, layout.LoadOptions{Limits: layout.Limits{Layers: 1001}})
	if err != nil {
		t.Errorf("with another limit: %v", err)
	}
}

// TestERR8: a store that hands out other bytes than were asked for is caught (DIG-1, DIG-17).
func TestERR8(t *testing.T) {
	m := lt.Image(tiny("a"))
	raw, _ := m.Content(m.Root.Digest)
	for name, b := range map[string][]byte{
		"longer": append(append([]byte{}, raw...), ' '), "shorter": raw[:len(raw)-1], "other": []byte(strings.Replace(string(raw), "2", "3", 1)),
	} {
		if _, err := load(liar{m, b}, layout.Platform{}); !errors.Is(err, layout.ErrDigest) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// A liar answers every question for a document with the same bytes.
type liar struct {
	*lt.Memory
	b []byte
}

func (l liar) Document(context.Context, ocispec.Descriptor, bool) ([]byte, error) { return l.b, nil }

// TestERR11 keeps control characters of foreign names out of messages.
func TestERR11(t *testing.T) {
	const esc = "\x1b[31m"
	m := lt.NewMemory()
	odd := m.AddImage(layout.Platform{OS: esc, Architecture: "x"}, tiny("a"))
	badDigest := odd
	badDigest.Digest, badDigest.Platform = esc+":x", &arm64
	badType := m.Add(esc, []byte("{}"))
	bad := []ocispec.Descriptor{m.AddIndex(odd), m.AddIndex(badDigest), badType}
	for i, root := range bad {
		m.Root = root
		if _, err := load(m, arm64); err == nil || strings.Contains(err.Error(), "\x1b") {
			t.Errorf("image %d: %v", i, err)
		}
	}
	dir := writeLayout(t, m, lt.Named(odd, esc+"1"), lt.Named(badDigest, esc+"2"), lt.Named(badDigest, esc+"1"))
	for _, name := range []string{"", esc, esc + "1", esc + "2"} {
		s := openDir(t, dir, layout.Reference{Name: name})
		if _, err := load(s, arm64); err == nil || strings.Contains(err.Error(), "\x1b") {
			t.Errorf("name %q: %v", name, err)
		}
	}
}
