package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/shalefs/shalefs/layout"
)

// acceptManifests names all types at once: some registries answer with one
// platform or an old form to those who do not ask for an index (REG-2).
var acceptManifests = http.Header{"Accept": {strings.Join([]string{
	ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageIndex,
	layout.DockerManifest, layout.DockerManifestList, "*/*;q=0.1",
}, ", ")}}

// maxKept is how many bytes of resolved documents wait for their Document call.
const maxKept = 16 << 20

// Resolve fetches the manifest that the reference names, in one request, and
// keeps it for the call of Document that follows. Mirrors may resolve tags when
// their configuration says so; the log tells which host answered (REG-25).
func (s *Store) Resolve(ctx context.Context) (ocispec.Descriptor, error) {
	if err := ctx.Err(); err != nil {
		return ocispec.Descriptor{}, err
	}
	name := s.ref.Tag
	if s.ref.Digest != "" {
		if _, err := layout.NewHash(s.ref.Digest); err != nil {
			return ocispec.Descriptor{}, err
		}
		name = string(s.ref.Digest)
	}
	eps := s.endpoints
	if s.ref.Digest == "" {
		eps = nil
		for _, e := range s.endpoints {
			if e.resolve || e == s.origin() {
				eps = append(eps, e)
			}
		}
	}
	var desc ocispec.Descriptor
	err := s.attempt(ctx, eps, func(e *endpoint, retry bool) error {
		d, body, err := s.fetchManifest(ctx, e, name, s.ref.Digest, retry)
		if err != nil {
			return err
		}
		desc = d
		s.keep(d.Digest, body)
		s.opt.Logger.Info("resolved", "reference", s.ref.String(), "digest", d.Digest, "host", e.name)
		return nil
	})
	if err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("resolve %s: %w", s.ref, err)
	}
	return desc, nil
}

// fetchManifest fetches a manifest by tag or digest and checks it: by digest
// against that, by tag against the header, if it is there and understood. want
// is empty for a tag (REG-5, REG-6).
func (s *Store) fetchManifest(ctx context.Context, e *endpoint, name string, want digest.Digest, retry bool) (ocispec.Descriptor, []byte, error) {
	what := "manifest " + name
	var none ocispec.Descriptor
	r, body, err := s.fetch(ctx, e, call{
		kind: KindManifest, what: what, url: e.url(s.repository, "manifests/"+name, ""),
		header: acceptManifests, scope: s.pullScope(), retry: retry,
	}, layout.DefaultLimits().ManifestBytes)
	if err != nil {
		return none, nil, err
	}
	if want == "" {
		want = digest.Digest(r.Header.Get("Docker-Content-Digest"))
		if _, err := layout.NewHash(want); err != nil {
			want = digest.FromBytes(body)
		}
	}
	desc := ocispec.Descriptor{Digest: want, Size: int64(len(body))}
	if err := layout.VerifyBytes(desc, body); err != nil {
		return none, nil, &lieError{host: e.name, what: what, how: err.Error(), sentinel: layout.ErrDigest}
	}
	desc.MediaType, err = documentType(r.Header.Get("Content-Type"), body)
	if err != nil {
		return none, nil, fmt.Errorf("%s: %s: %w", e.name, what, err)
	}
	return desc, body, nil
}

// documentType decides the media type of a document: that of the answer, which
// the body must not contradict (MAN-3, REG-3). A type that says nothing gives
// way to the body's.
func documentType(contentType string, body []byte) (string, error) {
	var doc struct {
		MediaType string `json:"mediaType"`
	}
	if err := json.Unmarshal(body, &doc); err != nil {
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			return "", fmt.Errorf("%w: the document is not JSON", layout.ErrInvalid)
		}
	}
	said, inside := layout.MediaType(contentType), layout.MediaType(doc.MediaType)
	switch said {
	case "", "application/json", "text/plain", "application/octet-stream":
		if inside != "" {
			return inside, nil
		}
		return said, nil
	}
	if inside != "" && inside != said {
		return "", fmt.Errorf("%w: served as %q, but it says it is %q", layout.ErrInvalid, clean(said, 100), clean(inside, 100))
	}
	return said, nil
}

