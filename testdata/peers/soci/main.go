// Command soci makes a SOCI index of the image of an OCI layout with the library of soci-snapshotter
// that its program of the same name calls, without containerd:
//
//	soci v1|v2 SRC DST
//
// DST becomes a copy of the layout SRC with the index. With v1 ("soci create") the image is left
// as it is and the index refers to it; with v2 ("soci convert") the image becomes an image index
// of a manifest and its SOCI index. The image's name in DST is "v1" or "v2".
package main

import (
	"context"
	"log"
	"os"
	"path/filepath"

	"github.com/awslabs/soci-snapshotter/soci"
	"github.com/awslabs/soci-snapshotter/soci/store"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/shalefs/shalefs/testdata/peers/internal/layout"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) != 4 || os.Args[1] != "v1" && os.Args[1] != "v2" {
		log.Fatal("usage: soci v1|v2 SRC DST")
	}
	if err := index(context.Background(), os.Args[1], os.Args[2], os.Args[3]); err != nil {
		log.Fatalf("soci: %v", err)
	}
}

func index(ctx context.Context, version, src, path string) error {
	dst := layout.Dir(path)
	if err := os.CopyFS(path, os.DirFS(src)); err != nil {
		return err
	}
	desc, _, config, err := dst.Image()
	if err != nil {
		return err
	}
	platform := platforms.Normalize(config.Platform)
	builder, done, err := newBuilder(path)
	if err != nil {
		return err
	}
	defer done()
	image := images.Image{Name: version, Target: desc}
	roots := make([]ocispec.Descriptor, 1, 2)
	switch version {
	case "v1":
		made, err := builder.Build(ctx, image, soci.WithPlatform(platform))
		if err != nil {
			return err
		}
		roots[0] = desc
		roots = append(roots, made.Desc)
	case "v2":
		root, err := builder.Convert(ctx, image, soci.ConvertWithPlatforms(platform))
		if err != nil {
			return err
		}
		roots[0] = *root
	}
	return dst.SetRoots(version, roots...)
}

// newBuilder makes a builder that reads from and writes to a layout, until done is called. Layers of
// any size get a ztoc, and spans are short, so that small images have many.
func newBuilder(path string) (b *soci.IndexBuilder, done func(), err error) {
	work, err := os.MkdirTemp("", "soci")
	if err != nil {
		return nil, nil, err
	}
	done = func() { _ = os.RemoveAll(work) }
	defer func() {
		if err != nil {
			done()
		}
	}()
	content, err := local.NewStore(path)
	if err != nil {
		return nil, nil, err
	}
	blobs, err := store.NewSociStore(path)
	if err != nil {
		return nil, nil, err
	}
	db, err := soci.NewDB(filepath.Join(work, "artifacts.db"))
	if err != nil {
		return nil, nil, err
	}
	b, err = soci.NewIndexBuilder(content, blobs, soci.WithArtifactsDb(db), soci.WithMinLayerSize(0), soci.WithSpanSize(1<<20))
	return b, done, err
}
