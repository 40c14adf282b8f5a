package layout_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	digest "github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"github.com/shalefs/shalefs/layout"
	lt "github.com/shalefs/shalefs/layout/layouttest"
)

// writeLayout writes a layout and returns its directory.
func writeLayout(t *testing.T, m *lt.Memory, entries ...ocispec.Descriptor) string {
	t.Helper()
	dir := t.TempDir()
	if err := m.WriteLayout(dir, entries...); err != nil {
		t.Fatal(err)
	}
	return dir
}

func openDir(t *testing.T, dir string, ref layout.Reference) *layout.Dir {
	t.Helper()
	s, err := layout.OpenLayout(dir, ref)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func put(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func blobFile(dir string, d digest.Digest) string {
	return filepath.Join(dir, "blobs", string(d.Algorithm()), d.Encoded())
}

func TestDir(t *testing.T) {
	lt.TestStore(t, func(t *testing.T) (layout.Store, lt.Expected) {
		m := lt.Image(tiny("a"), lt.Gzip(tiny("b")), lt.Zstd(lt.Tar(lt.File("c", string(lt.Bytes(100000))))))
		s, err := layout.OpenLayout(writeLayout(t, m), layout.Reference{})
		if err != nil {
			t.Fatal(err)
		}
		return s, m.Expect(t)
	})
}

// TestLAY1 checks the oci-layout file.
func TestLAY1(t *testing.T) {
	for content, want := range map[string]error{
		`{"imageLayoutVersion":"1.0.0"}`:         nil,
		`{"imageLayoutVersion":"1.0.0","x":[1]}`: nil,
		`{"imageLayoutVersion":"1.1.0"}`:         layout.ErrUnsupported,
		`{}`:                                     layout.ErrUnsupported,
		`["imageLayoutVersion"]`:                 layout.ErrInvalid,
		`{"imageLayoutVersion":1}`:               layout.ErrInvalid,
		``:                                       layout.ErrInvalid,
		`{"imageLayoutVersion":"1.0.0","imageLayoutVersion":"1.1.0"}`: layout.ErrInvalid,
	} {
		dir := writeLayout(t, lt.Image())
		put(t, filepath.Join(dir, "oci-layout"), content)
		_, err := layout.OpenLayout(dir, layout.Reference{})
		if !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", content, err, want)
		}
		if errors.Is(want, layout.ErrUnsupported) && content != "{}" && !strings.Contains(err.Error(), `"1.1.0"`) {
			t.Errorf("%s: the version is not named: %v", content, err)
		}
	}
	_, err := layout.OpenLayout(t.TempDir(), layout.Reference{})
	wantErr(t, err, layout.ErrNotFound, "oci-layout")
}

// TestLAY2: index.json without a type, and a layout without anything.
func TestLAY2(t *testing.T) {
	m := lt.Image(tiny("a"))
	dir := writeLayout(t, m)
	index := lt.Index(m.Root)
	index.MediaType = ""
	raw, err := json.Marshal(index)
	if err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(dir, "index.json"), string(raw))
	wantImage(t, openDir(t, dir, layout.Reference{}), layout.Platform{}, m.Root)

	empty := t.TempDir()
	put(t, filepath.Join(empty, "oci-layout"), `{"imageLayoutVersion":"1.0.0"}`)
	put(t, filepath.Join(empty, "index.json"), `{"schemaVersion":2}`)
	_, err = openDir(t, empty, layout.Reference{}).Resolve(context.Background())
	wantErr(t, err, layout.ErrNotFound, "no manifests")

	for content, want := range map[string]error{
		`{"schemaVersion":2,"mediaType":"` + ocispec.MediaTypeImageManifest + `"}`: layout.ErrInvalid,
		`[]`: layout.ErrInvalid,
		`{"schemaVersion":2,"x":"` + strings.Repeat("x", 20<<20) + `"}`: layout.ErrTooLarge,
	} {
		put(t, filepath.Join(empty, "index.json"), content)
		if _, err := openDir(t, empty, layout.Reference{}).Resolve(context.Background()); !errors.Is(err, want) {
			t.Errorf("%.60s: got %v, want %v", content, err, want)
		}
	}
	if err := os.Remove(filepath.Join(empty, "index.json")); err != nil {
		t.Fatal(err)
	}
	_, err = openDir(t, empty, layout.Reference{}).Resolve(context.Background())
	wantErr(t, err, layout.ErrNotFound, "index.json")
}

