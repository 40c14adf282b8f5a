package registry_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/shalefs/shalefs/layout"
	"github.com/shalefs/shalefs/layout/layouttest"
	"github.com/shalefs/shalefs/layout/registry"
	rt "github.com/shalefs/shalefs/layout/registry/registrytest"
)

// imageBench is a registry with one small image behind a proxy.
type imageBench struct {
	image *layouttest.Memory
	proxy *rt.Proxy
	log   *lockedBuffer
}

func newImageBench(t *testing.T, kind string, po rt.Options) *imageBench {
	t.Helper()
	b := &imageBench{image: layouttest.Image(layouttest.Gzip(layouttest.Tar(layouttest.File("a", "one")))), log: &lockedBuffer{}}
	reg := rt.Start(t, kind)
	reg.PushImage(t, repo, "v1", b.image)
	b.proxy = rt.NewProxy(t, reg, po)
	return b
}

func (b *imageBench) open(t *testing.T, name string) *registry.Store {
	t.Helper()
	opt := quick()
	opt.Logger = logTo(b.log)
	return open(t, b.proxy.Host(), name, opt)
}

// requests lists what came to the front, as "GET path".
func (b *imageBench) requests() []string {
	var out []string
	for _, s := range b.proxy.Seen(func(s rt.Seen) bool { return s.Where == rt.Front }) {
		out = append(out, s.Method+" "+strings.TrimPrefix(s.Path, "/v2/"+repo+"/"))
	}
	return out
}

// TestRequestsToOpenAnImage: a manifest by its tag and a config, nothing else:
// no ping, no HEAD (REG-4, REG-31); with tokens two more (REG-22).
func TestRequestsToOpenAnImage(t *testing.T) {
	for _, tokens := range []*rt.Tokens{nil, {}} {
		b := newImageBench(t, "olareg", rt.Options{Tokens: tokens})
		img, err := layout.LoadImage(t.Context(), b.open(t, "v1"), layout.Platform{})
		if err != nil {
			t.Fatal(err)
		}
		want := []string{"GET manifests/v1", "GET blobs/" + string(img.Manifest.Config.Digest)}
		if tokens != nil {
			want = append([]string{"GET manifests/v1"}, want...)
			if tokens.Issued() != 1 || tokens.Scopes()[0] != "repository:"+repo+":pull" {
				t.Errorf("REG-20: %d tokens, scopes %v", tokens.Issued(), tokens.Scopes())
			}
		}
		if got := b.requests(); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("got %v, want %v", got, want)
		}
	}
}

// TestREF3DigestIgnoresTag: one request, by digest.
func TestREF3DigestIgnoresTag(t *testing.T) {
	b := newImageBench(t, "olareg", rt.Options{})
	s := b.open(t, string(b.image.Root.Digest))
	desc, err := s.Resolve(t.Context())
	if err != nil || desc.Digest != b.image.Root.Digest {
		t.Fatalf("%v, %v", desc, err)
	}
	if got := fmt.Sprint(b.requests()); got != "[GET manifests/"+string(desc.Digest)+"]" {
		t.Errorf("got %s", got)
	}
}

func TestREG2Accept(t *testing.T) {
	b := newImageBench(t, "olareg", rt.Options{})
	if _, err := b.open(t, "v1").Resolve(t.Context()); err != nil {
		t.Fatal(err)
	}
	accept := b.proxy.Seen(nil)[0].Header.Get("Accept")
	want := strings.Join([]string{ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageIndex, layout.DockerManifest, layout.DockerManifestList, "*/*;q=0.1"}, ", ")
	if accept != want {
		t.Errorf("got %q, want %q", accept, want)
	}
}

