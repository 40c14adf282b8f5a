package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	digest "github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/rogpeppe/go-internal/testscript"
)

// exits runs a program and checks its exit code: exits CODE PROGRAM ARG...
// Standard output and error are there for "stdout" and "stderr" like after exec.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARG...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%s: %v", args[1], err)
	}
	if got != want {
		ts.Fatalf("%s: exit code %d, want %d", strings.Join(args[1:], " "), got, want)
	}
}

// flip changes one byte of each file that matches a pattern and is at least so long: flip PATTERN OFFSET
func flip(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: flip PATTERN OFFSET")
	}
	off, err := strconv.Atoi(args[1])
	ts.Check(err)
	paths, err := filepath.Glob(ts.MkAbs(args[0]))
	ts.Check(err)
	if len(paths) == 0 {
		ts.Fatalf("flip: nothing matches %s", args[0])
	}
	for _, p := range paths {
		b, err := os.ReadFile(p)
		ts.Check(err)
		if len(b) > off {
			b[off] ^= 0x55
			ts.Check(os.WriteFile(p, b, 0o644))
		}
	}
}

// tarfile makes a layout whose only layer holds files with the given names, each with its
// name as content; names may have Go escapes: tarfile LAYOUT NAME...
func tarfile(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: tarfile LAYOUT NAME...")
	}
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	sum := digest.Canonical.Digester()
	w := tar.NewWriter(multi(z, sum.Hash()))
	for _, name := range args[1:] {
		if n, err := strconv.Unquote(`"` + name + `"`); err == nil {
			name = n
		}
		ts.Check(w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(name)), Typeflag: tar.TypeReg}))
		_, err := w.Write([]byte(name))
		ts.Check(err)
	}
	ts.Check(w.Close())
	ts.Check(z.Close())
	writeLayout(ts, ts.MkAbs(args[0]), b.Bytes(), sum.Digest())
}

type multiWriter []interface{ Write([]byte) (int, error) }

func multi(w ...interface{ Write([]byte) (int, error) }) multiWriter { return w }

func (m multiWriter) Write(p []byte) (int, error) {
	for _, w := range m {
		if n, err := w.Write(p); err != nil {
			return n, err
		}
	}
	return len(p), nil
}

// writeLayout writes a layout with one image of one gzip layer.
func writeLayout(ts *testscript.TestScript, dir string, layer []byte, diffID digest.Digest) {
	blob := func(mediaType string, b []byte) ocispec.Descriptor {
		d := digest.FromBytes(b)
		p := filepath.Join(dir, "blobs", "sha256", d.Encoded())
		ts.Check(os.MkdirAll(filepath.Dir(p), 0o755))
		ts.Check(os.WriteFile(p, b, 0o644))
		return ocispec.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(b))}
	}
	asJSON := func(v any) []byte {
		b, err := json.Marshal(v)
		ts.Check(err)
		return b
	}
	config := blob(ocispec.MediaTypeImageConfig, asJSON(ocispec.Image{
		Platform: ocispec.Platform{OS: "linux", Architecture: "amd64"},
		RootFS:   ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{diffID}},
	}))
	manifest := blob(ocispec.MediaTypeImageManifest, asJSON(ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Config: config, Layers: []ocispec.Descriptor{blob(ocispec.MediaTypeImageLayerGzip, layer)},
	}))
	index := asJSON(ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, Manifests: []ocispec.Descriptor{manifest}})
	ts.Check(os.WriteFile(filepath.Join(dir, "index.json"), index, 0o644))
	ts.Check(os.WriteFile(filepath.Join(dir, "oci-layout"), []byte(`{"imageLayoutVersion":"1.0.0"}`), 0o644))
}
