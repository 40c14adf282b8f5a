package main

import (
	"errors"
	"fmt"

	digest "github.com/opencontainers/go-digest"
	"github.com/spf13/cobra"

	"github.com/shalefs/shalefs/cmd/internal/open"
)

// A layerJSON is a layer as the manifest and the config list it.
type layerJSON struct {
	Number    int           `json:"layer"`
	Digest    digest.Digest `json:"digest"`
	DiffID    digest.Digest `json:"diff_id,omitempty"`
	MediaType string        `json:"media_type"`
	Size      int64         `json:"size"` // compressed bytes
	CreatedBy string        `json:"created_by,omitempty"`
	Indexed   bool          `json:"indexed"` // its index is in the cache
}

// withSession opens a reference without its layers.
func (s *settings) withSession(ref string, f func(sess *open.Session) error) (err error) {
	opt, err := s.options()
	if err != nil {
		return err
	}
	opt.OneShot = true
	sess, err := open.NewSession(ref, opt)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, sess.Close()) }()
	return f(sess)
}

func newLayers() *cobra.Command {
	var s settings
	c := &cobra.Command{
		Use: "layers REF", Short: "List the layers of an image, base first",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.withSession(args[0], func(sess *open.Session) error {
				img, err := sess.Documents(cmd.Context())
				if err != nil {
					return err
				}
				var history []string
				for _, h := range img.Config.History {
					if !h.EmptyLayer {
						history = append(history, h.CreatedBy)
					}
				}
				layers := []layerJSON{}
				for i, d := range img.Layers {
					l := layerJSON{Number: i, Digest: d.Digest, MediaType: d.MediaType, Size: d.Size, Indexed: sess.Indexed(d.Digest)}
					if i < len(img.DiffIDs) {
						l.DiffID = img.DiffIDs[i]
					}
					if len(history) == len(img.Layers) {
						l.CreatedBy = history[i]
					}
					layers = append(layers, l)
				}
				if s.json {
					return printJSON(cmd.OutOrStdout(), layers)
				}
				rows := [][]string{{"LAYER", "SIZE", "INDEX", "DIGEST", "TYPE", "CREATED BY"}}
				for _, l := range layers {
					indexed := "-"
					if l.Indexed {
						indexed = "cached"
					}
					rows = append(rows, []string{fmt.Sprint(l.Number), size(l.Size), indexed, l.Digest.String(), quoted(l.MediaType), quoted(shorten(l.CreatedBy, 60))})
				}
				return table(cmd.OutOrStdout(), rows)
			})
		},
	}
	s.add(c)
	return c
}

// shorten cuts a text to n characters.
func shorten(s string, n int) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return string(r[:n-1]) + "…"
}
