package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/shalefs/shalefs/layout"
)

const (
	maxReferrerPages = 100
	maxReferrers     = 10_000
)

// Referrers asks for the list of a manifest's referrers: the API, in one request
// if there is one page, and only where that is unknown the fallback tag
// (REG-32). Mirrors often have no list; the first that has one is believed.
func (s *Store) Referrers(ctx context.Context, subject ocispec.Descriptor, artifactType string) ([]ocispec.Descriptor, error) {
	if err := layout.CheckDigest(subject.Digest); err != nil {
		return nil, err
	}
	var found []ocispec.Descriptor
	err := s.attempt(ctx, s.endpoints, func(e *endpoint, retry bool) error {
		list, _, err := s.referrersAt(ctx, e, subject, artifactType, retry)
		if err != nil {
			return err
		}
		found = filterReferrers(list, artifactType)
		if len(found) == 0 && e != s.origin() {
			return &statusError{host: e.name, what: "referrers of " + string(subject.Digest), status: http.StatusNotFound}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("referrers of %s: %w", subject.Digest, err)
	}
	return found, nil
}

// filterReferrers applies the filter again: a registry need not. A list that
// does not tell artifact types keeps what it does not tell (REG-33).
func filterReferrers(list []ocispec.Descriptor, artifactType string) []ocispec.Descriptor {
	var out []ocispec.Descriptor
	for _, d := range list {
		if layout.CheckDescriptor(d) != nil {
			continue
		}
		if artifactType == "" || d.ArtifactType == "" || d.ArtifactType == artifactType {
			out = append(out, d)
		}
	}
	return out
}

// referrersAt lists the referrers at one endpoint; api tells whether it has the API.
func (s *Store) referrersAt(ctx context.Context, e *endpoint, subject ocispec.Descriptor, artifactType string, retry bool) (list []ocispec.Descriptor, api bool, err error) {
	query := ""
	if artifactType != "" {
		query = url.Values{"artifactType": {artifactType}}.Encode()
	}
	next := e.url(s.repository, "referrers/"+string(subject.Digest), query)
	for page := 0; next != nil; page++ {
		if page == maxReferrerPages {
			return nil, true, fmt.Errorf("%s: more than %d pages of referrers: %w", e.name, maxReferrerPages, layout.ErrTooLarge)
		}
		c := call{
			kind: KindReferrers, what: "referrers of " + string(subject.Digest), url: next,
			header: http.Header{"Accept": {ocispec.MediaTypeImageIndex}}, scope: s.pullScope(), retry: retry,
		}
		r, body, err := s.fetch(ctx, e, c, layout.DefaultLimits().ManifestBytes)
		if page == 0 && isNoAPI(err) {
			list, err := s.fallbackList(ctx, e, subject)
			return list.descriptors(), false, err
		}
		if err != nil {
			return nil, true, err
		}
		var idx ocispec.Index
		if err := json.Unmarshal(body, &idx); err != nil {
			return nil, true, fmt.Errorf("%s: %s: %w: not an image index", e.name, c.what, layout.ErrInvalid)
		}
		if list = append(list, idx.Manifests...); len(list) > maxReferrers {
			return nil, true, fmt.Errorf("%s: more than %d referrers: %w", e.name, maxReferrers, layout.ErrTooLarge)
		}
		if next, err = nextPage(r); err != nil {
			return nil, true, fmt.Errorf("%s: %s: %w", e.name, c.what, err)
		}
	}
	return list, true, nil
}

// isNoAPI tells whether an answer means that there is no referrers API.
func isNoAPI(err error) bool {
	var st *statusError
	return errors.As(err, &st) && (st.status == http.StatusNotFound || st.status == http.StatusMethodNotAllowed || st.status == http.StatusNotImplemented)
}

// nextPage finds the next page in the Link headers. It must be at the same host.
// Source: RFC 8288.
func nextPage(r *response) (*url.URL, error) {
	for _, line := range r.Header.Values("Link") {
		for _, link := range strings.Split(line, ",") {
			target, params, ok := strings.Cut(strings.TrimSpace(link), ">")
			target, open := strings.CutPrefix(target, "<")
			if !ok || !open || !isNext(params) {
				continue
			}
			u, err := r.url.Parse(target)
			if err != nil || !sameOrigin(u, r.url) {
				return nil, fmt.Errorf("%w: the next page is somewhere else", layout.ErrInvalid)
			}
			return u, nil
		}
	}
	return nil, nil
}

func isNext(params string) bool {
	for _, p := range strings.Split(params, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(p), "=")
		if strings.EqualFold(name, "rel") && strings.EqualFold(strings.Trim(value, `" `), "next") {
			return true
		}
	}
	return false
}

// A fallback is the image index under a fallback tag. Entries are kept as they
// are written, so that what others put there survives our changes.
type fallback struct {
	doc     map[string]json.RawMessage
	entries []json.RawMessage
}

// fallbackList reads the fallback tag; none is an empty list.
func (s *Store) fallbackList(ctx context.Context, e *endpoint, subject ocispec.Descriptor) (fallback, error) {
	tag := layout.FallbackTag(subject.Digest)
	_, body, err := s.fetchManifest(ctx, e, tag, "", true)
	var st *statusError
	if errors.As(err, &st) && st.status == http.StatusNotFound {
		return fallback{}, nil
	}
	if err != nil {
		return fallback{}, err
	}
	var f fallback
	if err := json.Unmarshal(body, &f.doc); err != nil {
		return f, fmt.Errorf("%s: tag %s: %w: not an image index", e.name, tag, layout.ErrInvalid)
	}
	if raw, ok := f.doc["manifests"]; ok {
		if err := json.Unmarshal(raw, &f.entries); err != nil || len(f.entries) > maxReferrers {
			return f, fmt.Errorf("%s: tag %s: %w: its manifests are no list", e.name, tag, layout.ErrInvalid)
		}
	}
	return f, nil
}

// descriptors decodes the entries; one that cannot be decoded is left out.
func (f fallback) descriptors() []ocispec.Descriptor {
	var out []ocispec.Descriptor
	for _, raw := range f.entries {
		var d ocispec.Descriptor
		if json.Unmarshal(raw, &d) == nil {
			out = append(out, d)
		}
	}
	return out
}
