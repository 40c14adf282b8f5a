package layouttest

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/klauspost/compress/zstd"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/shalefs/shalefs/layout"
)

// Gzip compresses b as one gzip member with an empty header.
func Gzip(b []byte) []byte {
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	must(w.Write(b))
	must(0, w.Close())
	return buf.Bytes()
}

// Zstd compresses b as one zstd frame with a checksum.
func Zstd(b []byte) []byte {
	w, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	must(0, err)
	return w.EncodeAll(b, nil)
}

// decompress undoes Gzip and Zstd.
func decompress(b []byte) []byte {
	switch layout.SniffCompression(b) {
	case "gzip":
		r, err := gzip.NewReader(bytes.NewReader(b))
		must(0, err)
		var out bytes.Buffer
		must(out.ReadFrom(r))
		return out.Bytes()
	case "zstd":
		r, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
		must(0, err)
		defer r.Close()
		out, err := r.DecodeAll(b, nil)
		must(0, err)
		return out
	}
	return b
}

func must[T any](_ T, err error) {
	if err != nil {
		panic(err)
	}
}

// layerType is the media type that fits a layer's bytes.
func layerType(b []byte) string {
	switch layout.SniffCompression(b) {
	case "gzip":
		return ocispec.MediaTypeImageLayerGzip
	case "zstd":
		return ocispec.MediaTypeImageLayerZstd
	}
	return ocispec.MediaTypeImageLayer
}

// Image makes a store that holds one image for linux on this machine's processor. A
// layer is a tar, or one compressed by Gzip or Zstd; its media type and diffID follow.
func Image(layers ...[]byte) *Memory {
	m := NewMemory()
	m.Root = m.AddImage(layout.Platform{OS: "linux", Architecture: runtime.GOARCH}, layers...)
	return m
}

// AddImage adds an image for a platform and returns its manifest's descriptor, with the platform.
func (m *Memory) AddImage(p layout.Platform, layers ...[]byte) ocispec.Descriptor {
	man := ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, Layers: []ocispec.Descriptor{}}
	man.SchemaVersion = 2
	cfg := ocispec.Image{Platform: p, RootFS: ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{}}}
	for _, l := range layers {
		man.Layers = append(man.Layers, m.Add(layerType(l), l))
		cfg.RootFS.DiffIDs = append(cfg.RootFS.DiffIDs, digest.FromBytes(decompress(l)))
	}
	man.Config = m.AddJSON(ocispec.MediaTypeImageConfig, cfg)
	d := m.AddJSON(man.MediaType, man)
	d.Platform = &p
	return d
}

// AddJSON stores a document.
func (m *Memory) AddJSON(mediaType string, v any) ocispec.Descriptor {
	b, err := json.Marshal(v)
	must(0, err)
	return m.Add(mediaType, b)
}

// AddIndex stores an image index of the entries.
func (m *Memory) AddIndex(entries ...ocispec.Descriptor) ocispec.Descriptor {
	return m.AddJSON(ocispec.MediaTypeImageIndex, Index(entries...))
}

// Index makes an image index.
func Index(entries ...ocispec.Descriptor) ocispec.Index {
	idx := ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Manifests: entries}
	idx.SchemaVersion = 2
	if entries == nil {
		idx.Manifests = []ocispec.Descriptor{}
	}
	return idx
}

// Named returns d with a name, as index.json carries it.
func Named(d ocispec.Descriptor, name string) ocispec.Descriptor {
	d.Annotations = map[string]string{ocispec.AnnotationRefName: name}
	return d
}

// WriteLayout writes everything in the store as a layout directory. index.json lists the
// entries, or Root if there are none.
func (m *Memory) WriteLayout(dir string, entries ...ocispec.Descriptor) error {
	if entries == nil && m.Root.Digest != "" {
		entries = []ocispec.Descriptor{m.Root}
	}
	for name, b := range m.LayoutFiles(entries...) {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, b, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// LayoutFiles returns the files of a layout directory by name.
func (m *Memory) LayoutFiles(entries ...ocispec.Descriptor) map[string][]byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	idx, err := json.Marshal(Index(entries...))
	must(0, err)
	files := map[string][]byte{
		ocispec.ImageLayoutFile: []byte(`{"imageLayoutVersion":"1.0.0"}`),
		ocispec.ImageIndexFile:  idx,
	}
	for d, b := range m.content {
		files[fmt.Sprintf("blobs/%s/%s", d.Algorithm(), d.Encoded())] = b
	}
	return files
}
