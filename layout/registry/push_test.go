package registry_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	digest "github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/shalefs/shalefs/layout"
	"github.com/shalefs/shalefs/layout/registry"
	rt "github.com/shalefs/shalefs/layout/registry/registrytest"
)

const artifact = "application/vnd.example.thing.v1+json"

// referrer makes a manifest with a subject; n makes it different from others.
func referrer(t *testing.T, subject ocispec.Descriptor, artifactType string, n int) (ocispec.Descriptor, []byte) {
	t.Helper()
	m := ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		ArtifactType: artifactType, Config: ocispec.DescriptorEmptyJSON, Layers: []ocispec.Descriptor{ocispec.DescriptorEmptyJSON},
		Subject: &subject, Annotations: map[string]string{"n": fmt.Sprint(n)},
	}
	raw, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return ocispec.Descriptor{MediaType: m.MediaType, Digest: digest.FromBytes(raw), Size: int64(len(raw))}, raw
}

// TestREG32Referrers pushes to registries with and without the API, several at
// a time (of one process: for others see TestREG32FallbackRace), and finds all of them again, also through tokens.
func TestREG32Referrers(t *testing.T) {
	const writers = 4
	for _, kind := range rt.Kinds {
		t.Run(kind, func(t *testing.T) {
			tokens := &rt.Tokens{}
			b := newImageBench(t, kind, rt.Options{Tokens: tokens})
			subject := b.image.Root
			s := b.open(t, "v1")
			if err := s.PushBlob(t.Context(), ocispec.DescriptorEmptyJSON, []byte("{}")); err != nil {
				t.Fatal(err)
			}
			if list, err := s.Referrers(t.Context(), subject, artifact); err != nil || len(list) != 0 {
				t.Fatalf("before: %v, %v", list, err)
			}
			var wg sync.WaitGroup
			for n := range writers {
				wg.Go(func() {
					desc, raw := referrer(t, subject, artifact, n)
					if err := b.open(t, "v1").PushReferrer(t.Context(), desc, raw, subject); err != nil {
						t.Errorf("push %d: %v", n, err)
					}
				})
				if kind == "olareg" {
					wg.Wait() // v0.2.2 loses entries that are pushed at one time
				}
			}
			wg.Wait()
			other, raw := referrer(t, subject, "application/vnd.example.other", 99)
			if err := s.PushReferrer(t.Context(), other, raw, subject); err != nil {
				t.Fatal(err)
			}
			list, err := s.Referrers(t.Context(), subject, artifact)
			if err != nil || len(list) != writers {
				t.Errorf("%d referrers, want %d: %v", len(list), writers, err)
			}
			for _, d := range list {
				if d.ArtifactType != artifact {
					t.Errorf("artifact type %q", d.ArtifactType)
				}
				if _, err := s.Document(t.Context(), d, true); err != nil {
					t.Errorf("%v", err)
				}
			}
			if all, err := s.Referrers(t.Context(), subject, ""); err != nil || len(all) != writers+1 {
				t.Errorf("%d referrers of all types, want %d: %v", len(all), writers+1, err)
			}
		})
	}
}

// TestReferrersCost: the API is one request; the fallback is asked only on 404.
func TestReferrersCost(t *testing.T) {
	for kind, want := range map[string]int{"olareg": 1, "distribution": 2} {
		b := newImageBench(t, kind, rt.Options{})
		if _, err := b.open(t, "v1").Referrers(t.Context(), b.image.Root, artifact); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		if got := b.requests(); len(got) != want {
			t.Errorf("%s: %v, want %d requests", kind, got, want)
		}
	}
}

