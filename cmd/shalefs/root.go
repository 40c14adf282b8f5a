package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"time"

	digest "github.com/opencontainers/go-digest"
	"github.com/spf13/cobra"

	"github.com/shalefs/shalefs/cmd/internal/open"
)

// A settings holds the flags that every command with a reference takes.
type settings struct {
	platform, authFile, hostsDir string
	plainHTTP, insecure          bool
	cacheDir, cacheSize          string
	noCache                      bool
	trust, indexDigest           string
	deadline                     time.Duration
	logLevel, logFormat          string
	json                         bool
}

// newRoot makes the command tree.
func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "shalefs",
		Short: "Mount and read OCI images without pulling them",
		Long: `shalefs mounts any OCI image, image layout or image archive as a read-only
filesystem: nothing is pulled or converted, what is read is fetched by ranges and
checked against the image's digests.

References: alpine, host:5000/repo:tag, host/repo@sha256:..., docker://...,
oci:DIR[:NAME], oci-archive:FILE[:NAME], docker-archive:FILE[:NAME], or the path
of a layout directory or an archive.`,
		SilenceUsage: true, SilenceErrors: true,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error {
		return &failure{err: err, code: exitUsage, hint: "\"shalefs help\" lists commands and flags"}
	})
	root.AddCommand(
		newMount(), newUmount(), newStatus(),
		newLs(), newTree(), newCat(), newCp(), newStat(), newFind(),
		newLayers(), newInspect(), newCheck(),
		newIndex(), newCache(), newVersion(), newExitCodes(),
	)
	for _, c := range root.Commands() {
		wrapUsage(c)
	}
	return root
}

// wrapUsage gives wrong arguments the exit code of wrong usage.
func wrapUsage(c *cobra.Command) {
	if args := c.Args; args != nil {
		c.Args = func(cmd *cobra.Command, a []string) error {
			if err := args(cmd, a); err != nil {
				return &failure{err: err, code: exitUsage, hint: "usage: " + cmd.UseLine()}
			}
			return nil
		}
	}
	for _, sub := range c.Commands() {
		wrapUsage(sub)
	}
}

// isCommand reports whether word names a command.
func isCommand(word string) bool {
	if word == "help" || word == "completion" {
		return true
	}
	for _, c := range newRoot().Commands() {
		if c.Name() == word || c.HasAlias(word) {
			return true
		}
	}
	return false
}

// add registers the flags with a command.
func (s *settings) add(c *cobra.Command) *settings {
	f := c.Flags()
	f.StringVar(&s.platform, "platform", "", "the platform to choose, os/arch[/variant] (default: linux and this machine's)")
	f.StringVar(&s.authFile, "authfile", "", "file with registry credentials (default: where docker and podman keep theirs)")
	f.StringVar(&s.hostsDir, "hosts-dir", "", "directory of hosts.toml files with mirrors (default: /etc/containerd/certs.d)")
	f.BoolVar(&s.plainHTTP, "plain-http", false, "use plain HTTP (loopback hosts get it anyway)")
	f.BoolVar(&s.insecure, "tls-skip-verify", false, "accept any TLS certificate")
	s.addCache(c)
	f.BoolVar(&s.noCache, "no-cache", false, "keep nothing on disk after the end")
	f.StringVar(&s.trust, "trust", "background", "an index that nothing binds to its layer: background, strict or registry")
	f.StringVar(&s.indexDigest, "index-digest", "", "use the index artifact with this digest, and only it")
	f.DurationVar(&s.deadline, "deadline", 60*time.Second, "give up a read after this long")
	f.StringVar(&s.logLevel, "log-level", "warn", "debug, info, warn or error")
	f.StringVar(&s.logFormat, "log-format", "text", "text or json")
	f.BoolVar(&s.json, "json", false, "print JSON")
	return s
}

// addCache registers only the flags that say where the cache is.
func (s *settings) addCache(c *cobra.Command) *settings {
	f := c.Flags()
	f.StringVar(&s.cacheDir, "cache-dir", "", "directory of the cache (default: $SHALEFS_CACHE_DIR, /var/cache/shalefs for root, ~/.cache/shalefs)")
	f.StringVar(&s.cacheSize, "cache-size", "", "limit of the cache, such as 20GiB (default: 10GiB, or a tenth of the free disk)")
	return s
}

// options makes the options of package open.
func (s *settings) options() (open.Options, error) {
	var opt open.Options
	var err error
	if opt.Trust, err = open.ParseTrust(s.trust); err != nil {
		return opt, usageError("%w", err)
	}
	if s.cacheSize != "" {
		if opt.CacheBytes, err = parseSize(s.cacheSize); err != nil {
			return opt, usageError("--cache-size: %w", err)
		}
	}
	if s.indexDigest != "" {
		if opt.IndexDigest, err = digest.Parse(s.indexDigest); err != nil {
			return opt, usageError("--index-digest: %w", err)
		}
	}
	if opt.Logger, err = newLogger(s.logLevel, s.logFormat); err != nil {
		return opt, usageError("%w", err)
	}
	opt.Platform, opt.PlainHTTP, opt.Insecure = s.platform, s.plainHTTP, s.insecure
	opt.AuthFile, opt.HostsDir = s.authFile, s.hostsDir
	opt.CacheDir, opt.NoCache, opt.Deadline = s.cacheDir, s.noCache, s.deadline
	return opt, nil
}

// newLogger makes a logger that writes to standard error.
func newLogger(level, format string) (*slog.Logger, error) { return loggerTo(os.Stderr, level, format) }

func loggerTo(w io.Writer, level, format string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("--log-level: %w", err)
	}
	h := &slog.HandlerOptions{Level: l}
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(w, h)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, h)), nil
	}
	return nil, fmt.Errorf("--log-format %q: not text or json", format)
}

// parseSize reads a number of bytes with an optional unit: K, M, G, T (binary), also
// as KiB, KB and so on.
func parseSize(s string) (int64, error) {
	t := strings.ToUpper(strings.TrimSpace(s))
	t = strings.TrimSuffix(strings.TrimSuffix(t, "B"), "I")
	shift := 0
	if n := len(t); n > 0 {
		if i := strings.IndexByte("KMGT", t[n-1]); i >= 0 {
			shift, t = 10*(i+1), strings.TrimSpace(t[:n-1])
		}
	}
	v, err := strconv.ParseFloat(t, 64)
	if err != nil || v < 0 || v*float64(int64(1)<<shift) > 1<<62 {
		return 0, fmt.Errorf("%q is not a size", s)
	}
	return int64(v * float64(int64(1)<<shift)), nil
}
