//go:build ignore

// Generate writes the image that "make demo" mounts: an OCI layout with a static
// busybox root filesystem in three layers, one in gzip, one in plain zstd, one in
// gzip again, that use what layers can do: whiteouts, an opaque directory, hard links
// (one across layers), symlinks, extended attributes, a set-user-id file.
//
//	go run testdata/demo/generate.go -busybox /bin/busybox -o testdata/demo/image
//
// The busybox that ships is the one of Debian's package busybox-static. The same
// input gives the same bytes.
package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	_ "crypto/sha256"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"
	digest "github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// built is the time of everything in the image.
var built = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// An entry is a tar header with its content.
type entry struct {
	tar.Header
	content string
}

func dir(name string, mode int64) entry {
	return entry{Header: tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: mode}}
}

func file(name string, mode int64, content string) entry {
	return entry{Header: tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode}, content: content}
}

func link(typ byte, name, target string) entry {
	return entry{Header: tar.Header{Typeflag: typ, Name: name, Linkname: target, Mode: 0o777}}
}

func (e entry) xattr(name, value string) entry {
	e.PAXRecords = map[string]string{"SCHILY.xattr." + name: value}
	return e
}

func main() {
	log.SetFlags(0)
	busybox := flag.String("busybox", "/bin/busybox", "a static busybox")
	out := flag.String("o", "testdata/demo/image", "the layout directory to write")
	flag.Parse()
	bin, err := os.ReadFile(*busybox)
	if err != nil {
		log.Fatal(err)
	}

	base := []entry{
		dir("bin", 0o755), file("bin/busybox", 0o755, string(bin)),
		dir("dev", 0o755), {Header: tar.Header{Typeflag: tar.TypeChar, Name: "dev/null", Mode: 0o666, Devmajor: 1, Devminor: 3}},
		dir("etc", 0o755),
		file("etc/passwd", 0o644, "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"),
		file("etc/hostname", 0o644, "shale\n"),
		file("etc/motd", 0o644, "The base layer.\n"),
		dir("root", 0o700), dir("tmp", 0o1777),
		dir("usr", 0o755), dir("usr/lib", 0o755), link(tar.TypeSymlink, "lib", "usr/lib"),
		dir("var", 0o755), dir("var/cache", 0o755),
		file("var/cache/old", 0o644, "to be hidden by an opaque directory\n"),
		file("var/cache/older", 0o644, "to be hidden too\n"),
		file("var/log.txt", 0o640, "to be removed by a whiteout\n"),
	}
	for _, applet := range strings.Fields("sh ls cat echo find grep head id ln mkdir mount ps sed sort stat tail tar true uname wc") {
		base = append(base, link(tar.TypeLink, "bin/"+applet, "bin/busybox"))
	}

	app := []entry{
		dir("opt", 0o755), dir("opt/app", 0o755),
		file("opt/app/hello", 0o755, "#!/bin/sh\necho \"hello from $(cat /etc/hostname)\"\n").xattr("user.shalefs.demo", "an extended attribute"),
		file("opt/app/setuid", 0o4755, "#!/bin/sh\nexec id\n"),
		file("opt/app/numbers", 0o644, numbers(20000)),
		link(tar.TypeLink, "opt/app/passwd", "etc/passwd"),    // a hard link to a file of the layer below
		file("lib/libdemo.txt", 0o644, "through a symlink\n"), // lands in usr/lib
		file("etc/motd", 0o644, "Welcome to ShaleFS: this file came with the second layer.\n"),
	}

	top := []entry{
		file("var/.wh.log.txt", 0, ""),
		file("var/cache/.wh..wh..opq", 0, ""),
		file("var/cache/new", 0o644, "the only file that is left here\n"),
		link(tar.TypeSymlink, "opt/hello", "app/hello"),
		{Header: tar.Header{Typeflag: tar.TypeFifo, Name: "opt/app/pipe", Mode: 0o600}},
	}

	l := &layout{dir: *out}
	l.layer(ocispec.MediaTypeImageLayerGzip, gz, base)
	l.layer(ocispec.MediaTypeImageLayerZstd, zst, app)
	l.layer(ocispec.MediaTypeImageLayerGzip, gz, top)
	l.finish()
}

// numbers is some text that compresses well.
func numbers(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "%d squared is %d\n", i, i*i)
	}
	return b.String()
}

type layout struct {
	dir     string
	layers  []ocispec.Descriptor
	diffIDs []digest.Digest
}

func (l *layout) layer(mediaType string, compress func([]byte) []byte, entries []entry) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		e.ModTime = built
		e.Size = int64(len(e.content))
		e.Format = tar.FormatPAX
		check(w.WriteHeader(&e.Header))
		_, err := w.Write([]byte(e.content))
		check(err)
	}
	check(w.Close())
	l.diffIDs = append(l.diffIDs, digest.FromBytes(b.Bytes()))
	l.layers = append(l.layers, l.blob(mediaType, compress(b.Bytes())))
}

func (l *layout) blob(mediaType string, b []byte) ocispec.Descriptor {
	d := digest.FromBytes(b)
	path := filepath.Join(l.dir, "blobs", "sha256", d.Encoded())
	check(os.MkdirAll(filepath.Dir(path), 0o755))
	check(os.WriteFile(path, b, 0o644))
	return ocispec.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(b))}
}

func (l *layout) json(mediaType string, v any) ocispec.Descriptor {
	b, err := json.Marshal(v)
	check(err)
	return l.blob(mediaType, b)
}

func (l *layout) finish() {
	platform := ocispec.Platform{Architecture: "amd64", OS: "linux"}
	config := l.json(ocispec.MediaTypeImageConfig, ocispec.Image{
		Created: &built, Platform: platform,
		Config:  ocispec.ImageConfig{Cmd: []string{"/bin/sh"}, Env: []string{"PATH=/bin:/opt/app"}},
		RootFS:  ocispec.RootFS{Type: "layers", DiffIDs: l.diffIDs},
		History: []ocispec.History{{CreatedBy: "busybox"}, {CreatedBy: "the application"}, {CreatedBy: "removals"}},
	})
	manifest := l.json(ocispec.MediaTypeImageManifest, ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Config: config, Layers: l.layers,
	})
	manifest.Platform = &platform
	manifest.Annotations = map[string]string{ocispec.AnnotationRefName: "demo"}
	index, err := json.MarshalIndent(ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex,
		Manifests: []ocispec.Descriptor{manifest},
	}, "", "  ")
	check(err)
	check(os.WriteFile(filepath.Join(l.dir, "index.json"), append(index, '\n'), 0o644))
	check(os.WriteFile(filepath.Join(l.dir, "oci-layout"), []byte(`{"imageLayoutVersion":"1.0.0"}`+"\n"), 0o644))
}

func gz(b []byte) []byte {
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	check(err)
	_, err = w.Write(b)
	check(err)
	check(w.Close())
	return out.Bytes()
}

func zst(b []byte) []byte {
	w, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	check(err)
	return w.EncodeAll(b, nil)
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
