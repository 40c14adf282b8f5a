package layout

import (
	"fmt"
	"slices"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Media types of docker that mean the same as an OCI one (MAN-1, FMT-1).
const (
	DockerManifest     = "application/vnd.docker.distribution.manifest.v2+json"
	DockerManifestList = "application/vnd.docker.distribution.manifest.list.v2+json"
	DockerConfig       = "application/vnd.docker.container.image.v1+json"
	DockerLayerTar     = "application/vnd.docker.image.rootfs.diff.tar"
	DockerLayerGzip    = "application/vnd.docker.image.rootfs.diff.tar.gzip"
	DockerLayerZstd    = "application/vnd.docker.image.rootfs.diff.tar.zstd"
	DockerForeignGzip  = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
)

// A DocumentKind is what a media type says about a document.
type DocumentKind int

// The kinds of documents.
const (
	KindUnknown  DocumentKind = iota
	KindManifest              // an image manifest, OCI or docker schema 2
	KindIndex                 // an image index, or a docker manifest list
	KindSchema1               // a docker schema 1 manifest, which is refused (MAN-2)
)

// MediaType reduces a media type to what is compared: lower case, no parameters (DIG-12).
func MediaType(s string) string {
	s, _, _ = strings.Cut(s, ";")
	return strings.ToLower(strings.TrimSpace(s))
}

// KindOf classifies a media type.
func KindOf(mediaType string) DocumentKind {
	switch MediaType(mediaType) {
	case ocispec.MediaTypeImageManifest, DockerManifest:
		return KindManifest
	case ocispec.MediaTypeImageIndex, DockerManifestList:
		return KindIndex
	case "application/vnd.docker.distribution.manifest.v1+json",
		"application/vnd.docker.distribution.manifest.v1+prettyjws":
		return KindSchema1
	}
	return KindUnknown
}

// genericType reports a media type that says nothing about a document; servers give
// such types to manifests that they do not know.
func genericType(mediaType string) bool {
	return slices.Contains([]string{"", "application/json", "text/plain", "application/octet-stream"}, MediaType(mediaType))
}

// IsImageConfig reports whether a manifest's config is an image's, to be parsed
// (MAN-9, ART-1). The values that old docker versions wrote count only in a docker manifest.
func IsImageConfig(manifestType, configType string) bool {
	switch MediaType(configType) {
	case ocispec.MediaTypeImageConfig, DockerConfig:
		return true
	case "application/octet-stream", "application/json", "text/html", "":
		return MediaType(manifestType) == DockerManifest
	}
	return false
}

// layerTypes are the layer types that can be shown, with the compression that they
// promise. The promise is a hint: content is sniffed (D7).
var layerTypes = map[string]string{
	ocispec.MediaTypeImageLayer:                                    "",
	ocispec.MediaTypeImageLayerGzip:                                "gzip",
	ocispec.MediaTypeImageLayerZstd:                                "zstd",
	"application/vnd.oci.image.layer.nondistributable.v1.tar":      "",
	"application/vnd.oci.image.layer.nondistributable.v1.tar+gzip": "gzip",
	"application/vnd.oci.image.layer.nondistributable.v1.tar+zstd": "zstd",
	DockerLayerTar:    "",
	DockerLayerGzip:   "gzip",
	DockerLayerZstd:   "zstd",
	DockerForeignGzip: "gzip",
	"application/vnd.docker.image.rootfs.foreign.diff.tar": "",
}

// LayerCompression says which compression an image layer's media type promises: "", "gzip" or
// "zstd". A type that cannot be shown gives an error that names it and wraps
// ErrUnsupported (FMT-11, FMT-15 to FMT-17).
func LayerCompression(mediaType string) (string, error) {
	mt := MediaType(mediaType)
	if c, ok := layerTypes[mt]; ok {
		return c, nil
	}
	why := "unknown layer type"
	switch {
	case strings.HasSuffix(mt, "+encrypted"):
		why = "encrypted layer"
	case strings.Contains(mt, "squashfs"):
		why = "squashfs layer"
	case strings.Contains(mt, "erofs"):
		why = "erofs layer"
	case strings.HasSuffix(mt, "+bzip2"), strings.HasSuffix(mt, "+xz"), strings.HasSuffix(mt, "+lz4"):
		why = "layer compression"
	}
	return "", fmt.Errorf("%s %q: %w", why, mediaType, ErrUnsupported)
}

// ArtifactType is the type of an artifact: artifactType, else the type of its config (ART-1).
func ArtifactType(m ocispec.Manifest) string {
	if m.ArtifactType != "" {
		return m.ArtifactType
	}
	return m.Config.MediaType
}