// TestLAY3 ignores what else is there (LAY-3, LAY-5, LAY-14).
func TestLAY3(t *testing.T) {
	m := lt.Image(tiny("a"))
	m.Add("", []byte("nobody refers to this"))
	xml := m.Add("application/xml", []byte("<x/>"))
	dir := writeLayout(t, m, xml, m.Root)
	put(t, filepath.Join(dir, "manifest.json"), "garbage")
	put(t, filepath.Join(dir, "repositories"), "garbage")
	wantImage(t, openDir(t, dir, layout.Reference{}), layout.Platform{}, m.Root)
}

// withAnnotations returns an entry with annotations.
func withAnnotations(d ocispec.Descriptor, kv ...string) ocispec.Descriptor {
	d.Annotations = map[string]string{}
	for i := 0; i < len(kv); i += 2 {
		d.Annotations[kv[i]] = kv[i+1]
	}
	return d
}

// TestLAY7 selects by name (LAY-6 to LAY-10).
func TestLAY7(t *testing.T) {
	const ctrd = "io.containerd.image.name"
	m := lt.NewMemory()
	img := func(s string) ocispec.Descriptor {
		d := m.AddImage(amd64, tiny(s))
		d.Platform = nil
		return d
	}
	a, b, c, d, e := img("a"), img("b"), img("c"), img("d"), img("e")
	nested := m.AddIndex(lt.Named(e, "inner"))
	dir := writeLayout(t, m,
		lt.Named(a, "v1"),
		withAnnotations(b, ocispec.AnnotationRefName, "2", ctrd, "docker.io/library/x:2"),
		lt.Named(c, "my image!"),
		lt.Named(d, "r.io/y/z:v9"),
		withAnnotations(nested, ocispec.AnnotationRefName, "nested", ctrd, "v1"),
	)
	for name, want := range map[string]ocispec.Descriptor{
		"v1": a, "2": b, "docker.io/library/x:2": b, "x:2": b, "my image!": c, "r.io/y/z:v9": d, "v9": d, "z:v9": {}, "inner": {}, "": {}, "nested": nested, "v": {},
	} {
		got, err := openDir(t, dir, layout.Reference{Name: name}).Resolve(context.Background())
		if want.Digest == "" {
			if !errors.Is(err, layout.ErrNotFound) && !errors.Is(err, layout.ErrAmbiguous) {
				t.Errorf("%q: got %s, %v", name, got.Digest, err)
			} else if !strings.Contains(err.Error(), `"my image!"`) {
				t.Errorf("%q: the names are not listed: %v", name, err)
			}
			continue
		}
		if err != nil || got.Digest != want.Digest {
			t.Errorf("%q: got %s, %v; want %s", name, got.Digest, err, want.Digest)
		}
	}
	for _, ref := range []layout.Reference{{Digest: a.Digest}, {Digest: e.Digest}, {Digest: c.Digest, Name: "v1"}} { // listed, not listed, with another name
		got, err := openDir(t, dir, ref).Resolve(context.Background())
		if err != nil || got.Digest != ref.Digest || got.MediaType != ocispec.MediaTypeImageManifest {
			t.Errorf("%s: got %+v, %v", ref.Digest, got, err)
		}
	}
	_, err := openDir(t, dir, layout.Reference{Digest: digest.FromString("none")}).Resolve(context.Background())
	wantErr(t, err, layout.ErrNotFound, string(digest.FromString("none")))
}

// TestLAY8: entries of one name, or of none, are one image for several platforms.
func TestLAY8(t *testing.T) {
	for _, name := range []string{"", "v1"} {
		m := lt.NewMemory()
		a, b := m.AddImage(amd64, tiny("a")), m.AddImage(arm64, tiny("b"))
		entries := []ocispec.Descriptor{a, b, a}
		if name != "" {
			entries = []ocispec.Descriptor{lt.Named(a, name), lt.Named(b, name), lt.Named(a, name)}
		}
		for _, ref := range []layout.Reference{{}, {Name: name}} {
			s := openDir(t, writeLayout(t, m, entries...), ref)
			wantImage(t, s, amd64, a)
			wantImage(t, s, arm64, b)
		}
		for i := range entries { // the configs decide when the entries do not
			entries[i].Platform = nil
		}
		s := openDir(t, writeLayout(t, m, entries...), layout.Reference{})
		wantImage(t, s, amd64, a)
		wantImage(t, s, arm64, b)
	}
	m := lt.NewMemory()
	s := openDir(t, writeLayout(t, m, lt.Named(m.AddImage(amd64, tiny("a")), "one"), lt.Named(m.AddImage(arm64, tiny("b")), "two")), layout.Reference{})
	_, err := s.Resolve(context.Background())
	wantErr(t, err, layout.ErrAmbiguous, `"one", "two"`)
}

