package registrytest

import (
	"bytes"
	"encoding/json"
	"net/http"
	"testing"

	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/shalefs/shalefs/layout"
	"github.com/shalefs/shalefs/layout/layouttest"
)

// PushBlob stores a blob with plain requests, and returns its digest.
func (r *Registry) PushBlob(tb testing.TB, repository string, content []byte) digest.Digest {
	tb.Helper()
	d := digest.FromBytes(content)
	r.PushBlobAs(tb, repository, d, content)
	return d
}

// PushBlobAs stores a blob under a digest of any algorithm.
func (r *Registry) PushBlobAs(tb testing.TB, repository string, d digest.Digest, content []byte) {
	tb.Helper()
	algorithm := ""
	if d.Algorithm() != digest.SHA256 {
		algorithm = "?digest-algorithm=" + string(d.Algorithm())
	}
	location := r.do(tb, http.MethodPost, "/v2/"+repository+"/blobs/uploads/"+algorithm, "", nil, http.StatusAccepted)
	u, err := r.URL.Parse(location)
	if err != nil {
		tb.Fatal(err)
	}
	q := u.Query()
	q.Set("digest", string(d))
	u.RawQuery = q.Encode()
	r.do(tb, http.MethodPut, u.RequestURI(), "application/octet-stream", content, http.StatusCreated)
}

// PushManifest stores a manifest under a tag or its digest.
func (r *Registry) PushManifest(tb testing.TB, repository, name, mediaType string, content []byte) {
	tb.Helper()
	r.do(tb, http.MethodPut, "/v2/"+repository+"/manifests/"+name, mediaType, content, http.StatusCreated)
}

// do sends a request, and returns the Location of the answer.
func (r *Registry) do(tb testing.TB, method, path, contentType string, body []byte, want int) string {
	tb.Helper()
	req, err := http.NewRequest(method, r.URL.Scheme+"://"+r.URL.Host+path, bytes.NewReader(body))
	if err != nil {
		tb.Fatal(err)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		tb.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil {
		tb.Fatal(err)
	}
	if resp.StatusCode != want {
		tb.Fatalf("%s %s: got %s, want %d", method, path, resp.Status, want)
	}
	return resp.Header.Get("Location")
}

// PushImage stores the root of m and all below it, and tags it.
func (r *Registry) PushImage(tb testing.TB, repository, tag string, m *layouttest.Memory) {
	tb.Helper()
	r.pushDocument(tb, repository, m, m.Root)
	body, _ := m.Content(m.Root.Digest)
	r.PushManifest(tb, repository, tag, m.Root.MediaType, body)
}

func (r *Registry) pushDocument(tb testing.TB, repository string, m *layouttest.Memory, desc ocispec.Descriptor) {
	tb.Helper()
	body, ok := m.Content(desc.Digest)
	if !ok {
		tb.Fatalf("%s is not in the image", desc.Digest)
	}
	var doc struct {
		Manifests []ocispec.Descriptor
		Config    *ocispec.Descriptor
		Layers    []ocispec.Descriptor
	}
	if err := json.Unmarshal(body, &doc); err != nil {
		tb.Fatal(err)
	}
	for _, d := range doc.Manifests {
		r.pushDocument(tb, repository, m, d)
	}
	blobs := doc.Layers
	if layout.KindOf(desc.MediaType) == layout.KindManifest && doc.Config != nil {
		blobs = append(blobs, *doc.Config)
	}
	for _, d := range blobs {
		content, ok := m.Content(d.Digest)
		if !ok {
			tb.Fatalf("%s is not in the image", d.Digest)
		}
		r.PushBlobAs(tb, repository, d.Digest, content)
	}
	r.PushManifest(tb, repository, string(desc.Digest), desc.MediaType, body)
}
