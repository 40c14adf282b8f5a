// Command toc converts the image of an OCI layout, whose layers are gzip, into one whose layers
// have a table of contents, with the libraries that define the formats:
//
//	toc estargz|estargz-zstd|zstd-chunked SRC DST
//
// estargz and estargz-zstd (the dialect of zstd:chunked of stargz-snapshotter) are made by
// stargz-snapshotter's library, zstd-chunked by that of containers. DST is a new layout; the
// image's name in it is that of the format.
package main

import (
	"compress/gzip"
	"fmt"
	"io"
	"log"
	"os"

	"github.com/containerd/stargz-snapshotter/estargz"
	stargzzstd "github.com/containerd/stargz-snapshotter/estargz/zstdchunked"
	kzstd "github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"go.podman.io/storage/pkg/chunked/compressor"

	"github.com/shalefs/shalefs/testdata/peers/internal/layout"
)

// A converter packs a tar into dst. It returns the layer's descriptor with its annotations, and
// the digest of the tar inside, which may be another tar.
type converter func(dst layout.Dir, tar *os.File) (ocispec.Descriptor, digest.Digest, error)

var converters = map[string]converter{
	"estargz":      stargz,
	"estargz-zstd": stargzZstd,
	"zstd-chunked": containers,
}

func main() {
	log.SetFlags(0)
	if len(os.Args) != 4 || converters[os.Args[1]] == nil {
		log.Fatal("usage: toc estargz|estargz-zstd|zstd-chunked SRC DST")
	}
	if err := convert(os.Args[1], layout.Dir(os.Args[2]), os.Args[3]); err != nil {
		log.Fatalf("toc: %v", err)
	}
}

func convert(format string, src layout.Dir, path string) error {
	_, manifest, config, err := src.Image()
	if err != nil {
		return err
	}
	dst, err := layout.Create(path)
	if err != nil {
		return err
	}
	for i := range manifest.Layers {
		if err := layer(converters[format], src, dst, &manifest.Layers[i], &config.RootFS.DiffIDs[i]); err != nil {
			return fmt.Errorf("layer %d: %w", i, err)
		}
	}
	if manifest.Config, err = dst.WriteJSON(ocispec.MediaTypeImageConfig, config); err != nil {
		return err
	}
	root, err := dst.WriteJSON(ocispec.MediaTypeImageManifest, manifest)
	if err != nil {
		return err
	}
	return dst.SetRoots(format, root)
}

// layer replaces a layer's descriptor and diffID.
func layer(f converter, src, dst layout.Dir, desc *ocispec.Descriptor, diffID *digest.Digest) error {
	if desc.MediaType != ocispec.MediaTypeImageLayerGzip {
		return fmt.Errorf("%s is not gzip", desc.MediaType)
	}
	in, err := os.Open(src.Path(desc.Digest))
	if err != nil {
		return err
	}
	defer in.Close()
	unzip, err := gzip.NewReader(in)
	if err != nil {
		return err
	}
	tar, err := os.CreateTemp("", "tar")
	if err != nil {
		return err
	}
	defer os.Remove(tar.Name())
	defer tar.Close()
	if _, err := io.Copy(tar, unzip); err != nil {
		return err
	}
	if _, err := tar.Seek(0, io.SeekStart); err != nil {
		return err
	}
	*desc, *diffID, err = f(dst, tar)
	return err
}

// stargz makes an eStargz layer. The library adds entries of its own to the tar.
func stargz(dst layout.Dir, tar *os.File) (ocispec.Descriptor, digest.Digest, error) {
	return build(dst, tar, ocispec.MediaTypeImageLayerGzip, nil)
}

// stargzZstd makes a zstd:chunked layer with stargz-snapshotter.
func stargzZstd(dst layout.Dir, tar *os.File) (ocispec.Descriptor, digest.Digest, error) {
	annotations := map[string]string{}
	return build(dst, tar, ocispec.MediaTypeImageLayerZstd, annotations, estargz.WithCompression(struct {
		*stargzzstd.Decompressor
		*stargzzstd.Compressor
	}{&stargzzstd.Decompressor{}, &stargzzstd.Compressor{CompressionLevel: kzstd.SpeedDefault, Metadata: annotations}}))
}

func build(dst layout.Dir, tar *os.File, mediaType string, annotations map[string]string, opts ...estargz.Option) (ocispec.Descriptor, digest.Digest, error) {
	info, err := tar.Stat()
	if err != nil {
		return ocispec.Descriptor{}, "", err
	}
	// Small chunks, so that files have several.
	blob, err := estargz.Build(io.NewSectionReader(tar, 0, info.Size()), append(opts, estargz.WithChunkSize(1<<20))...)
	if err != nil {
		return ocispec.Descriptor{}, "", err
	}
	desc, err := dst.WriteBlob(mediaType, func(w io.Writer) error {
		_, err := io.Copy(w, blob)
		return err
	})
	if err == nil {
		err = blob.Close() // DiffID is known only now
	}
	desc.Annotations = map[string]string{estargz.TOCJSONDigestAnnotation: blob.TOCDigest().String()}
	for k, v := range annotations {
		desc.Annotations[k] = v
	}
	return desc, blob.DiffID(), err
}

// containers makes a zstd:chunked layer with the library of podman, skopeo and buildah.
func containers(dst layout.Dir, tar *os.File) (ocispec.Descriptor, digest.Digest, error) {
	annotations := map[string]string{}
	plain := digest.Canonical.Digester()
	desc, err := dst.WriteBlob(ocispec.MediaTypeImageLayerZstd, func(w io.Writer) error {
		z, err := compressor.ZstdCompressor(w, annotations, nil)
		if err != nil {
			return err
		}
		if _, err := io.Copy(io.MultiWriter(z, plain.Hash()), tar); err != nil {
			return err
		}
		return z.Close()
	})
	desc.Annotations = annotations
	return desc, plain.Digest(), err
}