// TestLAY9: one name and one platform, but two digests.
func TestLAY9(t *testing.T) {
	m := lt.NewMemory()
	a, b := m.AddImage(amd64, tiny("a")), m.AddImage(amd64, tiny("b"))
	for _, strip := range []bool{false, true} {
		if strip {
			a.Platform, b.Platform = nil, nil
		}
		s := openDir(t, writeLayout(t, m, lt.Named(a, "v1"), lt.Named(b, "v1")), layout.Reference{Name: "v1"})
		_, err := s.Resolve(context.Background())
		wantErr(t, err, layout.ErrAmbiguous, string(a.Digest), string(b.Digest))
	}
}

// TestLAY11: a digest cannot leave the layout.
func TestLAY11(t *testing.T) {
	s := openDir(t, writeLayout(t, lt.Image()), layout.Reference{})
	for _, d := range []digest.Digest{"sha256:../../x", "..:x", "a/b:c", "sha256:", ""} {
		desc := ocispec.Descriptor{Digest: d, Size: 1}
		_, err := s.Blob(context.Background(), desc)
		wantErr(t, err, layout.ErrInvalid)
		_, err = s.Document(context.Background(), desc, false)
		wantErr(t, err, layout.ErrInvalid)
	}
}

// TestLAY12Dir: a blob is a regular file, not a link, a FIFO or a directory.
func TestLAY12Dir(t *testing.T) {
	m := lt.Image(tiny("a"))
	dir := writeLayout(t, m)
	s := openDir(t, dir, layout.Reference{})
	img, err := load(s, layout.Platform{})
	if err != nil {
		t.Fatal(err)
	}
	path := blobFile(dir, img.Layers[0].Digest)
	for name, make := range map[string]func() error{
		"symlink":   func() error { return os.Symlink("/etc/passwd", path) },
		"dangling":  func() error { return os.Symlink("none", path) },
		"fifo":      func() error { return unix.Mkfifo(path, 0o644) },
		"directory": func() error { return os.Mkdir(path, 0o755) },
		"socket":    func() error { return unix.Mknod(path, unix.S_IFSOCK|0o644, 0) },
	} {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if err := make(); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Blob(context.Background(), img.Layers[0]); !errors.Is(err, layout.ErrInvalid) {
			t.Errorf("%s: Blob: %v", name, err)
		}
		if _, err := s.Document(context.Background(), img.Layers[0], false); !errors.Is(err, layout.ErrInvalid) {
			t.Errorf("%s: Document: %v", name, err)
		}
	}
}

// TestLAY13: a missing layer does not matter until it is read.
func TestLAY13(t *testing.T) {
	m := lt.Image(tiny("a"))
	dir := writeLayout(t, m)
	s := openDir(t, dir, layout.Reference{})
	img, err := load(s, layout.Platform{})
	if err != nil {
		t.Fatal(err)
	}
	l := img.Layers[0]
	if err := os.Remove(blobFile(dir, l.Digest)); err != nil {
		t.Fatal(err)
	}
	if _, err := load(s, layout.Platform{}); err != nil {
		t.Error(err)
	}
	_, err = s.Blob(context.Background(), l)
	wantErr(t, err, layout.ErrNotFound, string(l.Digest))
	put(t, blobFile(dir, l.Digest), "short")
	_, err = s.Blob(context.Background(), l)
	wantErr(t, err, layout.ErrDigest, string(l.Digest), "got 5")
}

