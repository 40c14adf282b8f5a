package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/shalefs/shalefs/cmd/internal/open"
	"github.com/shalefs/shalefs/fs"
	"github.com/shalefs/shalefs/index/tarx"
)

// A checkFinding is one thing that "check" reports.
type checkFinding struct {
	Layer int      `json:"layer"` // -1 for the image
	Class string   `json:"class"` // "warning" or "difference"
	Kind  string   `json:"kind"`
	Text  string   `json:"text"`
	Count int      `json:"count"`
	Paths []string `json:"paths,omitempty"` // the first ones
}

func newCheck() *cobra.Command {
	var s settings
	c := &cobra.Command{
		Use: "check REF", Short: "Name what is odd in an image, and what other programs show differently",
		Long: `Read every layer's index and merge the tree, and report

  warnings      entries that were skipped, attributes that were dropped, documents
                that break their specification
  differences   cases where runtimes that stack layers with overlayfs show
                something else than the image specification says

Exit code 0 if there is nothing to report, 9 if there is.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.withImage(cmd, args[0], func(_ context.Context, img *open.Image) error {
				findings := checkImage(img)
				if err := printFindings(cmd.OutOrStdout(), findings, s.json); err != nil {
					return err
				}
				if len(findings) > 0 {
					return &failure{err: fmt.Errorf("%d findings", len(findings)), code: exitDifferent}
				}
				return nil
			})
		},
	}
	s.add(c)
	return c
}

func checkImage(img *open.Image) []checkFinding {
	out := []checkFinding{}
	for _, w := range img.Meta.Warnings {
		out = append(out, checkFinding{Layer: -1, Class: "warning", Kind: "document", Text: w, Count: 1})
	}
	for _, l := range img.Each() {
		for _, w := range l.Index.Warnings() {
			out = append(out, checkFinding{Layer: l.Number, Class: "warning", Kind: w.Kind, Text: w.Kind, Count: w.Count, Paths: []string{w.First}})
			if w.Kind == string(tarx.WarnXattrHeld) {
				// The tree never sees these, so it cannot tell.
				out = append(out, checkFinding{Layer: l.Number, Class: "difference", Kind: fs.DiffOverlayXattr.Name(), Text: fs.DiffOverlayXattr.String(), Count: w.Count, Paths: []string{w.First}})
			}
		}
	}
	add := func(class string, list []fs.Finding) {
		for _, f := range list {
			out = append(out, checkFinding{Layer: f.Layer, Class: class, Kind: f.Kind.Name(), Text: f.Kind.String(), Count: f.Count, Paths: f.Paths})
		}
	}
	add("warning", img.Tree.Warnings())
	add("difference", img.Tree.Differences())
	return out
}

func printFindings(w io.Writer, findings []checkFinding, asJSON bool) error {
	if asJSON {
		return printJSON(w, findings)
	}
	for _, f := range findings {
		where := "image"
		if f.Layer >= 0 {
			where = fmt.Sprintf("layer %d", f.Layer)
		}
		fmt.Fprintf(w, "%s: %s: %s", where, f.Class, quoted(f.Text))
		if f.Count > 1 {
			fmt.Fprintf(w, " (%d times)", f.Count)
		}
		fmt.Fprintln(w)
		for _, p := range f.Paths {
			fmt.Fprintf(w, "    %s\n", quoted(p))
		}
		if len(f.Paths) > 0 && f.Count > len(f.Paths) && f.Count > 1 {
			fmt.Fprintf(w, "    and %d more\n", f.Count-len(f.Paths))
		}
	}
	return nil
}
