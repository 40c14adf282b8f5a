package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"sort"
	"time"

	"github.com/spf13/cobra"

	"github.com/shalefs/shalefs/cmd/internal/control"
	"github.com/shalefs/shalefs/cmd/internal/open"
)

// A statusReport is what a mount says of itself.
type statusReport struct {
	control.Record
	Alive    bool             `json:"alive"`
	Version  string           `json:"version,omitempty"`
	Stale    bool             `json:"stale,omitempty"` // resolved from memory, the store did not answer
	Inodes   int              `json:"inodes,omitempty"`
	Trust    string           `json:"trust,omitempty"`
	Layers   []open.LayerInfo `json:"layers,omitempty"`
	Requests *requestInfo     `json:"requests,omitempty"`
	Cache    string           `json:"cache,omitempty"`
	Error    string           `json:"error,omitempty"` // why there is no more than the record
}

// A requestInfo counts what the registry was asked.
type requestInfo struct {
	Count     int64 `json:"count"`
	Bytes     int64 `json:"bytes"`
	Failed    int64 `json:"failed"`
	Retries   int64 `json:"retries"`
	Fallbacks int64 `json:"fallbacks"`
}

func newStatusReport(img *open.Image, rec control.Record, _ *meters) statusReport {
	s := statusReport{
		Record: rec, Alive: true, Version: versionText(), Stale: img.Stale(), Inodes: img.Tree.NumInodes(),
		Trust: img.Trust().String(), Cache: img.Cache.Dir(), Layers: img.LayerInfos(),
	}
	if img.Remote() {
		r := &img.Requests
		s.Requests = &requestInfo{r.Count.Load(), r.Bytes.Load(), r.Failed.Load(), r.Retries.Load(), r.Fallbacks.Load()}
	}
	return s
}

func newStatus() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "status [DIR]", Short: "Show mounts: their layers, what is cached, what is not lazy and why",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			recs, err := statusRecords(args)
			if err != nil {
				return err
			}
			reports := make([]statusReport, len(recs))
			for i, rec := range recs {
				reports[i] = askStatus(cmd.Context(), rec)
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), reports)
			}
			for i, r := range reports {
				if i > 0 {
					fmt.Fprintln(cmd.OutOrStdout())
				}
				if err := r.print(cmd.OutOrStdout()); err != nil {
					return err
				}
			}
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func statusRecords(args []string) ([]control.Record, error) {
	if len(args) == 0 {
		recs, err := control.Records()
		sort.Slice(recs, func(i, j int) bool { return recs[i].Dir < recs[j].Dir })
		return recs, err
	}
	dir, err := filepath.Abs(args[0])
	if err != nil {
		return nil, err
	}
	if parent, err := filepath.EvalSymlinks(filepath.Dir(dir)); err == nil {
		dir = filepath.Join(parent, filepath.Base(dir))
	}
	rec, err := control.Find(dir)
	if err != nil {
		return nil, &failure{err: fmt.Errorf("%s: no image is mounted there", args[0]), code: exitNotFound, hint: "\"shalefs status\" lists the mounts"}
	}
	return []control.Record{rec}, nil
}

// askStatus asks a daemon for its report.
func askStatus(ctx context.Context, rec control.Record) statusReport {
	if !rec.Alive() {
		return statusReport{Record: rec, Error: "the daemon is gone; \"shalefs umount\" cleans up"}
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	r := statusReport{Record: rec, Alive: true}
	b, err := control.Get(ctx, rec.Dir, "/status")
	if err == nil {
		err = json.Unmarshal(b, &r)
	}
	if err != nil {
		r.Error = err.Error()
	}
	return r
}

func (r statusReport) print(w io.Writer) error {
	fmt.Fprintf(w, "%s: %s\n", quoted(r.Dir), quoted(r.Reference))
	fmt.Fprintf(w, "  digest   %s\n", r.Digest)
	if r.Error != "" {
		_, err := fmt.Fprintf(w, "  error    %s\n", quoted(r.Error))
		return err
	}
	fmt.Fprintf(w, "  daemon   pid %d, since %s, %s\n", r.PID, r.Started.Local().Format(time.DateTime), r.Version)
	fmt.Fprintf(w, "  inodes   %d\n", r.Inodes)
	fmt.Fprintf(w, "  cache    %s\n", quoted(r.Cache))
	if r.Stale {
		fmt.Fprintln(w, "  note     the store did not answer: the reference stands for what it stood for last time")
	}
	if q := r.Requests; q != nil {
		fmt.Fprintf(w, "  requests %d, %s; %d failed, %d retries, %d fallbacks to whole blobs\n", q.Count, size(q.Bytes), q.Failed, q.Retries, q.Fallbacks)
	}
	rows := [][]string{{"  LAYER", "SIZE", "FORMAT", "INDEX", "CHECKED", "CACHED", "FETCHED", "DIGEST"}}
	for _, l := range r.Layers {
		rows = append(rows, []string{
			fmt.Sprintf("  %d", l.Number), size(l.Size), l.Format, string(l.Source), l.Checked,
			percent(l.Stats.Present, l.Stats.Chunks), size(l.Stats.BytesFetched), l.Digest.String(),
		})
	}
	if err := table(w, rows); err != nil {
		return err
	}
	for _, l := range r.Layers {
		if l.NotLazy != "" {
			fmt.Fprintf(w, "  layer %d was not lazy: %s\n", l.Number, quoted(l.NotLazy))
		}
		if l.Stats.LastError != "" {
			fmt.Fprintf(w, "  layer %d: last error, %s: %s\n", l.Number, l.Stats.LastErrorTime.Local().Format(time.DateTime), quoted(l.Stats.LastError))
		}
	}
	return nil
}

func percent(n, of int64) string {
	if of == 0 {
		return "-"
	}
	return fmt.Sprintf("%d%%", n*100/of)
}
