package registry

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"sync"

	digest "github.com/opencontainers/go-digest"

	"github.com/shalefs/shalefs/layout"
	"github.com/shalefs/shalefs/layout/registry/internal/auth"
)

// A Store is one repository of a registry. Its methods may be called from
// several goroutines.
type Store struct {
	opt         Options
	ref         layout.Reference
	repository  string
	credentials *auth.Config
	// endpoints are the hosts to ask: mirrors in their order, the registry last.
	endpoints []*endpoint

	mu        sync.Mutex               // guards what follows
	slots     map[string]chan struct{} // by host
	warned    map[string]bool
	documents map[digest.Digest][]byte // fetched by Resolve, for the Document that follows
	urlHosts  []*endpoint              // of descriptors' urls, to be closed
}

var (
	_ layout.Store  = (*Store)(nil)
	_ layout.Pusher = (*Store)(nil)
)

// New makes the Store of a registry reference. It reads the mirrors of the host
// from Options.HostsDir, and does nothing on the network.
// Errors: ErrInvalid for a reference that is none of a registry, or a bad hosts.toml.
func New(ref layout.Reference, opt Options) (*Store, error) {
	if ref.Transport != layout.Registry || ref.Host == "" || ref.Repository == "" {
		return nil, fmt.Errorf("%w: %s is not a registry reference", layout.ErrInvalid, ref)
	}
	s := &Store{
		opt: opt.withDefaults(), ref: ref, repository: ref.Repository,
		slots: map[string]chan struct{}{}, warned: map[string]bool{}, documents: map[digest.Digest][]byte{},
	}
	s.credentials = auth.NewConfig(opt.AuthFile, s.opt.Getenv)
	hosts, err := s.hosts()
	if err != nil {
		return nil, err
	}
	for _, h := range hosts {
		s.endpoints = append(s.endpoints, s.newEndpoint(h))
	}
	return s, nil
}

// hosts lists the hosts for the reference, the registry itself last.
func (s *Store) hosts() ([]hostConfig, error) {
	self := hostConfig{base: s.defaultBase(), resolve: true, pull: true, skipVerify: s.opt.Insecure}
	if s.opt.HostsDir == "" {
		return []hostConfig{self}, nil
	}
	return hostsFromDir(s.opt.HostsDir, auth.CanonicalHost(s.ref.Host), self)
}

// defaultBase is where the registry itself is (REG-24).
func (s *Store) defaultBase() *url.URL {
	host := s.ref.Host
	if auth.CanonicalHost(host) == auth.Hub {
		host = "registry-1.docker.io"
	}
	scheme := "https"
	if s.opt.PlainHTTP || isLoopback(host) {
		scheme = "http"
	}
	return &url.URL{Scheme: scheme, Host: strings.ToLower(host), Path: "/v2"}
}

// origin is the registry itself.
func (s *Store) origin() *endpoint { return s.endpoints[len(s.endpoints)-1] }

// Close closes idle connections. Blobs must have been closed.
func (s *Store) Close() error {
	for _, e := range s.endpoints {
		e.closeIdle()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.urlHosts {
		e.closeIdle()
	}
	return nil
}

func (s *Store) pullScope() string { return auth.RepositoryScope(s.repository, "pull") }

func (s *Store) pushScope() string { return auth.RepositoryScope(s.repository, "pull,push") }

// attempt wraps s.each for calls that are over with one answer.
func (s *Store) attempt(ctx context.Context, eps []*endpoint, try func(e *endpoint, retry bool) error) error {
	retry := false
	return s.each(ctx, s.newBudget(documentTries), eps, func(e *endpoint) error {
		err := try(e, retry)
		retry = true
		return err
	})
}