// fetch gets a document whole, at most limit bytes. An answer that promises
// more is refused before it is read (REG-8).
func (s *Store) fetch(ctx context.Context, e *endpoint, c call, limit int64) (*response, []byte, error) {
	c.method = http.MethodGet
	r, err := s.send(ctx, e, c)
	if err != nil {
		return nil, nil, err
	}
	if r.StatusCode != http.StatusOK {
		return nil, nil, newStatusError(r, c.what)
	}
	defer closeBody(r.Body)
	if enc := r.Header.Get("Content-Encoding"); enc != "" && enc != "identity" {
		return nil, nil, &lieError{host: r.url.Host, what: c.what, how: "the answer is compressed", sentinel: layout.ErrUnavailable}
	}
	tooLarge := fmt.Errorf("%s: %s: larger than %d bytes: %w", e.name, c.what, limit, layout.ErrTooLarge)
	if r.ContentLength > limit {
		return nil, nil, tooLarge
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, limit+1))
	if err != nil {
		return nil, nil, err
	}
	if int64(len(body)) > limit {
		return nil, nil, tooLarge
	}
	return r, body, nil
}

// keep remembers a document, within a limit.
func (s *Store) keep(d digest.Digest, body []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	total := len(body)
	for _, b := range s.documents {
		total += len(b)
	}
	if total > maxKept {
		clear(s.documents)
	}
	s.documents[d] = body
}

func (s *Store) kept(d digest.Digest) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.documents[d]
}

// Document fetches a manifest, an image index or a config, and checks size and
// digest. A host that answers with other bytes is passed over for the next
// (REG-6). A manifest that is not among the manifests is asked for once among
// the blobs (REG-7).
func (s *Store) Document(ctx context.Context, desc ocispec.Descriptor, manifest bool) ([]byte, error) {
	if err := layout.CheckDescriptor(desc); err != nil {
		return nil, err
	}
	if _, err := layout.NewHash(desc.Digest); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	limits := layout.DefaultLimits()
	limit := limits.ConfigBytes
	if manifest {
		limit = limits.ManifestBytes
	}
	if desc.Size > limit {
		return nil, fmt.Errorf("document %s: %d bytes, more than %d: %w", desc.Digest, desc.Size, limit, layout.ErrTooLarge)
	}
	if b := s.kept(desc.Digest); b != nil {
		if err := layout.VerifyBytes(desc, b); err != nil {
			return nil, err
		}
		return b, nil
	}
	var body []byte
	err := s.attempt(ctx, s.endpoints, func(e *endpoint, retry bool) (err error) {
		if manifest {
			body, err = s.fetchChecked(ctx, e, desc, KindManifest, "manifests/", limit, retry)
			var st *statusError
			if !errors.As(err, &st) || st.status != http.StatusNotFound {
				return err
			}
		}
		body2, err2 := s.fetchChecked(ctx, e, desc, KindBlob, "blobs/", limit, retry || manifest)
		if err2 != nil {
			if err == nil || classify(err2) != final {
				err = err2
			}
			return err
		}
		body = body2
		return nil
	})
	if err != nil {
		return nil, err
	}
	return body, nil
}

func (s *Store) fetchChecked(ctx context.Context, e *endpoint, desc ocispec.Descriptor, kind Kind, path string, limit int64, retry bool) ([]byte, error) {
	c := call{
		kind: kind, what: strings.TrimSuffix(path, "s/") + " " + string(desc.Digest),
		url:   e.url(s.repository, path+string(desc.Digest), ""),
		scope: s.pullScope(), retry: retry,
	}
	c.header = acceptManifests
	if kind == KindBlob {
		c.header = http.Header{"Accept-Encoding": {"identity"}}
	}
	_, body, err := s.fetch(ctx, e, c, limit)
	if err != nil {
		return nil, err
	}
	if err := layout.VerifyBytes(desc, body); err != nil {
		return nil, &lieError{host: e.name, what: c.what, how: err.Error(), sentinel: layout.ErrDigest}
	}
	return body, nil
}
