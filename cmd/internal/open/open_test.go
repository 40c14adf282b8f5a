package open

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/shalefs/shalefs/index"
	"github.com/shalefs/shalefs/index/tarx"
	"github.com/shalefs/shalefs/layout"
	"github.com/shalefs/shalefs/layout/layouttest"
	"github.com/shalefs/shalefs/lazy"
	"github.com/shalefs/shalefs/lazy/cache"
)

// writeImage writes a layout with one image of the given layers.
func writeImage(t *testing.T, layers ...[]byte) string {
	t.Helper()
	m := layouttest.Image(layers...)
	dir := filepath.Join(t.TempDir(), "layout")
	if err := m.WriteLayout(dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

// openTest opens an image with a cache of its own, unless the options name one.
func openTest(t *testing.T, ref string, opt Options) *Image {
	t.Helper()
	if opt.CacheDir == "" {
		opt.CacheDir = filepath.Join(t.TempDir(), "cache")
	}
	img, err := Open(context.Background(), ref, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := img.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return img
}

// readFile reads a file of the image whole.
func readFile(img *Image, path string) ([]byte, error) {
	ino, err := img.Tree.Resolve(path, false)
	if err != nil {
		return nil, err
	}
	b := make([]byte, img.Tree.Attr(ino).Size)
	n, err := img.Content.ReadAt(context.Background(), ino, b, 0)
	return b[:n], err
}

func wantFile(t *testing.T, img *Image, path string, want []byte) {
	t.Helper()
	got, err := readFile(img, path)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("%s: wrong content", path)
	}
}

func sources(img *Image) string {
	var out []string
	for _, l := range img.Each() {
		out = append(out, string(l.Source)+"/"+l.Checked())
	}
	return strings.Join(out, " ")
}

func TestOpenSources(t *testing.T) {
	big := layouttest.Bytes(3 << 20)
	files := map[string][]byte{"small": []byte("some text"), "dir/big": big}
	tarball := layouttest.TarFiles(files)
	dir := writeImage(t, layouttest.Gzip(tarball), layouttest.Zstd(layouttest.TarFiles(map[string][]byte{"z": big[:100000]})))
	ref := "oci:" + dir
	cacheDir := filepath.Join(t.TempDir(), "cache")

	img := openTest(t, ref, Options{CacheDir: cacheDir, OneShot: true})
	if got, want := sources(img), "pass/yes pass/yes"; got != want {
		t.Errorf("first: %s, want %s", got, want)
	}
	wantFile(t, img, "/dir/big", big)
	if s := img.Group.Stats(); s.Requests != 0 {
		t.Errorf("the pass did not fill the cache: %d requests", s.Requests)
	}
	img = openTest(t, ref, Options{CacheDir: cacheDir, OneShot: true})
	if got, want := sources(img), "cache/yes cache/yes"; got != want {
		t.Errorf("again: %s, want %s", got, want)
	}
	desc, err := img.PushIndexes(context.Background(), "")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		opt  Options
		want string
	}{
		"pushed":   {Options{OneShot: true}, "referrer/no referrer/no"},
		"strict":   {Options{OneShot: true, Trust: TrustStrict}, "pass/yes pass/yes"},
		"pinned":   {Options{OneShot: true, IndexDigest: desc.Digest}, "referrer/yes referrer/yes"},
		"registry": {Options{Trust: TrustRegistry}, "referrer/no referrer/no"},
		"both":     {Options{OneShot: true, IndexDigest: desc.Digest, Trust: TrustStrict}, "referrer/yes referrer/yes"},
	} {
		t.Run(name, func(t *testing.T) {
			img := openTest(t, ref, c.opt)
			if got := sources(img); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
			wantFile(t, img, "/small", []byte("some text"))
			wantFile(t, img, "/dir/big", big)
			wantFile(t, img, "/z", big[:100000])
		})
	}
	t.Run("background", func(t *testing.T) {
		img := openTest(t, ref, Options{})
		wantFile(t, img, "/dir/big", big)
		eventually(t, "the indexes are checked", func() bool { return sources(img) == "referrer/yes referrer/yes" })
	})
	t.Run("pinned to another", func(t *testing.T) {
		_, err := Open(context.Background(), ref, Options{CacheDir: filepath.Join(t.TempDir(), "c"), IndexDigest: digest.FromString("x")})
		if !errors.Is(err, layout.ErrNotFound) {
			t.Errorf("got %v, want not found", err)
		}
	})
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within a minute: %s", what)
		}
	}
}

