package main

import (
	"encoding/json"
	"fmt"
	"time"

	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/spf13/cobra"

	"github.com/shalefs/shalefs/cmd/internal/open"
	"github.com/shalefs/shalefs/layout"
)

// An inspectJSON is what "inspect" prints.
type inspectJSON struct {
	Reference    string               `json:"reference"`
	Digest       digest.Digest        `json:"digest"`
	MediaType    string               `json:"media_type"`
	IndexDigest  digest.Digest        `json:"index_digest,omitempty"` // of the image index it was chosen from
	ArtifactType string               `json:"artifact_type,omitempty"`
	Platform     string               `json:"platform,omitempty"`
	Created      *time.Time           `json:"created,omitempty"`
	Author       string               `json:"author,omitempty"`
	Config       *ocispec.ImageConfig `json:"config,omitempty"`
	Layers       int                  `json:"layers"`
	Size         int64                `json:"size"` // of the layers, compressed
	Subject      *ocispec.Descriptor  `json:"subject,omitempty"`
	Annotations  map[string]string    `json:"annotations,omitempty"`
	Unsupported  string               `json:"unsupported,omitempty"` // why it cannot be mounted
	Warnings     []string             `json:"warnings,omitempty"`
}

func newInspect() *cobra.Command {
	var s settings
	var raw, config bool
	c := &cobra.Command{
		Use: "inspect REF", Short: "Show manifest and config of an image or an artifact, as JSON",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.withSession(args[0], func(sess *open.Session) error {
				img, err := sess.Documents(cmd.Context())
				if err != nil {
					return err
				}
				switch {
				case raw:
					_, err = cmd.OutOrStdout().Write(img.RawManifest)
					return err
				case config:
					if img.RawConfig == nil {
						return fmt.Errorf("%s: an artifact has no image config: %w", args[0], layout.ErrUnsupported)
					}
					_, err = cmd.OutOrStdout().Write(img.RawConfig)
					return err
				}
				return printJSON(cmd.OutOrStdout(), inspectOf(args[0], img))
			})
		},
	}
	s.add(c)
	c.Flags().BoolVar(&raw, "raw", false, "print the manifest's bytes as they are")
	c.Flags().BoolVar(&config, "config", false, "print the config's bytes as they are")
	return c
}

func inspectOf(ref string, img *layout.Image) inspectJSON {
	out := inspectJSON{
		Reference: ref, Digest: img.Descriptor.Digest, MediaType: img.Descriptor.MediaType, ArtifactType: img.ArtifactType,
		Layers: len(img.Layers), Subject: img.Manifest.Subject, Annotations: img.Manifest.Annotations, Warnings: img.Warnings,
	}
	if img.Root.Digest != img.Descriptor.Digest {
		out.IndexDigest = img.Root.Digest
	}
	if !img.IsArtifact() {
		out.Platform = layout.FormatPlatform(img.Platform)
		out.Created, out.Author = img.Config.Created, img.Config.Author
		if b, err := json.Marshal(img.Config.Config); err == nil && string(b) != "{}" {
			out.Config = &img.Config.Config
		}
	}
	for _, l := range img.Layers {
		out.Size += l.Size
	}
	if err := img.CheckLayers(); err != nil {
		out.Unsupported = err.Error()
	}
	return out
}