// TestREG32FallbackRace: another writer replaces the list between our write and
// our look at it; ours is added again, and the other's stays.
func TestREG32FallbackRace(t *testing.T) {
	b := newImageBench(t, "distribution", rt.Options{})
	subject := b.image.Root
	s := b.open(t, "v1")
	if err := s.PushBlob(t.Context(), ocispec.DescriptorEmptyJSON, []byte("{}")); err != nil {
		t.Fatal(err)
	}
	theirs, theirRaw := referrer(t, subject, artifact, 1)
	(&rt.Registry{URL: b.proxy.URL}).PushManifest(t, repo, string(theirs.Digest), theirs.MediaType, theirRaw)
	list := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"manifests":[{"mediaType":%q,"digest":%q,"size":%d,"artifactType":%q,"x":1}],"annotations":{"a":"b"}}`,
		ocispec.MediaTypeImageIndex, theirs.MediaType, theirs.Digest, theirs.Size, artifact)
	ours, raw := referrer(t, subject, artifact, 2)
	tag := layout.FallbackTag(subject.Digest)
	looks := 0
	b.proxy.SetRules(&rt.Rule{
		Match: func(w rt.Where, r *httpRequest) bool { return rt.Manifests(w, r) && strings.HasSuffix(r.URL.Path, tag) },
		From:  1, Count: -1,
		Fault: func(w httpWriter, r *httpRequest, ask func(*httpRequest) *rt.Answer) {
			looks++
			if looks == 3 { // one by the check for the API, one before our write, one after it
				a := ask(r)
				a.Status, a.Body = 200, []byte(list)
				a.Header.Set("Content-Type", ocispec.MediaTypeImageIndex)
				a.Header.Del("Docker-Content-Digest")
				rt.Edit(func(x *rt.Answer) { *x = *a })(w, r, func(*httpRequest) *rt.Answer { return a })
				return
			}
			rt.Edit(func(*rt.Answer) {})(w, r, ask)
		},
	})
	if err := s.PushReferrer(t.Context(), ours, raw, subject); err != nil {
		t.Fatal(err)
	}
	got, err := s.Referrers(t.Context(), subject, artifact)
	if err != nil || len(got) != 2 {
		t.Errorf("%v, %v; want both", got, err)
	}
}

// TestREG32Pages follows Link, and filters again.
func TestREG32Pages(t *testing.T) {
	b := newImageBench(t, "olareg", rt.Options{})
	d1, _ := referrer(t, b.image.Root, artifact, 1)
	d2, _ := referrer(t, b.image.Root, artifact, 2)
	page := func(d ocispec.Descriptor, artifactType string) string {
		d.ArtifactType = artifactType
		raw, err := json.Marshal(ocispec.Index{Manifests: []ocispec.Descriptor{d}})
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	isReferrers := func(w rt.Where, r *httpRequest) bool { return strings.Contains(r.URL.Path, "/referrers/") }
	next := map[string][]string{"Link": {`</v2/` + repo + `/referrers/` + string(b.image.Root.Digest) + `?page=2>; rel="next"`}}
	answers := func(first map[string][]string) {
		b.proxy.SetRules(
			&rt.Rule{Match: isReferrers, From: 1, Fault: rt.Status(200, first, page(d1, artifact))},
			&rt.Rule{Match: isReferrers, From: 2, Fault: rt.Status(200, first, page(d2, "application/other"))},
			&rt.Rule{Match: isReferrers, From: 3, Fault: rt.Status(200, nil, page(d2, ""))},
		)
	}
	answers(next)
	s := b.open(t, "v1")
	list, err := s.Referrers(t.Context(), b.image.Root, artifact)
	if err != nil || len(list) != 2 || list[0].Digest != d1.Digest || list[1].Digest != d2.Digest {
		t.Errorf("%v, %v", list, err)
	}
	answers(map[string][]string{"Link": {`<http://169.254.169.254/>; rel="next"`}})
	if _, err := s.Referrers(t.Context(), b.image.Root, artifact); err == nil || !strings.Contains(err.Error(), "somewhere else") {
		t.Errorf("a page at another host: %v", err)
	}
}

// TestREG33OddLists: entries without an artifact type are kept, since only the
// manifest can tell; one whose manifest is missing is listed, and cannot be read;
// one that is no descriptor is left out.
func TestREG33OddLists(t *testing.T) {
	b := newImageBench(t, "olareg", rt.Options{})
	dangling := digest.FromString("nothing")
	b.proxy.SetRules(&rt.Rule{
		Match: func(_ rt.Where, r *httpRequest) bool { return strings.Contains(r.URL.Path, "/referrers/") },
		Count: -1,
		Fault: rt.Status(200, nil, fmt.Sprintf(`{"manifests":[{"digest":%q,"size":7},{"digest":"bad","size":1},{"digest":%q,"size":-1}]}`, dangling, dangling)),
	})
	s := b.open(t, "v1")
	list, err := s.Referrers(t.Context(), b.image.Root, artifact)
	if err != nil || len(list) != 1 || list[0].Digest != dangling {
		t.Fatalf("%v, %v", list, err)
	}
	if _, err := s.Document(t.Context(), list[0], true); !errors.Is(err, layout.ErrNotFound) {
		t.Errorf("missing manifest: %v", err)
	}
}

// TestREG4NoHEAD: a host that knows no HEAD can be pushed to.
func TestREG4NoHEAD(t *testing.T) {
	b := newImageBench(t, "olareg", rt.Options{Rules: []*rt.Rule{{
		Match: func(_ rt.Where, r *httpRequest) bool { return r.Method == http.MethodHead },
		Count: -1, Fault: rt.Status(405, nil, ""),
	}}})
	if err := b.open(t, "v1").PushBlob(t.Context(), describe([]byte("x")), []byte("x")); err != nil {
		t.Error(err)
	}
}

// TestPushBlob: a blob that is there costs one request; a fault is survived.
func TestPushBlob(t *testing.T) {
	for _, kind := range rt.Kinds {
		b := newImageBench(t, kind, rt.Options{})
		s := b.open(t, "v1")
		content := []byte(strings.Repeat("some blob ", 1000))
		isUpload := func(w rt.Where, r *httpRequest) bool {
			return r.Method == http.MethodPost || r.Method == http.MethodPut
		}
		b.proxy.SetRules(
			&rt.Rule{Match: isUpload, From: 1, Fault: rt.Status(503, nil, "")},
			&rt.Rule{Match: isUpload, From: 3, Fault: rt.Status(500, nil, "")},
		)
		if err := s.PushBlob(t.Context(), describe(content), content); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		b.proxy.SetRules()
		b.proxy.Forget()
		if err := s.PushBlob(t.Context(), describe(content), content); err != nil {
			t.Errorf("%s: again: %v", kind, err)
		}
		if got := b.requests(); len(got) != 1 {
			t.Errorf("%s: %v, want one HEAD", kind, got)
		}
		p := make([]byte, len(content))
		if _, err := openBlob(t, s, describe(content)).ReadAt(t.Context(), p, 0); err != nil || string(p) != string(content) {
			t.Errorf("%s: read back: %v", kind, err)
		}
		if err := s.PushBlob(t.Context(), describe([]byte("x")), content); err == nil {
			t.Errorf("%s: wrong digest was pushed", kind)
		}
	}
}

var _ layout.Pusher = (*registry.Store)(nil)