// lyingBlob is the layer that a forger would like: another tar under the layer's name.
type lyingBlob struct {
	layout.Blob
	digest digest.Digest
}

func (b lyingBlob) Digest() digest.Digest { return b.digest }

// forge puts an index that tells another story about a plain tar into a cache, as one
// that a walk over the tar's headers brought. lie must be as long as the tar.
func forge(t *testing.T, dir string, tarball, lie []byte) {
	t.Helper()
	if len(lie) != len(tarball) {
		t.Fatalf("a lie of %d bytes about %d", len(lie), len(tarball))
	}
	d := digest.FromBytes(tarball)
	blob, err := layout.NewBytesBlob(ocispec.Descriptor{Digest: digest.FromBytes(lie), Size: int64(len(lie))}, lie)
	if err != nil {
		t.Fatal(err)
	}
	b, _, err := index.FromWalk(context.Background(), lyingBlob{blob, d}, tarx.WalkOptions{})
	if err != nil {
		t.Fatal(err)
	}
	c, err := cache.Open(dir, cache.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.PutDoc("borrowed", docName(d), b); err != nil {
		t.Fatal(err)
	}
}

// TestForgedIndex: an index that lies is found by the check behind the mount: the layer is
// failed as a whole, and the next time another source is used.
func TestForgedIndex(t *testing.T) {
	secret := layouttest.Bytes(walkLeast)
	tarball := layouttest.TarFiles(map[string][]byte{"data": secret, "right": []byte("the truth")})
	lie := layouttest.TarFiles(map[string][]byte{"data": secret, "wrong": []byte("the truth")})
	dir := writeImage(t, tarball)
	cacheDir, cacheDir2 := filepath.Join(t.TempDir(), "cache"), filepath.Join(t.TempDir(), "cache2")
	forge(t, cacheDir, tarball, lie)
	forge(t, cacheDir2, tarball, lie)

	img := openTest(t, "oci:"+dir, Options{CacheDir: cacheDir})
	eventually(t, "the lie is found", func() bool { return strings.Contains(sources(img), "REFUTED") })
	for _, path := range []string{"/data", "/wrong"} {
		if b, err := readFile(img, path); !errors.Is(err, lazy.ErrCorrupt) || len(b) > 0 {
			t.Errorf("%s after the check: %d bytes, %v", path, len(b), err)
		}
	}
	img = openTest(t, "oci:"+dir, Options{CacheDir: cacheDir})
	if got := sources(img); got != "pass/yes" {
		t.Errorf("the next time: %s, want a pass", got)
	}
	wantFile(t, img, "/right", []byte("the truth"))

	img = openTest(t, "oci:"+dir, Options{Trust: TrustStrict})
	wantFile(t, img, "/right", []byte("the truth"))

	img = openTest(t, "oci:"+dir, Options{OneShot: true, CacheDir: cacheDir2})
	results, err := img.VerifyIndexes(context.Background())
	if err != nil || len(results) != 1 || !strings.Contains(results[0].Difference, "wrong") {
		t.Errorf("index verify: %+v, %v", results, err)
	}
}

// TestDIG_8: names in the cache hold the algorithm.
func TestDIG_8(t *testing.T) {
	a, b := digest.SHA256.FromString("x"), digest.SHA512.FromString("x")
	if n := docName(a); n != "sha256-"+a.Encoded() || n == docName(b) {
		t.Errorf("names %s and %s", n, docName(b))
	}
}

// TestREF_5: a tag is resolved once; what is mounted does not follow it.
func TestREF_5(t *testing.T) {
	dir := writeImage(t, layouttest.Gzip(layouttest.TarFiles(map[string][]byte{"f": layouttest.Bytes(1 << 20)})))
	img := openTest(t, "oci:"+dir, Options{OneShot: true, NoCache: true})
	before := img.Meta.Descriptor.Digest
	other := writeImage(t, layouttest.Gzip(layouttest.TarFiles(map[string][]byte{"g": []byte("new")})))
	if err := os.Rename(filepath.Join(dir, "blobs"), filepath.Join(other, "old")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"blobs", "index.json"} {
		if err := os.Rename(filepath.Join(other, name), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	wantFile(t, img, "/f", layouttest.Bytes(1<<20))
	again := openTest(t, "oci:"+dir, Options{OneShot: true})
	if again.Meta.Descriptor.Digest == before {
		t.Fatal("the tag did not move")
	}
	if _, err := again.Tree.Resolve("/f", false); err == nil {
		t.Error("the new image has the old file")
	}
}

// TestWalk: a plain tar is opened by its headers, and reads of it are lazy.
func TestWalk(t *testing.T) {
	big := layouttest.Bytes(20 << 20)
	dir := writeImage(t, layouttest.TarFiles(map[string][]byte{"model": big, "readme": []byte("hello")}))
	img := openTest(t, "oci:"+dir, Options{OneShot: true})
	if got := sources(img); got != "tar headers/no" {
		t.Errorf("%s, want a walk", got)
	}
	wantFile(t, img, "/readme", []byte("hello"))
	wantFile(t, img, "/model", big)
	if err := img.BindAll(context.Background()); err != nil {
		t.Fatal(err)
	}
	if got := sources(img); got != "tar headers/yes" {
		t.Errorf("after the check: %s", got)
	}
}

// TestDamagedIndex: an index in the cache that is damaged or cut is made anew.
func TestDamagedIndex(t *testing.T) {
	dir := writeImage(t, layouttest.Gzip(layouttest.TarFiles(map[string][]byte{"f": layouttest.Bytes(1 << 20)})))
	cacheDir := filepath.Join(t.TempDir(), "cache")
	openTest(t, "oci:"+dir, Options{CacheDir: cacheDir, OneShot: true})
	paths, err := filepath.Glob(filepath.Join(cacheDir, "v1", "doc", "index", "*"))
	if err != nil || len(paths) != 1 {
		t.Fatalf("indexes: %v, %v", paths, err)
	}
	whole, err := os.ReadFile(paths[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{0, 10, len(whole) / 2, len(whole) - 1} {
		b := bytes.Clone(whole)
		b[n] ^= 1
		for _, damaged := range [][]byte{b, whole[:n]} {
			if err := os.WriteFile(paths[0], damaged, 0o644); err != nil {
				t.Fatal(err)
			}
			img := openTest(t, "oci:"+dir, Options{CacheDir: cacheDir, OneShot: true})
			wantFile(t, img, "/f", layouttest.Bytes(1<<20))
		}
	}
}

func TestParseProfile(t *testing.T) {
	good, err := json.Marshal(Profile{Version: 1, Layers: []ProfileLayer{{DiffID: digest.FromString("x"), Ranges: [][2]int64{{0, 5}}}}})
	if err != nil {
		t.Fatal(err)
	}
	if p, err := ParseProfile(good); err != nil || len(p.Layers) != 1 {
		t.Errorf("good: %v, %v", p, err)
	}
	for _, bad := range []string{"", "[]", "{}", `{"version":2}`, `{"version":1,"layers":[{"diff_id":"x"}]}`,
		`{"version":1,"layers":[{"diff_id":"` + digest.FromString("x").String() + `","ranges":[[-1,5]]}]}`,
		`{"version":1,"layers":[{"diff_id":"` + digest.FromString("x").String() + `","ranges":[[9223372036854775807,5]]}]}`} {
		if _, err := ParseProfile([]byte(bad)); !errors.Is(err, layout.ErrInvalid) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func FuzzParseProfile(f *testing.F) {
	f.Add([]byte(`{"version":1,"layers":[{"diff_id":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","ranges":[[0,5]]}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := ParseProfile(b)
		if err != nil {
			return
		}
		for _, l := range p.Layers {
			for _, r := range l.Ranges {
				if r[0] < 0 || r[1] < 0 || r[0]+r[1] < 0 {
					t.Fatalf("range %v", r)
				}
			}
		}
	})
}

// TestProfile: what was recorded is fetched ahead the next time.
func TestProfile(t *testing.T) {
	big := layouttest.Bytes(4 << 20)
	dir := writeImage(t, layouttest.Gzip(layouttest.TarFiles(map[string][]byte{"a": big, "b": big[5:]})))
	img := openTest(t, "oci:"+dir, Options{Record: true, OneShot: true})
	wantFile(t, img, "/b", big[5:])
	path := filepath.Join(t.TempDir(), "profile.json")
	if err := img.WriteProfile(path); err != nil {
		t.Fatal(err)
	}
	if _, err := img.PushIndexes(context.Background(), path); err != nil {
		t.Fatal(err)
	}
	img = openTest(t, "oci:"+dir, Options{Trust: TrustRegistry})
	l := img.Layers[0]
	eventually(t, "the profile is fetched", func() bool { return l.Loader.Stats().BytesDecoded >= int64(len(big)) })
	before := img.Group.Stats().Requests
	wantFile(t, img, "/b", big[5:])
	if after := img.Group.Stats().Requests; after != before {
		t.Errorf("%d requests for what the profile named", after-before)
	}
}