// TestLAY20: a blob that changes under an open Blob fails its reads.
func TestLAY20(t *testing.T) {
	ctx := context.Background()
	content := lt.Bytes(1000)
	for name, change := range map[string]func(path string) error{
		"cut":      func(path string) error { return os.Truncate(path, 10) },
		"extended": func(path string) error { return os.Truncate(path, 2000) },
		"written": func(path string) error {
			f, err := os.OpenFile(path, os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			defer f.Close()
			if _, err := f.WriteAt([]byte("x"), 5); err != nil {
				return err
			}
			now := time.Now().Add(time.Second) // as a later write would
			return os.Chtimes(path, now, now)
		},
	} {
		m := lt.Image()
		desc := m.Add("", content)
		dir := writeLayout(t, m)
		b, err := openDir(t, dir, layout.Reference{}).Blob(ctx, desc)
		if err != nil {
			t.Fatal(err)
		}
		r, err := b.Range(ctx, 0, 1000)
		if err != nil {
			t.Fatal(err)
		}
		if err := change(blobFile(dir, desc.Digest)); err != nil {
			t.Fatal(err)
		}
		p := make([]byte, 100)
		if n, err := b.ReadAt(ctx, p, 0); n != 0 || !errors.Is(err, layout.ErrChanged) {
			t.Errorf("%s: ReadAt: got %d, %v", name, n, err)
		}
		if got, err := io.ReadAll(r); len(got) != 0 || !errors.Is(err, layout.ErrChanged) {
			t.Errorf("%s: Range: got %d bytes, %v", name, len(got), err)
		}
		_ = b.Close()
	}
	// A new file in place of the old one leaves the open one as it is.
	m := lt.Image()
	desc := m.Add("", content)
	dir := writeLayout(t, m)
	b, err := openDir(t, dir, layout.Reference{}).Blob(ctx, desc)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	put(t, filepath.Join(dir, "new"), "new")
	if err := os.Rename(filepath.Join(dir, "new"), blobFile(dir, desc.Digest)); err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 1000)
	if n, err := b.ReadAt(ctx, p, 0); n != 1000 || err != nil || string(p) != string(content) {
		t.Errorf("after a rename: %d, %v", n, err)
	}
}

// referrer makes an artifact with a subject.
func referrer(m *lt.Memory, subject ocispec.Descriptor, artifactType string) (ocispec.Descriptor, []byte) {
	man := ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, ArtifactType: artifactType,
		Config: ocispec.DescriptorEmptyJSON, Layers: []ocispec.Descriptor{ocispec.DescriptorEmptyJSON}, Subject: &subject,
	}
	d := m.AddJSON(man.MediaType, man)
	b, _ := m.Content(d.Digest)
	return d, b
}

// TestART11 finds referrers in index.json and behind the fallback tag, skipping what
// is missing (ART-10, ART-11, REG-32, REG-33).
func TestART11(t *testing.T) {
	m := lt.Image(tiny("a"))
	listed, _ := referrer(m, m.Root, "application/listed")
	tagged, _ := referrer(m, m.Root, "application/tagged")
	gone, _ := referrer(m, m.Root, "application/gone")
	dangling, _ := referrer(m, ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString("none"), Size: 4}, "application/x")
	m.Delete(gone.Digest)
	tagged.ArtifactType = "application/tagged"
	fallback := lt.Named(m.AddIndex(tagged), layout.FallbackTag(m.Root.Digest))
	dir := writeLayout(t, m, listed, fallback, lt.Named(m.Root, "v1"), gone, dangling)
	s := openDir(t, dir, layout.Reference{Name: "v1"})
	for typ, want := range map[string][]digest.Digest{
		"": {listed.Digest, tagged.Digest}, "application/listed": {listed.Digest}, "application/tagged": {tagged.Digest}, "application/x": nil,
	} {
		got, err := s.Referrers(context.Background(), m.Root, typ)
		if err != nil || len(got) != len(want) {
			t.Errorf("%q: got %v, %v; want %v", typ, got, err, want)
			continue
		}
		for i := range want {
			if got[i].Digest != want[i] {
				t.Errorf("%q: got %v, want %v", typ, got, want)
			}
		}
	}
	// Without a name, what comes with an image does not hide it, also where it is about a
	// manifest that only an image index lists.
	root := lt.Named(m.AddIndex(m.Root), "v1")
	for _, entries := range [][]ocispec.Descriptor{{root, listed}, {listed, fallback, root}, {dangling, root}} {
		s := openDir(t, writeLayout(t, m, entries...), layout.Reference{})
		if d, err := s.Resolve(context.Background()); err != nil || d.Digest != root.Digest {
			t.Errorf("got %s, %v; want %s", d.Digest, err, root.Digest)
		}
	}
	s = openDir(t, writeLayout(t, m, listed, fallback, m.Root), layout.Reference{})
	wantImage(t, s, layout.Platform{}, m.Root)
}