// TestResolveAnswers are the ways in which a manifest comes or does not.
func TestResolveAnswers(t *testing.T) {
	header := func(k, v string) rt.Fault {
		return rt.Edit(func(a *rt.Answer) {
			a.Header.Del(k)
			if v != "" {
				a.Header.Set(k, v)
			}
		})
	}
	body := func(b string) rt.Fault {
		return rt.Edit(func(a *rt.Answer) {
			a.Body = []byte(b)
			a.Header.Del("Docker-Content-Digest")
		})
	}
	tests := []struct {
		name     string
		byDigest bool
		fault    rt.Fault
		is       error // nil: it works
		text     string
	}{
		{"REG-3 parameters of the type", false, header("Content-Type", ocispec.MediaTypeImageManifest+"; charset=utf-8"), nil, ""},
		{"REG-3 type against body", false, header("Content-Type", ocispec.MediaTypeImageIndex), layout.ErrInvalid, "served as"},
		{"REG-3 a type that says nothing", false, header("Content-Type", "application/json"), nil, ""},
		{"REG-5 no digest header", false, header("Docker-Content-Digest", ""), nil, ""},
		{"REG-5 unknown algorithm", false, header("Docker-Content-Digest", "sha999:abc"), nil, ""},
		{"REG-6 tag, wrong header", false, header("Docker-Content-Digest", "sha256:"+strings.Repeat("0", 64)), layout.ErrDigest, "digest mismatch"},
		{"DIG-17 digest, wrong header", true, header("Docker-Content-Digest", "sha256:"+strings.Repeat("0", 64)), nil, ""},
		{"REG-6 digest, other body", true, body(`{"schemaVersion":2}`), layout.ErrDigest, "digest mismatch"},
		{"DIG-1 a flipped bit", true, rt.Corrupt(), layout.ErrDigest, "digest mismatch"},
		{"REG-8 too large", false, body(strings.Repeat(" ", 4<<20) + "{}"), layout.ErrTooLarge, "larger than 4194304 bytes"},
		{"REG-8 just not too large", false, body("{}" + strings.Repeat(" ", 4<<20-2)), nil, ""},
		{"REG-13 compressed", false, rt.Gzip(), layout.ErrUnavailable, "compressed"},
		{"no JSON", false, body("<html>"), layout.ErrInvalid, "not JSON"},
		{"REG-28 no manifest", false, rt.Status(404, nil, `{"errors":[{"code":"MANIFEST_UNKNOWN","message":"not here\u001b[31m"}]}`), layout.ErrNotFound, "manifest v1: not found: MANIFEST_UNKNOWN not here?[31m"},
		{"REG-28 no repository", false, rt.Status(404, nil, `{"errors":[{"code":"NAME_UNKNOWN"}]}`), layout.ErrNotFound, "the repository does not exist: NAME_UNKNOWN"},
		{"REG-28 denied", false, rt.Status(403, nil, `{"errors":[{"code":"DENIED","message":"no"}]}`), layout.ErrUnauthorized, "not allowed, or it does not exist (403): DENIED no"},
		{"REG-28 unauthorized", false, rt.Status(401, nil, ""), layout.ErrUnauthorized, "credentials are missing or refused (401)"},
		{"REG-29 a long HTML body", false, rt.Status(400, http.Header{"Content-Type": {"text/html"}}, strings.Repeat("<p>", 3<<20)), layout.ErrUnavailable, "unexpected answer 400 Bad Request"},
		{"REG-29 a line of text", false, rt.Status(400, http.Header{"Content-Type": {"text/plain"}}, "first\nsecond"), layout.ErrUnavailable, "400 Bad Request: first"},
		{"REG-27 500 for ever", false, rt.Status(500, nil, ""), layout.ErrUnavailable, "after 5 tries"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newImageBench(t, "olareg", rt.Options{Rules: []*rt.Rule{{Match: rt.Manifests, Count: -1, Fault: tt.fault}}})
			name := "v1"
			if tt.byDigest {
				name = string(b.image.Root.Digest)
			}
			desc, err := b.open(t, name).Resolve(t.Context())
			if tt.is == nil {
				if err != nil || desc.Digest == "" {
					t.Errorf("got %v, %v", desc, err)
				}
				return
			}
			if !errors.Is(err, tt.is) || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("got %v, want %v with %q", err, tt.is, tt.text)
			}
			if err != nil && (len(err.Error()) > 600 || strings.ContainsAny(err.Error(), "\n\x1b")) {
				t.Errorf("REG-29, ERR-11: a bad message: %q", err)
			}
		})
	}
}

// TestREG7ManifestAmongBlobs: 404 for a manifest by digest, and it is a blob.
func TestREG7ManifestAmongBlobs(t *testing.T) {
	content := []byte(`{"schemaVersion":2,"layers":[]}`)
	reg := rt.Start(t, "olareg")
	d := reg.PushBlob(t, repo, content)
	s := open(t, reg.Host(), "latest", quick())
	desc := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: d, Size: int64(len(content))}
	if b, err := s.Document(t.Context(), desc, true); err != nil || string(b) != string(content) {
		t.Errorf("%q, %v", b, err)
	}
	desc.Digest = digest.FromString("nothing")
	if _, err := s.Document(t.Context(), desc, true); !errors.Is(err, layout.ErrNotFound) {
		t.Errorf("missing: %v", err)
	}
	desc.Size = 5 << 20
	if _, err := s.Document(t.Context(), desc, true); !errors.Is(err, layout.ErrTooLarge) {
		t.Errorf("ERR-6: %v", err)
	}
}

// TestREG15ManifestRedirect: manifests may be elsewhere, too.
func TestREG15ManifestRedirect(t *testing.T) {
	b := newImageBench(t, "olareg", rt.Options{})
	path := "/v2/" + repo + "/manifests/" + string(b.image.Root.Digest)
	b.proxy.SetRules(&rt.Rule{Match: rt.Manifests, Fault: rt.Redirect(302, path)})
	if desc, err := b.open(t, "v1").Resolve(t.Context()); err != nil || desc.Digest != b.image.Root.Digest {
		t.Errorf("%v, %v", desc, err)
	}
}

// TestREG24NoFallbackToHTTP: a host that is not loopback is asked over https only.
func TestREG24NoFallbackToHTTP(t *testing.T) {
	b := newImageBench(t, "olareg", rt.Options{})
	dir := t.TempDir()
	writeHosts(t, dir, b.proxy.Host(), fmt.Sprintf("server = \"https://%s\"\n", b.proxy.Host()))
	opt := quick()
	opt.HostsDir = dir
	if _, err := open(t, b.proxy.Host(), "v1", opt).Resolve(t.Context()); !errors.Is(err, layout.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
	if n := len(b.proxy.Seen(nil)); n != 0 {
		t.Errorf("%d requests without TLS", n)
	}
}

// TestREG30Warnings: each text once, cleaned.
func TestREG30Warnings(t *testing.T) {
	b := newImageBench(t, "olareg", rt.Options{Rules: []*rt.Rule{{Match: rt.Manifests, Count: -1, Fault: rt.Edit(func(a *rt.Answer) {
		a.Header["Warning"] = []string{`299 - "old \"thing\""`, "110 - \"stale\""}
	})}}})
	s := b.open(t, "v1")
	for range 20 {
		if _, err := s.Resolve(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := strings.Count(b.log.String(), "the registry warns"); n != 1 {
		t.Errorf("%d lines, want 1: %s", n, b.log)
	}
}
