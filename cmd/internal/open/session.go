package open

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"

	"github.com/shalefs/shalefs/layout"
	"github.com/shalefs/shalefs/layout/archive"
	"github.com/shalefs/shalefs/layout/registry"
	"github.com/shalefs/shalefs/lazy/cache"
)

// A Session is an opened reference: its store and the cache. Documents can be read
// through it; Open goes on to the layers. It is safe for concurrent use.
type Session struct {
	Reference layout.Reference
	Cache     *cache.Cache
	Requests  Requests

	opt     Options
	logger  *slog.Logger
	store   *keptStore
	pusher  layout.Pusher // nil if the store cannot be written to
	tempDir string        // of a cache that goes with the session
}

// Requests counts what a registry was asked.
type Requests struct {
	Count     atomic.Int64 // HTTP requests that ended
	Bytes     atomic.Int64 // of their bodies
	Failed    atomic.Int64 // no answer, or a status of 400 and more
	Retries   atomic.Int64
	Fallbacks atomic.Int64 // whole blobs fetched since a server ignores ranges
}

func (r *Requests) add(i registry.RequestInfo) {
	r.Count.Add(1)
	r.Bytes.Add(i.BytesIn)
	if i.Err != nil || i.Status == 0 || i.Status >= 400 {
		r.Failed.Add(1)
	}
	if i.Retry {
		r.Retries.Add(1)
	}
	if i.Fallback {
		r.Fallbacks.Add(1)
	}
}

// DefaultCacheDir is the user's cache directory: SHALEFS_CACHE_DIR, /var/cache/shalefs for root,
// else below XDG_CACHE_HOME or ~/.cache.
func DefaultCacheDir() (string, error) {
	if d := os.Getenv("SHALEFS_CACHE_DIR"); d != "" {
		return d, nil
	}
	if os.Geteuid() == 0 {
		return "/var/cache/shalefs", nil
	}
	d, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("cache directory: %w", err)
	}
	return filepath.Join(d, "shalefs"), nil
}

// OpenCache opens the cache that the options name.
func OpenCache(opt Options) (*cache.Cache, error) {
	dir := opt.CacheDir
	if dir == "" {
		var err error
		if dir, err = DefaultCacheDir(); err != nil {
			return nil, err
		}
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	c, err := cache.Open(dir, cache.Options{MaxBytes: opt.CacheBytes, Logger: opt.Logger})
	if err != nil {
		return nil, fmt.Errorf("cache: %w", err)
	}
	return c, nil
}

// NewSession opens a reference's store and the cache. It may do no input or output
// on the network.
func NewSession(ref string, opt Options) (_ *Session, err error) {
	s := &Session{opt: opt, logger: opt.Logger}
	if s.logger == nil {
		s.logger = slog.New(slog.DiscardHandler)
	}
	if s.Reference, err = layout.Parse(ref); err != nil {
		return nil, err
	}
	if w := s.Reference.Warning(); w != "" {
		s.logger.Warn(w)
	}
	if opt.NoCache {
		if s.tempDir, err = os.MkdirTemp("", "shalefs-"); err != nil {
			return nil, err
		}
		opt.CacheDir = s.tempDir
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if s.Cache, err = OpenCache(opt); err != nil {
		return nil, err
	}
	store, err := s.openStore()
	if err != nil {
		return nil, err
	}
	s.pusher, _ = store.(layout.Pusher)
	s.store = &keptStore{Store: store, docs: s.Cache, ref: s.Reference, logger: s.logger}
	return s, nil
}

func (s *Session) openStore() (layout.Store, error) {
	switch s.Reference.Transport {
	case layout.Layout:
		return layout.OpenLayout(s.Reference.Path, s.Reference)
	case layout.OCIArchive, layout.DockerArchive:
		return archive.Open(s.Reference, s.Cache.Dir())
	}
	hosts := s.opt.HostsDir
	if hosts == "" {
		if st, err := os.Stat("/etc/containerd/certs.d"); err == nil && st.IsDir() {
			hosts = "/etc/containerd/certs.d"
		}
	}
	return registry.New(s.Reference, registry.Options{
		PlainHTTP: s.opt.PlainHTTP, Insecure: s.opt.Insecure, AuthFile: s.opt.AuthFile, HostsDir: hosts,
		Deadline: s.opt.Deadline, TempDir: s.Cache.Dir(), Logger: s.logger, OnRequest: s.Requests.add,
		UserAgent: "shalefs",
	})
}

// Remote reports whether reads go over a network.
func (s *Session) Remote() bool { return s.Reference.Transport == layout.Registry }

// Stale reports whether the reference was resolved from memory, since the store did not answer.
func (s *Session) Stale() bool { return s.store.stale }

// Pusher returns the store for writing, or an error that wraps layout.ErrUnsupported.
func (s *Session) Pusher() (layout.Pusher, error) {
	if s.pusher == nil {
		return nil, fmt.Errorf("%s: cannot be written to: %w", s.Reference, layout.ErrUnsupported)
	}
	return s.pusher, nil
}

// Documents loads manifest and config, of an artifact too, without a look at the layers.
func (s *Session) Documents(ctx context.Context) (*layout.Image, error) {
	var p layout.Platform
	if s.opt.Platform != "" {
		var err error
		if p, err = layout.ParsePlatform(s.opt.Platform); err != nil {
			return nil, err
		}
	}
	root, err := s.store.Resolve(ctx)
	if err != nil {
		return nil, err
	}
	return layout.LoadDocuments(ctx, s.store, root, layout.LoadOptions{Platform: p})
}

// Close closes the store and the cache.
func (s *Session) Close() error {
	var err error
	if s.store != nil {
		err = s.store.Close()
	}
	if s.Cache != nil {
		err = errors.Join(err, s.Cache.Close())
	}
	if s.tempDir != "" {
		err = errors.Join(err, os.RemoveAll(s.tempDir))
	}
	return err
}
