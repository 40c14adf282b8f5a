package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"

	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/shalefs/shalefs/layout"
)

// atOrigin runs try at the registry itself, with retries.
func (s *Store) atOrigin(ctx context.Context, try func(e *endpoint, retry bool) error) error {
	return s.attempt(ctx, s.endpoints[len(s.endpoints)-1:], try)
}

// push sends one request that writes, and wants one of the given statuses.
func (s *Store) push(ctx context.Context, e *endpoint, c call, want ...int) (*response, error) {
	c.kind, c.scope = KindPush, s.pushScope()
	r, err := s.send(ctx, e, c)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(want, r.StatusCode) {
		return nil, newStatusError(r, c.what)
	}
	drain(r.Body)
	return r, nil
}

// PushBlob uploads a blob in one piece, unless the registry has it.
func (s *Store) PushBlob(ctx context.Context, desc ocispec.Descriptor, content []byte) error {
	if err := layout.VerifyBytes(desc, content); err != nil {
		return err
	}
	err := s.atOrigin(ctx, func(e *endpoint, retry bool) error { return s.pushBlobTo(ctx, e, desc, content, retry) })
	if err != nil {
		return fmt.Errorf("push blob %s: %w", desc.Digest, err)
	}
	return nil
}

// pushBlobTo asks with HEAD, opens an upload with POST, and sends it with PUT.
// Source: distribution-spec v1.1, "Pushing blobs", "POST then PUT".
func (s *Store) pushBlobTo(ctx context.Context, e *endpoint, desc ocispec.Descriptor, content []byte, retry bool) error {
	what := "blob " + string(desc.Digest)
	_, err := s.push(ctx, e, call{
		method: http.MethodHead, what: what, retry: retry,
		url: e.url(s.repository, "blobs/"+string(desc.Digest), ""),
	}, http.StatusOK)
	if err == nil {
		return nil
	}
	// Not there, or a host that knows no HEAD: try to upload. Denied is denied.
	if classify(err) != final || errors.Is(err, layout.ErrUnauthorized) {
		return err
	}
	what = "upload of " + what
	r, err := s.push(ctx, e, call{
		method: http.MethodPost, what: what, retry: retry, body: []byte{},
		url: e.url(s.repository, "blobs/uploads/", ""),
	}, http.StatusAccepted)
	if err != nil {
		return err
	}
	u, err := redirectTarget(r.url, r.Header.Get("Location"))
	if err != nil {
		return &lieError{host: e.name, what: what, how: err.Error(), sentinel: layout.ErrUnavailable}
	}
	q := u.Query()
	q.Set("digest", string(desc.Digest))
	u.RawQuery = q.Encode()
	_, err = s.push(ctx, e, call{
		method: http.MethodPut, what: what, url: u, retry: retry, body: nonNil(content),
		header: http.Header{"Content-Type": {"application/octet-stream"}},
	}, http.StatusCreated)
	return err
}

// nonNil keeps an empty body a body.
func nonNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// PushReferrer stores a manifest under its digest. A registry that knows
// subjects says so in its answer, or lists the manifest; any other gets the
// fallback tag (REG-32).
func (s *Store) PushReferrer(ctx context.Context, desc ocispec.Descriptor, manifest []byte, subject ocispec.Descriptor) error {
	if err := layout.VerifyBytes(desc, manifest); err != nil {
		return err
	}
	doc, err := layout.ParseDocument(manifest, desc.MediaType)
	if err != nil {
		return fmt.Errorf("manifest %s: %w", desc.Digest, err)
	}
	if sub := subjectOf(doc); sub == nil || sub.Digest != subject.Digest {
		return fmt.Errorf("manifest %s does not have the subject %s: %w", desc.Digest, subject.Digest, layout.ErrInvalid)
	}
	err = s.atOrigin(ctx, func(e *endpoint, retry bool) error {
		r, err := s.putManifest(ctx, e, string(desc.Digest), desc.MediaType, manifest, retry)
		if err != nil || r.Header.Get("OCI-Subject") != "" {
			return err
		}
		_, api, err := s.referrersAt(ctx, e, subject, "", retry)
		if err != nil || api {
			return err
		}
		return s.addToFallback(ctx, e, subject, referrerEntry(doc, desc))
	})
	if err != nil {
		return fmt.Errorf("push manifest %s: %w", desc.Digest, err)
	}
	return nil
}