// TestPushKeeps: pushing keeps what index.json has besides, and many pushers lose nothing.
func TestPushKeeps(t *testing.T) {
	m := lt.Image(tiny("a"))
	dir := writeLayout(t, m)
	raw, err := os.ReadFile(filepath.Join(dir, "index.json"))
	if err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(dir, "index.json"), `{"x-unknown":{"keep":1},`+string(raw[1:]))
	const pushers = 8
	var wg sync.WaitGroup
	for i := range pushers {
		wg.Go(func() {
			s, err := layout.OpenLayout(dir, layout.Reference{})
			if err != nil {
				t.Error(err)
				return
			}
			d, b := referrer(lt.NewMemory(), m.Root, "application/n"+string(rune('a'+i)))
			if err := s.PushReferrer(context.Background(), d, b, m.Root); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	s := openDir(t, dir, layout.Reference{})
	refs, err := s.Referrers(context.Background(), m.Root, "")
	if err != nil || len(refs) != pushers {
		t.Errorf("got %d referrers, %v; want %d", len(refs), err, pushers)
	}
	wantImage(t, s, layout.Platform{}, m.Root)
	raw, err = os.ReadFile(filepath.Join(dir, "index.json"))
	if err != nil || !strings.Contains(string(raw), `"x-unknown":{"keep":1}`) {
		t.Errorf("index.json lost a member: %s, %v", raw, err)
	}
	names := map[string]bool{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names[e.Name()] = true
	}
	if want := map[string]bool{"blobs": true, "index.json": true, "oci-layout": true}; !maps.Equal(names, want) {
		t.Errorf("the layout holds %v", names)
	}
}

func TestPushRefuses(t *testing.T) {
	m := lt.Image(tiny("a"))
	dir := writeLayout(t, m)
	s := openDir(t, dir, layout.Reference{})
	other := lt.NewMemory()
	d, b := referrer(other, ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString("x"), Size: 1}, "a/b")
	err := s.PushReferrer(context.Background(), d, b, m.Root)
	wantErr(t, err, layout.ErrInvalid, "subject")
	err = s.PushReferrer(context.Background(), d, []byte("x"), m.Root)
	wantErr(t, err, layout.ErrInvalid)
	d, b = referrer(other, m.Root, "a/b")
	d.Size++
	err = s.PushReferrer(context.Background(), d, b, m.Root)
	wantErr(t, err, layout.ErrDigest)
	refs, err := s.Referrers(context.Background(), m.Root, "")
	if err != nil || len(refs) != 0 {
		t.Errorf("got %v, %v", refs, err)
	}
}

// TestPushWaits: a held lock delays a push, and ctx ends the wait.
func TestPushWaits(t *testing.T) {
	m := lt.Image(tiny("a"))
	dir := writeLayout(t, m)
	f, err := os.Open(filepath.Join(dir, "oci-layout"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	s := openDir(t, dir, layout.Reference{})
	d, b := referrer(lt.NewMemory(), m.Root, "a/b")
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Millisecond)
	defer cancel()
	if err := s.PushReferrer(ctx, d, b, m.Root); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_UN); err != nil {
		t.Fatal(err)
	}
	if err := s.PushReferrer(context.Background(), d, b, m.Root); err != nil {
		t.Error(err)
	}
}

// TestBytesBlob and TestFileBlob run the suite over the blobs that other stores are made of.
func TestBytesBlob(t *testing.T) {
	for _, n := range []int{0, 1, 5000} {
		b := lt.Bytes(n)
		lt.TestBlob(t, b, func(t *testing.T) layout.Blob {
			blob, err := layout.NewBytesBlob(ocispec.Descriptor{Digest: digest.FromBytes(b), Size: int64(n)}, b)
			if err != nil {
				t.Fatal(err)
			}
			return blob
		})
	}
}

func TestFileBlob(t *testing.T) {
	b := lt.Bytes(5000)
	path := filepath.Join(t.TempDir(), "f")
	put(t, path, string(b))
	for _, r := range [][2]int64{{0, 5000}, {0, 0}, {5000, 0}, {100, 3000}, {4999, 1}} {
		want := b[r[0] : r[0]+r[1]]
		lt.TestBlob(t, want, func(t *testing.T) layout.Blob {
			f, err := os.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			blob, err := layout.NewFileBlob(f, r[0], r[1], digest.FromBytes(want), true)
			if err != nil {
				t.Fatal(err)
			}
			return blob
		})
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = layout.NewFileBlob(f, 1, 5000, digest.FromBytes(b), true)
	wantErr(t, err, layout.ErrInvalid)
	if err := f.Close(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("the file was left open: %v", err)
	}
}
