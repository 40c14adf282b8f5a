package archive

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/shalefs/shalefs/layout"
	lt "github.com/shalefs/shalefs/layout/layouttest"
)

// TestPeers reads what skopeo and umoci write (LAY-7, LAY-15, LAY-17, LAY-18): one image, by name, in
// every form.
func TestPeers(t *testing.T) {
	for _, tool := range []string{"skopeo", "umoci"} {
		if _, err := exec.LookPath(tool); err != nil {
			if os.Getenv("SHALEFS_PEERS") != "" && os.Geteuid() == 0 { // "make test" installed it
				t.Fatal(err)
			}
			t.Skipf("%s is not installed; make tools installs it", tool)
		}
	}
	dir := t.TempDir()
	run := func(name string, args ...string) {
		t.Helper()
		cmd := exec.Command(name, args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s %v: %v: %s", name, args, err, out)
		}
	}
	a, b := lt.Tar(lt.File("a", string(lt.Bytes(50000)))), lt.Tar(lt.File("b", "b"))
	m := lt.Image(a, lt.Gzip(b), a)
	if err := m.WriteLayout(filepath.Join(dir, "src"), lt.Named(m.Root, "v1")); err != nil {
		t.Fatal(err)
	}
	copyTo := func(args ...string) {
		t.Helper()
		run("skopeo", append([]string{"--insecure-policy", "copy", "--quiet", "oci:src:v1"}, args...)...)
	}
	copyTo("docker-archive:docker.tar:example.org/x:1")
	copyTo("oci-archive:oci.tar:v1")
	copyTo("--dest-compress-format=zstd", "oci-archive:zstd.tar:v1")
	copyTo("oci:dir:v1")
	run("umoci", "tag", "--image", "dir:v1", "umoci")
	run("gzip", "-k", "oci.tar", "docker.tar")

	for _, s := range []string{
		"docker-archive:docker.tar:example.org/x:1", "docker-archive:docker.tar", "docker-archive:docker.tar.gz:example.org/x:1",
		"oci-archive:oci.tar:v1", "oci-archive:oci.tar", "oci-archive:oci.tar.gz:v1", "oci-archive:zstd.tar:v1",
		"oci:dir:v1", "oci:dir:umoci", "oci:src",
	} {
		ref, err := layout.Parse(s)
		if err != nil {
			t.Fatal(err)
		}
		ref.Path = filepath.Join(dir, ref.Path)
		var st layout.Store
		if ref.Transport == layout.Layout {
			st, err = layout.OpenLayout(ref.Path, ref)
		} else {
			st, err = Open(ref, t.TempDir())
		}
		if err != nil {
			t.Errorf("%s: %v", s, err)
			continue
		}
		checkLayers(t, s, st, a, b, a)
		if err := st.Close(); err != nil {
			t.Errorf("%s: Close: %v", s, err)
		}
	}
}

// checkLayers compares the layers of a store's image, decompressed, with what they must be.
func checkLayers(t *testing.T, name string, s layout.Store, want ...[]byte) {
	t.Helper()
	ctx := context.Background()
	img, err := layout.LoadImage(ctx, s, layout.Platform{})
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	if len(img.Layers) != len(want) {
		t.Errorf("%s: %d layers, want %d", name, len(img.Layers), len(want))
		return
	}
	for i, l := range img.Layers {
		blob, err := layout.OpenBlob(ctx, s, l)
		if err != nil {
			t.Errorf("%s: layer %d: %v", name, i, err)
			continue
		}
		raw := make([]byte, blob.Size())
		if _, err := blob.ReadAt(ctx, raw, 0); err != nil {
			t.Errorf("%s: layer %d: %v", name, i, err)
		}
		if err := layout.VerifyBytes(l, raw); err != nil {
			t.Errorf("%s: layer %d: %v", name, i, err)
		}
		if got := unpackBytes(t, raw); !bytes.Equal(got, want[i]) {
			t.Errorf("%s: layer %d: other bytes than were put in", name, i)
		}
		if err := blob.Close(); err != nil {
			t.Error(err)
		}
	}
}

func unpackBytes(t *testing.T, b []byte) []byte {
	t.Helper()
	var r io.Reader = bytes.NewReader(b)
	var err error
	switch layout.SniffCompression(b) {
	case "gzip":
		r, err = gzip.NewReader(r)
	case "zstd":
		r, err = zstd.NewReader(r)
	}
	if err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