func subjectOf(doc *layout.Document) *ocispec.Descriptor {
	if doc.Manifest != nil {
		return doc.Manifest.Subject
	}
	return doc.Index.Subject
}

// referrerEntry is the descriptor of a manifest as a list of referrers gives it.
func referrerEntry(doc *layout.Document, desc ocispec.Descriptor) ocispec.Descriptor {
	d := ocispec.Descriptor{MediaType: desc.MediaType, Digest: desc.Digest, Size: desc.Size}
	if doc.Manifest != nil {
		d.ArtifactType, d.Annotations = layout.ArtifactType(*doc.Manifest), doc.Manifest.Annotations
	} else {
		d.ArtifactType, d.Annotations = doc.Index.ArtifactType, doc.Index.Annotations
	}
	return d
}

func (s *Store) putManifest(ctx context.Context, e *endpoint, name, mediaType string, manifest []byte, retry bool) (*response, error) {
	return s.push(ctx, e, call{
		method: http.MethodPut, what: "manifest " + name, body: manifest, retry: retry,
		url:    e.url(s.repository, "manifests/"+name, ""),
		header: http.Header{"Content-Type": {mediaType}},
	}, http.StatusCreated)
}

// fallbackRounds is how often a list that another writer replaced is written again.
const fallbackRounds = 8

// fallbackTurn lets one writer of this process at a time change a list.
var fallbackTurn = make(chan struct{}, 1)

// addToFallback adds an entry to the list under the fallback tag. The protocol
// has no way to lock it against other processes. So the list is looked at again
// after a random moment, longer than another writer takes from reading to
// writing if it is as fast as we are, and written again if someone else's took
// the place of ours.
func (s *Store) addToFallback(ctx context.Context, e *endpoint, subject, entry ocispec.Descriptor) error {
	select {
	case fallbackTurn <- struct{}{}:
		defer func() { <-fallbackTurn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	tag := layout.FallbackTag(subject.Digest)
	for range fallbackRounds {
		start := time.Now()
		list, err := s.fallbackList(ctx, e, subject)
		if err != nil {
			return err
		}
		if list.has(entry.Digest) {
			return nil
		}
		body, err := list.with(entry)
		if err != nil {
			return err
		}
		if _, err := s.putManifest(ctx, e, tag, ocispec.MediaTypeImageIndex, body, false); err != nil {
			return err
		}
		took := min(2*time.Since(start), maxBackoff)
		select {
		case <-time.After(took + rand.N(s.opt.Backoff)):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	list, err := s.fallbackList(ctx, e, subject)
	if err == nil && !list.has(entry.Digest) {
		err = fmt.Errorf("%s: tag %s: others keep replacing it: %w", e.name, tag, layout.ErrUnavailable)
	}
	return err
}

func (f fallback) has(d digest.Digest) bool {
	return slices.ContainsFunc(f.descriptors(), func(x ocispec.Descriptor) bool { return x.Digest == d })
}

// with encodes the list with one more entry at its end.
func (f fallback) with(entry ocispec.Descriptor) ([]byte, error) {
	raw, err := json.Marshal(entry)
	if err != nil {
		return nil, err
	}
	entries, err := json.Marshal(append(slices.Clone(f.entries), raw))
	if err != nil {
		return nil, err
	}
	doc := map[string]json.RawMessage{}
	for k, v := range f.doc {
		doc[k] = v
	}
	doc["schemaVersion"] = json.RawMessage("2")
	doc["mediaType"] = json.RawMessage(`"` + ocispec.MediaTypeImageIndex + `"`)
	doc["manifests"] = entries
	return json.Marshal(doc)
}
