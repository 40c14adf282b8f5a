package registry

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/shalefs/shalefs/layout"
	"github.com/shalefs/shalefs/layout/registry/internal/auth"
)

// An endpoint is one host that can answer for the repository: the registry
// itself, a mirror of it, or the host of a descriptor's URL.
type endpoint struct {
	name    string   // host[:port], for messages
	base    *url.URL // scheme, host and path that "/<repository>/..." is put after
	query   string   // raw query for every request, "ns=..." for mirrors
	header  http.Header
	resolve bool // may resolve tags
	fixed   *url.URL

	auth *auth.Authorizer // nil: never authorised
	// own carries requests to the endpoint's own host, with its client
	// certificate; other those that a redirect sends elsewhere.
	own, other *http.Transport

	downUntil atomic.Int64 // unix nanoseconds
}

func (e *endpoint) markDown(d time.Duration) {
	e.downUntil.Store(time.Now().Add(d).UnixNano())
}

func (e *endpoint) isDown() bool { return time.Now().UnixNano() < e.downUntil.Load() }

func (e *endpoint) closeIdle() {
	e.own.CloseIdleConnections()
	e.other.CloseIdleConnections()
}

// url builds the address of a thing in the repository; path is like
// "manifests/latest", query may be empty.
func (e *endpoint) url(repository, path, query string) *url.URL {
	if e.fixed != nil {
		return e.fixed
	}
	u := *e.base
	u.Path = strings.TrimRight(u.Path, "/") + "/" + repository + "/" + path
	u.RawQuery = strings.Trim(query+"&"+e.query, "&")
	return &u
}

// is tells whether u is at this endpoint's origin: scheme, name and port.
func (e *endpoint) is(u *url.URL) bool { return sameOrigin(e.base, u) }

func sameOrigin(a, b *url.URL) bool {
	return strings.EqualFold(a.Scheme, b.Scheme) && strings.EqualFold(a.Hostname(), b.Hostname()) && portOf(a) == portOf(b)
}

func portOf(u *url.URL) string {
	switch {
	case u.Port() != "":
		return u.Port()
	case strings.EqualFold(u.Scheme, "https"):
		return "443"
	}
	return "80"
}

// A hostConfig describes an endpoint before it is made.
type hostConfig struct {
	base       *url.URL
	resolve    bool
	pull       bool
	skipVerify bool
	roots      *x509.CertPool // nil: the system's
	clientCert []tls.Certificate
	header     http.Header
	ns         string // the registry this host is a proxy for, "" if it is none
}

// newEndpoint makes an endpoint of a host, with its own authorizer.
func (s *Store) newEndpoint(h hostConfig) *endpoint {
	e := &endpoint{name: h.base.Host, base: h.base, header: h.header, resolve: h.resolve}
	if h.ns != "" {
		e.query = url.Values{"ns": {h.ns}}.Encode()
	}
	allow := addressRule(noLinkLocal)
	if auth.LinkLocal(h.base.Hostname()) {
		allow = anyAddress // the user named it
	}
	tc := &tls.Config{RootCAs: h.roots, InsecureSkipVerify: h.skipVerify} // #nosec G402 -- asked for by the user, per host
	e.other = newTransport(tc, allow, &s.opt)
	own := tc.Clone()
	own.Certificates = h.clientCert
	e.own = newTransport(own, allow, &s.opt)
	e.auth = auth.New(auth.Options{
		Registry:   h.base,
		Repository: s.repository,
		LookupHost: auth.CanonicalHost(h.base.Host),
		Lookup:     s.credentials.Lookup,
		Do: func(ctx context.Context, req *http.Request) (auth.Answer, error) {
			return s.askTokenServer(ctx, e, req)
		},
	})
	return e
}

// maxTokenBody limits a token server's answer (ERR-6).
const maxTokenBody = 1 << 20

// askTokenServer sends a request of the authorizer. Redirects are not followed:
// the request may carry a password.
func (s *Store) askTokenServer(ctx context.Context, e *endpoint, req *http.Request) (auth.Answer, error) {
	what := "token server"
	req = req.WithContext(ctx)
	r, err := s.exchange(e, exchangeCall{req: req, kind: KindToken, what: what, own: e.is(req.URL)})
	if err != nil {
		return auth.Answer{}, err
	}
	defer closeBody(r.Body)
	if isRetryStatus(r.StatusCode) {
		r.own = true
		return auth.Answer{}, newStatusError(r, what)
	}
	b, err := io.ReadAll(io.LimitReader(r.Body, maxTokenBody+1))
	if err != nil {
		return auth.Answer{}, err
	}
	if len(b) > maxTokenBody {
		return auth.Answer{}, &lieError{host: r.url.Host, what: what, how: "the answer is larger than 1 MiB", sentinel: layout.ErrTooLarge}
	}
	return auth.Answer{Status: r.StatusCode, Body: b}, nil
}
