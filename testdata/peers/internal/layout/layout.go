// Package layout reads and writes the OCI image layouts that the programs of this module convert.
// A layout has one image, whose manifest index.json names.
package layout

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// A Dir is the directory of a layout.
type Dir string

// Create makes an empty layout.
func Create(path string) (Dir, error) {
	d := Dir(path)
	if err := os.MkdirAll(filepath.Join(path, "blobs", "sha256"), 0o755); err != nil {
		return "", err
	}
	return d, d.writeFile(ocispec.ImageLayoutFile, ocispec.ImageLayout{Version: ocispec.ImageLayoutVersion})
}

// Path is the path of a blob.
func (d Dir) Path(dgst digest.Digest) string {
	return filepath.Join(string(d), "blobs", dgst.Algorithm().String(), dgst.Encoded())
}

// Image reads the descriptor of the image's manifest, the manifest, and the config.
func (d Dir) Image() (desc ocispec.Descriptor, m ocispec.Manifest, c ocispec.Image, err error) {
	var list ocispec.Index
	if err = readJSON(filepath.Join(string(d), ocispec.ImageIndexFile), &list); err != nil {
		return desc, m, c, err
	}
	if len(list.Manifests) != 1 || list.Manifests[0].MediaType != ocispec.MediaTypeImageManifest {
		return desc, m, c, fmt.Errorf("%s: not one image", d)
	}
	desc = list.Manifests[0]
	if err = readJSON(d.Path(desc.Digest), &m); err == nil {
		err = readJSON(d.Path(m.Config.Digest), &c)
	}
	return desc, m, c, err
}

// SetRoots makes index.json list documents and nothing else, the first of them with a name.
func (d Dir) SetRoots(name string, roots ...ocispec.Descriptor) error {
	roots[0].Annotations = map[string]string{ocispec.AnnotationRefName: name}
	return d.writeFile(ocispec.ImageIndexFile, ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: roots,
	})
}

// WriteJSON stores a document and returns its descriptor.
func (d Dir) WriteJSON(mediaType string, v any) (ocispec.Descriptor, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	dgst := digest.FromBytes(b)
	return ocispec.Descriptor{MediaType: mediaType, Digest: dgst, Size: int64(len(b))}, os.WriteFile(d.Path(dgst), b, 0o644)
}

// WriteBlob stores what write writes.
func (d Dir) WriteBlob(mediaType string, write func(w io.Writer) error) (ocispec.Descriptor, error) {
	f, err := os.CreateTemp(string(d), "blob")
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	defer f.Close()
	h := digest.Canonical.Digester()
	if err := write(io.MultiWriter(f, h.Hash())); err != nil {
		return ocispec.Descriptor{}, err
	}
	size, err := f.Seek(0, io.SeekCurrent)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	return ocispec.Descriptor{MediaType: mediaType, Digest: h.Digest(), Size: size}, os.Rename(f.Name(), d.Path(h.Digest()))
}

func (d Dir) writeFile(name string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(string(d), name), b, 0o644)
}

func readJSON(path string, v any) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}
