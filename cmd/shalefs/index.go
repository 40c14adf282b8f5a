package main

import (
	"context"
	"fmt"

	digest "github.com/opencontainers/go-digest"
	"github.com/spf13/cobra"

	"github.com/shalefs/shalefs/cmd/internal/open"
)

func newIndex() *cobra.Command {
	c := &cobra.Command{
		Use: "index", Short: "Make, show, check and share layer indexes", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	c.AddCommand(newIndexBuild(), newIndexInfo(), newIndexVerify(), newIndexPush())
	return c
}

// An indexInfo is a layer's index, as --json prints it.
type indexInfo struct {
	Layer           digest.Digest `json:"layer"`
	DiffID          digest.Digest `json:"diff_id,omitempty"`
	Format          string        `json:"format"`
	Source          open.Source   `json:"source"`
	Checked         string        `json:"checked"`
	LayerBytes      int64         `json:"layer_bytes"`
	TarBytes        int64         `json:"tar_bytes"`
	IndexBytes      int64         `json:"index_bytes"`
	CheckpointBytes int64         `json:"checkpoint_bytes"` // windows and decoder states
	Entries         int           `json:"entries"`
	Chunks          int           `json:"chunks"`
	Spans           int           `json:"spans"`
	MedianSpanBytes int64         `json:"median_span_bytes"` // decoded
	MaxSpanBytes    int64         `json:"max_span_bytes"`    // decoded
}

func indexInfos(img *open.Image) []indexInfo {
	infos := []indexInfo{}
	for _, l := range img.Each() {
		i := l.Index.Info()
		infos = append(infos, indexInfo{
			Layer: l.Descriptor.Digest, DiffID: l.DiffID, Format: i.Format, Source: l.Source, Checked: l.Checked(),
			LayerBytes: i.BlobSize, TarBytes: i.TarSize, IndexBytes: i.IndexBytes, CheckpointBytes: i.CheckpointBytes,
			Entries: i.Entries, Chunks: i.Chunks, Spans: i.Spans, MedianSpanBytes: i.MedianSpan, MaxSpanBytes: i.MaxSpan,
		})
	}
	return infos
}

func printIndexInfos(cmd *cobra.Command, img *open.Image, asJSON bool) error {
	infos := indexInfos(img)
	if asJSON {
		return printJSON(cmd.OutOrStdout(), infos)
	}
	rows := [][]string{{"LAYER", "FORMAT", "SIZE", "TAR", "INDEX", "CHECKPOINTS", "ENTRIES", "SPANS", "MEDIAN SPAN", "MAX SPAN", "SOURCE", "CHECKED"}}
	for _, i := range infos {
		rows = append(rows, []string{
			i.Layer.Encoded()[:12], i.Format, size(i.LayerBytes), size(i.TarBytes), size(i.IndexBytes),
			fmt.Sprintf("%s (%s)", size(i.CheckpointBytes), share(i.CheckpointBytes, i.LayerBytes)),
			fmt.Sprint(i.Entries), fmt.Sprint(i.Spans), size(i.MedianSpanBytes), size(i.MaxSpanBytes), string(i.Source), i.Checked,
		})
	}
	return table(cmd.OutOrStdout(), rows)
}

func share(n, of int64) string {
	if of == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f%%", float64(n)*100/float64(of))
}

// indexCommand makes a command that opens an image, for work on its indexes.
func indexCommand(use, short, long string, set func(s *settings, c *cobra.Command), f func(ctx context.Context, cmd *cobra.Command, img *open.Image, s *settings) error) *cobra.Command {
	var s settings
	c := &cobra.Command{
		Use: use, Short: short, Long: long, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.withImage(cmd, args[0], func(ctx context.Context, img *open.Image) error { return f(ctx, cmd, img, &s) })
		},
	}
	s.add(c)
	if set != nil {
		set(&s, c)
	}
	return c
}

func newIndexInfo() *cobra.Command {
	return indexCommand("info REF", "Show the layer indexes of an image", "", nil,
		func(_ context.Context, cmd *cobra.Command, img *open.Image, s *settings) error {
			return printIndexInfos(cmd, img, s.json)
		})
}

func newIndexBuild() *cobra.Command {
	return indexCommand("build REF", "Make the indexes of an image's layers, each in one checked pass",
		`Make the index of each layer that has none which was checked against the layer. The
layer is read once, whole; its digest and diffID are checked; what was read stays in the
cache. An interrupted build goes on where it was.`, nil,
		func(ctx context.Context, cmd *cobra.Command, img *open.Image, s *settings) error {
			if err := img.BindAll(ctx); err != nil {
				return err
			}
			return printIndexInfos(cmd, img, s.json)
		})
}

func newIndexVerify() *cobra.Command {
	return indexCommand("verify REF", "Build the indexes again and compare",
		`Read each layer whole, build its index again, and compare it with the one that is in use:
from the cache, beside the image, or from another program. Exit code 9 if one differs.`, nil,
		func(ctx context.Context, cmd *cobra.Command, img *open.Image, s *settings) error {
			results, err := img.VerifyIndexes(ctx)
			if err != nil {
				return err
			}
			if s.json {
				if err := printJSON(cmd.OutOrStdout(), results); err != nil {
					return err
				}
			}
			bad := 0
			for _, r := range results {
				text := "equal"
				if r.Difference != "" {
					bad++
					text = "DIFFERS: " + r.Difference
				}
				if !s.json {
					fmt.Fprintf(cmd.OutOrStdout(), "layer %d %s (%s): %s\n", r.Layer, r.Digest, r.Source, quoted(text))
				}
			}
			if bad > 0 {
				return &failure{err: fmt.Errorf("%d of %d indexes differ from their layers", bad, len(results)), code: exitDifferent}
			}
			return nil
		})
}

func newIndexPush() *cobra.Command {
	var profile string
	return indexCommand("push REF", "Store an image's indexes beside it, for others to find",
		`Store the indexes of an image as an artifact beside it: in the registry as a referrer of
the manifest, in a layout directory in the layout itself. "mount" and the commands that
read find it by themselves. Only checked indexes are stored: layers without one are read whole first.`,
		func(_ *settings, c *cobra.Command) {
			c.Flags().StringVar(&profile, "profile", "", "store this profile (mount --record) with the indexes")
		},
		func(ctx context.Context, cmd *cobra.Command, img *open.Image, s *settings) error {
			desc, err := img.PushIndexes(ctx, profile)
			if err != nil {
				return err
			}
			if s.json {
				return printJSON(cmd.OutOrStdout(), desc)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s\n", desc.Digest)
			return err
		})
}
