package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/shalefs/shalefs/layout"
	"github.com/shalefs/shalefs/layout/registry/internal/auth"
)

// maxRedirects is how many redirects are followed (REG-15).
const maxRedirects = 10

// maxDenials is how often a 401 is answered with a fresh token: one that lives
// for a second may be too old when it arrives.
const maxDenials = 3

// A call is one request to an endpoint, before authorisation and redirects.
type call struct {
	method   string
	kind     Kind
	what     string // for messages
	url      *url.URL
	header   http.Header
	body     []byte
	scope    string
	retry    bool
	fallback bool
}

// send does a call: it adds Authorization when the host has asked for it,
// answers 401, and follows redirects. Any other status is the caller's affair.
func (s *Store) send(ctx context.Context, e *endpoint, c call) (*response, error) {
	u := c.url
	denials := 0
	for hops := 0; ; {
		own := e.is(u)
		req, authorization, err := s.newRequest(ctx, e, c, u, own)
		if err != nil {
			return nil, err
		}
		r, err := s.exchange(e, exchangeCall{req: req, kind: c.kind, what: c.what, own: own, retry: c.retry || denials > 0, fallback: c.fallback})
		if err != nil {
			return nil, err
		}
		switch {
		case isRedirect(r.StatusCode, c.method):
			location := r.Header.Get("Location")
			drain(r.Body)
			if hops++; hops > maxRedirects {
				return nil, &lieError{host: u.Host, what: c.what, how: fmt.Sprintf("more than %d redirects", maxRedirects), sentinel: layout.ErrUnavailable}
			}
			if u, err = redirectTarget(u, location); err != nil {
				return nil, &lieError{host: e.name, what: c.what, how: err.Error(), sentinel: layout.ErrUnavailable}
			}
		case r.StatusCode == http.StatusUnauthorized && own && e.auth != nil && denials < maxDenials:
			lines := r.Header.Values("Www-Authenticate")
			if len(lines) == 0 {
				return r, nil
			}
			denials++
			refusal := newStatusError(r, c.what)
			if err := e.auth.Challenged(ctx, lines, c.scope, authorization); err != nil {
				return nil, e.authError(ctx, err, refusal)
			}
		default:
			return r, nil
		}
	}
}

// authError makes one error of what the registry said and why we could not
// answer it. An answer of the token server that makes no sense is tried again.
func (e *endpoint) authError(ctx context.Context, err, refusal error) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, auth.ErrDenied) || errors.Is(err, auth.ErrRealm):
		return fmt.Errorf("%w: %w", refusal, err)
	case classify(err) != final:
		return err
	}
	return &lieError{host: e.name, what: "token", how: err.Error(), sentinel: layout.ErrUnavailable}
}

// newRequest builds the request for u. Only the endpoint's own host gets its
// headers and its Authorization (REG-16).
func (s *Store) newRequest(ctx context.Context, e *endpoint, c call, u *url.URL, own bool) (*http.Request, string, error) {
	req, err := http.NewRequestWithContext(ctx, c.method, u.String(), nil)
	if err != nil {
		return nil, "", &lieError{host: e.name, what: c.what, how: "the address is no URL", sentinel: layout.ErrInvalid}
	}
	if c.body != nil {
		req.Body = http.NoBody
		if len(c.body) > 0 {
			body := c.body
			req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
			req.Body, _ = req.GetBody() // it cannot fail
		}
		req.ContentLength = int64(len(c.body))
	}
	for k, v := range c.header {
		req.Header[k] = v
	}
	if !own {
		return req, "", nil
	}
	for k, v := range e.header {
		req.Header[k] = v
	}
	if e.auth == nil {
		return req, "", nil
	}
	authorization, err := e.auth.Header(ctx, c.scope)
	if err != nil {
		return nil, "", e.authError(ctx, err, &statusError{host: e.name, what: c.what, status: http.StatusUnauthorized})
	}
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	return req, authorization, nil
}

func isRedirect(status int, method string) bool {
	switch status {
	case http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return true
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther:
		return method == http.MethodGet || method == http.MethodHead
	}
	return false
}

// redirectTarget resolves a Location. It is not shown in errors: it may be signed.
func redirectTarget(from *url.URL, location string) (*url.URL, error) {
	if location == "" {
		return nil, errors.New("a redirect without Location")
	}
	u, err := from.Parse(location)
	if err != nil || u.Host == "" || u.User != nil {
		return nil, errors.New("a redirect to something that is no plain URL")
	}
	u.Fragment = ""
	switch strings.ToLower(u.Scheme) {
	case "https":
	case "http":
		if !strings.EqualFold(from.Scheme, "http") {
			return nil, errors.New("a redirect from https to http")
		}
	default:
		return nil, errors.New("a redirect to a scheme other than http and https")
	}
	return u, nil
}

func isRetryStatus(status int) bool {
	return classify(&statusError{status: status}) == retryable
}
