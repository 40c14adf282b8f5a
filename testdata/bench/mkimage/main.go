// Mkimage writes OCI layouts of one layer for benchmarks: one big file, half of it
// random and half of it text, or very many small files. The same arguments give the
// same bytes.
//
//	mkimage big  -size BYTES -format gzip|zstd -o DIR
//	mkimage many -files N    -format gzip|zstd -o DIR
//
// The layout's one image is named like the format.
package main

import (
	"archive/tar"
	_ "crypto/sha256"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	digest "github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

var built = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func main() {
	log.SetFlags(0)
	log.SetPrefix("mkimage: ")
	if len(os.Args) < 2 {
		log.Fatal("usage: mkimage big|many [flags]")
	}
	flags := flag.NewFlagSet(os.Args[1], flag.ExitOnError)
	size := flags.Int64("size", 2<<30, "bytes of the big file")
	files := flags.Int("files", 1_000_000, "number of small files")
	format := flags.String("format", "gzip", "gzip or zstd")
	out := flags.String("o", "", "directory to make")
	if err := flags.Parse(os.Args[2:]); err != nil || *out == "" || flags.NArg() > 0 {
		log.Fatal("usage: mkimage big|many [flags]")
	}
	var fill func(*tar.Writer) error
	switch os.Args[1] {
	case "big":
		fill = func(w *tar.Writer) error { return big(w, *size) }
	case "many":
		fill = func(w *tar.Writer) error { return many(w, *files) }
	default:
		log.Fatalf("no kind of image %q", os.Args[1])
	}
	tmp := *out + ".tmp"
	err := os.RemoveAll(tmp)
	if err == nil {
		err = write(tmp, *format, fill)
	}
	if err == nil {
		err = os.Rename(tmp, *out)
	}
	if err != nil {
		log.Fatal(errors.Join(err, os.RemoveAll(tmp)))
	}
}

// write makes the layout.
func write(dir, format string, fill func(*tar.Writer) error) error {
	if err := os.MkdirAll(filepath.Join(dir, "blobs", "sha256"), 0o755); err != nil {
		return err
	}
	layer, diffID, err := writeLayer(dir, format, fill)
	if err != nil {
		return err
	}
	image := ocispec.Image{
		Created: &built, Platform: ocispec.Platform{OS: "linux", Architecture: runtime.GOARCH},
		RootFS: ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{diffID}},
	}
	config, err := writeDocument(dir, ocispec.MediaTypeImageConfig, image)
	if err != nil {
		return err
	}
	manifest, err := writeDocument(dir, ocispec.MediaTypeImageManifest, ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Config: config, Layers: []ocispec.Descriptor{layer},
	})
	if err != nil {
		return err
	}
	manifest.Annotations = map[string]string{ocispec.AnnotationRefName: format}
	index, err := json.Marshal(ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex,
		Manifests: []ocispec.Descriptor{manifest},
	})
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "index.json"), index, 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, ocispec.ImageLayoutFile), []byte(`{"imageLayoutVersion":"1.0.0"}`), 0o644)
}

func blobPath(dir string, d digest.Digest) string {
	return filepath.Join(dir, "blobs", d.Algorithm().String(), d.Encoded())
}

func writeDocument(dir, mediaType string, v any) (ocispec.Descriptor, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	desc := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(b), Size: int64(len(b))}
	return desc, os.WriteFile(blobPath(dir, desc.Digest), b, 0o644)
}

// writeLayer streams the layer into its blob.
func writeLayer(dir, format string, fill func(*tar.Writer) error) (desc ocispec.Descriptor, diffID digest.Digest, err error) {
	f, err := os.Create(filepath.Join(dir, "layer"))
	if err != nil {
		return desc, "", err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	blob, plain := digest.SHA256.Digester(), digest.SHA256.Digester()
	z, mediaType, err := compressor(format, io.MultiWriter(f, blob.Hash()))
	if err != nil {
		return desc, "", err
	}
	w := tar.NewWriter(io.MultiWriter(z, plain.Hash()))
	if err := errors.Join(fill(w), w.Close(), z.Close()); err != nil {
		return desc, "", err
	}
	info, err := f.Stat()
	if err != nil {
		return desc, "", err
	}
	desc = ocispec.Descriptor{MediaType: mediaType, Digest: blob.Digest(), Size: info.Size()}
	return desc, plain.Digest(), os.Rename(f.Name(), blobPath(dir, desc.Digest))
}

func compressor(format string, w io.Writer) (io.WriteCloser, string, error) {
	switch format {
	case "gzip":
		z, err := gzip.NewWriterLevel(w, gzip.BestSpeed)
		return z, ocispec.MediaTypeImageLayerGzip, err
	case "zstd":
		z, err := zstd.NewWriter(w)
		return z, ocispec.MediaTypeImageLayerZstd, err
	}
	return nil, "", fmt.Errorf("no format %q", format)
}
