package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/shalefs/shalefs/cmd/internal/open"
	"github.com/shalefs/shalefs/lazy/cache"
)

func newCache() *cobra.Command {
	c := &cobra.Command{
		Use: "cache", Short: "Show, trim and check the cache", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	c.AddCommand(newCacheInfo(), newCachePrune(), newCacheVerify())
	return c
}

// cacheCommand makes a command that works on the cache.
func cacheCommand(use, short string, f func(cmd *cobra.Command, c *cache.Cache, asJSON bool) error) *cobra.Command {
	var s settings
	c := &cobra.Command{
		Use: use, Short: short, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			opt := open.Options{CacheDir: s.cacheDir}
			if s.cacheSize != "" {
				if opt.CacheBytes, err = parseSize(s.cacheSize); err != nil {
					return usageError("--cache-size: %w", err)
				}
			}
			c, err := open.OpenCache(opt)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, c.Close()) }()
			return f(cmd, c, s.json)
		},
	}
	s.addCache(c)
	c.Flags().BoolVar(&s.json, "json", false, "print JSON")
	return c
}

func newCacheInfo() *cobra.Command {
	return cacheCommand("info", "Show what the cache holds", func(cmd *cobra.Command, c *cache.Cache, asJSON bool) error {
		info, err := c.Info()
		if err != nil {
			return err
		}
		if asJSON {
			return printJSON(cmd.OutOrStdout(), info)
		}
		return table(cmd.OutOrStdout(), [][]string{
			{"directory", quoted(info.Dir)},
			{"used", size(info.UsedBytes) + " of " + size(info.MaxBytes)},
			{"layers", fmt.Sprintf("%d, %s", info.Layers, size(info.LayerBytes))},
			{"large files", fmt.Sprintf("%d (%d whole), %s", info.Files, info.Complete, size(info.FileBytes))},
			{"documents", fmt.Sprintf("%d, %s", info.Docs, size(info.DocBytes))},
			{"temporary", size(info.TempBytes)},
		})
	})
}

func newCachePrune() *cobra.Command {
	var opt cache.PruneOptions
	var toSize string
	c := cacheCommand("prune", "Remove what is not needed from the cache", func(cmd *cobra.Command, c *cache.Cache, asJSON bool) error {
		if toSize != "" {
			n, err := parseSize(toSize)
			if err != nil {
				return usageError("--to: %w", err)
			}
			opt.Bytes = max(n, 1)
		}
		pruned, err := c.Prune(cmd.Context(), opt)
		if err != nil {
			return err
		}
		if asJSON {
			return printJSON(cmd.OutOrStdout(), pruned)
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "removed %s: %d objects, %d documents\n", size(pruned.Bytes), pruned.Objects, pruned.Docs)
		return err
	})
	c.Flags().BoolVar(&opt.All, "all", false, "remove everything that no mount has open")
	c.Flags().DurationVar(&opt.Unused, "unused", 0, "remove what was not used for this long, such as 720h")
	c.Flags().StringVar(&toSize, "to", "", "remove the least recently used until this much is left, such as 2GiB")
	return c
}

func newCacheVerify() *cobra.Command {
	return cacheCommand("verify", "Check the cached content against its digests, and drop what is damaged", func(cmd *cobra.Command, c *cache.Cache, asJSON bool) error {
		start := time.Now()
		v, err := open.VerifyCache(cmd.Context(), c)
		if err != nil {
			return err
		}
		if asJSON {
			err = printJSON(cmd.OutOrStdout(), v)
		} else {
			for _, bad := range v.Bad {
				fmt.Fprintf(cmd.OutOrStdout(), "damaged, dropped: %s\n", quoted(bad))
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%d files and %d chunks of layers checked, %s in %s; %d damaged\n",
				v.Files, v.Chunks, size(v.Bytes), time.Since(start).Round(time.Millisecond), len(v.Bad))
		}
		if err == nil && len(v.Bad) > 0 {
			err = &failure{err: fmt.Errorf("%d damaged objects were dropped", len(v.Bad)), code: exitDifferent}
		}
		return err
	})
}
