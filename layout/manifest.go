package layout

import (
	"encoding/base64"
	"encoding/json"
	"fmt"

	digest "github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// wireDescriptor is a descriptor as it is read: its data may be anything, since bad data
// must not make the document bad (DIG-9).
type wireDescriptor struct {
	MediaType    string            `json:"mediaType"`
	Digest       string            `json:"digest"`
	Size         int64             `json:"size"`
	URLs         []string          `json:"urls"`
	Annotations  map[string]string `json:"annotations"`
	Data         json.RawMessage   `json:"data"`
	Platform     *ocispec.Platform `json:"platform"`
	ArtifactType string            `json:"artifactType"`
}

// wireDocument is a manifest or an image index, or what pretends to be one.
type wireDocument struct {
	SchemaVersion int               `json:"schemaVersion"`
	MediaType     string            `json:"mediaType"`
	ArtifactType  string            `json:"artifactType"`
	Config        *wireDescriptor   `json:"config"`
	Layers        []wireDescriptor  `json:"layers"`
	Manifests     []wireDescriptor  `json:"manifests"`
	Subject       *wireDescriptor   `json:"subject"`
	Annotations   map[string]string `json:"annotations"`
	FSLayers      json.RawMessage   `json:"fsLayers"`
}

func (w *wireDescriptor) descriptor(warn func(string)) ocispec.Descriptor {
	d := ocispec.Descriptor{
		MediaType:    w.MediaType,
		Digest:       digest.Digest(w.Digest),
		Size:         w.Size,
		URLs:         w.URLs,
		Annotations:  w.Annotations,
		Platform:     w.Platform,
		ArtifactType: w.ArtifactType,
	}
	if len(w.Data) == 0 || string(w.Data) == "null" {
		return d
	}
	var s string
	err := json.Unmarshal(w.Data, &s)
	if err == nil {
		d.Data, err = base64.StdEncoding.DecodeString(s)
	}
	if err != nil {
		d.Data = nil
		warn(fmt.Sprintf("descriptor %q: embedded data ignored: not base64", d.Digest))
	}
	return d
}

func descriptors(ws []wireDescriptor, warn func(string)) []ocispec.Descriptor {
	ds := make([]ocispec.Descriptor, len(ws))
	for i := range ws {
		ds[i] = ws[i].descriptor(warn)
	}
	return ds
}

// A Document is a parsed manifest or image index: one of the two is set.
type Document struct {
	MediaType string // the document's type, without parameters
	Manifest  *ocispec.Manifest
	Index     *ocispec.Index
	Warnings  []string
}

// ParseDocument parses a manifest or an image index. mediaType is that of its
// descriptor or response; it decides, unless it is one that says nothing, such as
// application/json. A body of another type is refused (MAN-2 to MAN-6).
// Errors: ErrInvalid, ErrUnsupported.
func ParseDocument(raw []byte, mediaType string) (*Document, error) {
	var w wireDocument
	if err := DecodeJSON(raw, &w); err != nil {
		return nil, err
	}
	kind, mt, err := documentKind(&w, mediaType)
	if err != nil {
		return nil, err
	}
	doc := &Document{MediaType: mt}
	warn := func(s string) { doc.Warnings = append(doc.Warnings, s) }
	versioned := specs.Versioned{SchemaVersion: w.SchemaVersion}
	var subject *ocispec.Descriptor
	if w.Subject != nil {
		s := w.Subject.descriptor(warn)
		subject = &s
	}
	if kind == KindIndex {
		doc.Index = &ocispec.Index{
			Versioned: versioned, MediaType: mt, ArtifactType: w.ArtifactType,
			Manifests: descriptors(w.Manifests, warn), Subject: subject, Annotations: w.Annotations,
		}
		return doc, nil
	}
	if w.Config == nil {
		return nil, fmt.Errorf("manifest has no config: %w", ErrInvalid)
	}
	doc.Manifest = &ocispec.Manifest{
		Versioned: versioned, MediaType: mt, ArtifactType: w.ArtifactType,
		Config: w.Config.descriptor(warn), Layers: descriptors(w.Layers, warn),
		Subject: subject, Annotations: w.Annotations,
	}
	return doc, nil
}

// documentKind decides what a document is, or refuses it.
func documentKind(w *wireDocument, mediaType string) (DocumentKind, string, error) {
	if KindOf(mediaType) == KindSchema1 || KindOf(w.MediaType) == KindSchema1 ||
		w.SchemaVersion == 1 || len(w.FSLayers) > 0 {
		return 0, "", fmt.Errorf("docker schema 1 manifest: %w", ErrUnsupported)
	}
	given := MediaType(mediaType)
	body := MediaType(w.MediaType)
	switch {
	case genericType(given):
		given = body
	case body != "" && body != given:
		return 0, "", fmt.Errorf("document of type %q was given as %q: %w", w.MediaType, mediaType, ErrInvalid)
	}
	isIndex := w.Manifests != nil
	isManifest := w.Config != nil || w.Layers != nil
	if body == "" && isIndex && isManifest {
		return 0, "", fmt.Errorf("document is both a manifest and an image index: %w", ErrInvalid)
	}
	if given == "" {
		switch {
		case isIndex:
			given = ocispec.MediaTypeImageIndex
		case isManifest:
			given = ocispec.MediaTypeImageManifest
		}
	}
	kind := KindOf(given)
	if kind == KindUnknown {
		return 0, "", fmt.Errorf("document type %q: %w", given, ErrUnsupported)
	}
	if w.SchemaVersion != 2 {
		return 0, "", fmt.Errorf("schemaVersion is %d, not 2: %w", w.SchemaVersion, ErrInvalid)
	}
	return kind, given, nil
}
