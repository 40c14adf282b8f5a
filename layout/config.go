package layout

import (
	"encoding/json"
	"fmt"

	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// wireConfig is the part of a config that a mount depends on (MAN-13).
type wireConfig struct {
	Architecture string   `json:"architecture"`
	OS           string   `json:"os"`
	OSVersion    string   `json:"os.version"`
	OSFeatures   []string `json:"os.features"`
	Variant      string   `json:"variant"`
	RootFS       struct {
		Type    string   `json:"type"`
		DiffIDs []string `json:"diff_ids"`
	} `json:"rootfs"`
}

// ParseConfig parses an image config. Only platform and rootfs must be right
// (MAN-10); what else does not parse is left out, with a warning (MAN-12).
// The error wraps ErrInvalid.
func ParseConfig(raw []byte) (ocispec.Image, []string, error) {
	var w wireConfig
	if err := DecodeJSON(raw, &w); err != nil {
		return ocispec.Image{}, nil, err
	}
	if w.RootFS.Type != "layers" {
		return ocispec.Image{}, nil, fmt.Errorf("rootfs.type is %q, not %q: %w", w.RootFS.Type, "layers", ErrInvalid)
	}
	var img ocispec.Image
	var warnings []string
	if err := json.Unmarshal(raw, &img); err != nil {
		img = ocispec.Image{}
		warnings = append(warnings, "config: only platform and rootfs are used: "+err.Error())
	}
	img.Platform = ocispec.Platform{
		Architecture: w.Architecture, OS: w.OS, OSVersion: w.OSVersion,
		OSFeatures: w.OSFeatures, Variant: w.Variant,
	}
	img.RootFS = ocispec.RootFS{Type: w.RootFS.Type}
	for i, s := range w.RootFS.DiffIDs {
		d := digest.Digest(s)
		if err := CheckDigest(d); err != nil {
			return ocispec.Image{}, nil, fmt.Errorf("diffID %d: %w", i, err)
		}
		img.RootFS.DiffIDs = append(img.RootFS.DiffIDs, d)
	}
	return img, warnings, nil
}
