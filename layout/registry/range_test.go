package registry_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"

	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/shalefs/shalefs/layout/registry"
	rt "github.com/shalefs/shalefs/layout/registry/registrytest"
)

// TestREG9ExactRanges looks at the requests: both ends, identity, one request a range.
func TestREG9ExactRanges(t *testing.T) {
	b := newBench(t, 5000, rt.Options{}, nil)
	b.check(t, 10, 20)
	b.checkStream(t, 4000, 1000)
	p := make([]byte, 100)
	if n, err := b.blob.ReadAt(context.Background(), p, 4950); n != 50 || fmt.Sprint(err) != "EOF" {
		t.Errorf("ReadAt over the end: %d, %v", n, err)
	}
	var got []string
	for _, s := range b.proxy.Seen(nil) {
		if s.Header.Get("Accept-Encoding") != "identity" {
			t.Errorf("REG-13: Accept-Encoding %q", s.Header.Get("Accept-Encoding"))
		}
		if s.Method != http.MethodGet || strings.Contains(s.Header.Get("Range"), ",") {
			t.Errorf("REG-1, REG-10: %s %q", s.Method, s.Header.Get("Range"))
		}
		got = append(got, s.Header.Get("Range"))
	}
	want := "[bytes=10-29 bytes=4000-4999 bytes=4950-4999]"
	if fmt.Sprint(got) != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestREG9FittingAnswers are unusual and right: no total, and an end before the asked one.
func TestREG9FittingAnswers(t *testing.T) {
	b := newBench(t, 5000, rt.Options{}, nil)
	b.proxy.SetRules(&rt.Rule{Match: rt.Blobs(rt.Front), Fault: rt.ContentRange("bytes 100-199/*")})
	b.check(t, 100, 100)
	b.proxy.SetRules(&rt.Rule{Match: rt.Blobs(rt.Front), Fault: rt.Edit(func(a *rt.Answer) {
		a.Body = a.Body[:30]
		a.Header.Set("Content-Range", "bytes 100-129/5000")
	})})
	b.proxy.Forget()
	b.check(t, 100, 100)
	if n := b.blobRequests(rt.Front); n != 2 {
		t.Errorf("%d requests, want 2", n)
	}
}

// TestDIG11EmptyBlob makes no request at all.
func TestDIG11EmptyBlob(t *testing.T) {
	b := newBench(t, 0, rt.Options{}, nil)
	if n, err := b.blob.ReadAt(context.Background(), make([]byte, 5), 0); n != 0 || fmt.Sprint(err) != "EOF" {
		t.Errorf("ReadAt: %d, %v", n, err)
	}
	b.checkStream(t, 0, 0)
	if n := b.blobRequests(rt.Front); n != 0 {
		t.Errorf("%d requests, want 0", n)
	}
}

// TestREG17RedirectIsKept: with a redirect, n reads are n+1 requests.
func TestREG17RedirectIsKept(t *testing.T) {
	b := newBench(t, 5000, rt.Options{Signed: true}, nil)
	for i := range 10 {
		b.check(t, 100*i, 50)
	}
	front, storage := b.blobRequests(rt.Front), b.blobRequests(rt.Storage)
	if front != 1 || storage != 10 {
		t.Errorf("%d requests to the registry and %d to its storage, want 1 and 10", front, storage)
	}
	b.noSecrets(t, nil)
}

// TestREG17TwoUses: signed URLs that end after two uses, and the token asked for, too.
func TestREG17TwoUses(t *testing.T) {
	b := newBench(t, 5000, rt.Options{Signed: true, SignedUses: 2, Tokens: &rt.Tokens{Uses: 3}}, nil)
	for i := range 20 {
		b.check(t, 100*i, 50)
		b.checkStream(t, 100*i, 50)
	}
	b.noSecrets(t, nil)
	refused := b.proxy.Seen(func(s rt.Seen) bool { return s.Where == rt.Storage && s.Status == http.StatusBadRequest })
	if len(refused) > 0 {
		t.Errorf("REG-16, REG-18: headers that storage refuses: %v", refused[0].Header)
	}
	stale := b.proxy.Seen(func(s rt.Seen) bool { return s.Where == rt.Storage && s.Status == http.StatusForbidden })
	if len(stale) == 0 || len(stale) > 20 {
		t.Errorf("%d requests with a signature that had ended", len(stale))
	}
}

// TestREG11Spool: a server without ranges sends a big blob once, for all readers.
func TestREG11Spool(t *testing.T) {
	const size = 300_000
	dir := t.TempDir()
	b := newBench(t, size, rt.Options{Rules: []*rt.Rule{{Match: rt.Blobs(rt.Front), Count: -1, Fault: rt.IgnoreRange()}}},
		func(o *registry.Options) { o.MaxSkip = 1000; o.TempDir = dir })
	b.check(t, 200_000, 5000)
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			p := make([]byte, 100)
			off := 2000 + 14_000*i
			if _, err := b.blob.ReadAt(t.Context(), p, int64(off)); err != nil || string(p) != string(b.content[off:off+100]) {
				t.Errorf("at %d: %v, or wrong bytes", off, err)
			}
		})
	}
	wg.Wait()
	fallbacks := b.seen.count(func(i registry.RequestInfo) bool { return i.Fallback })
	if fallbacks != 1 || b.blobRequests(rt.Front) > 3 {
		t.Errorf("%d requests, %d told as fallback; want at most 3, and 1", b.blobRequests(rt.Front), fallbacks)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("temporary files with a name: %v, %v", left, err)
	}
	if !strings.Contains(b.log.String(), "ignores ranges") {
		t.Errorf("nothing in the log: %s", b.log)
	}
}

// TestREG11SpoolSurvives cuts the one big answer: it starts again, and the bytes are right.
func TestREG11SpoolSurvives(t *testing.T) {
	b := newBench(t, 50_000, rt.Options{Rules: []*rt.Rule{
		{Match: rt.Blobs(rt.Front), From: 2, Fault: rt.Edit(func(*rt.Answer) {})},
		{Match: rt.Blobs(rt.Front), Count: -1, Fault: rt.IgnoreRange()},
	}}, func(o *registry.Options) { o.MaxSkip = 1000 })
	b.check(t, 40_000, 5000)
	b.proxy.SetRules(
		&rt.Rule{Match: rt.Blobs(rt.Front), Fault: rt.IgnoreRange()},
		&rt.Rule{Match: rt.Blobs(rt.Front), From: 2, Fault: rt.Short(20_000)},
		&rt.Rule{Match: rt.Blobs(rt.Front), From: 3, Count: -1, Fault: rt.IgnoreRange()},
	)
	other := openBlob(t, b.store, b.desc)
	p := make([]byte, 100)
	if _, err := other.ReadAt(t.Context(), p, 45_000); err != nil || string(p) != string(b.content[45_000:45_100]) {
		t.Errorf("after a cut: %v, or wrong bytes", err)
	}
}

// TestREG11NoPlace: a spool without a place to write is one clean error.
func TestREG11NoPlace(t *testing.T) {
	b := newBench(t, 50_000, rt.Options{Rules: []*rt.Rule{{Match: rt.Blobs(rt.Front), Count: -1, Fault: rt.IgnoreRange()}}},
		func(o *registry.Options) { o.MaxSkip = 1000; o.TempDir = "/nonexistent/dir" })
	_, err := b.blob.ReadAt(t.Context(), make([]byte, 10), 40_000)
	if err == nil || !strings.Contains(err.Error(), "a place for the whole blob") {
		t.Errorf("got %v", err)
	}
}

// TestREG11LearnsRanges: near the start a whole answer is used, and once the
// server knows ranges again they are used.
func TestREG11LearnsRanges(t *testing.T) {
	b := newBench(t, 5000, rt.Options{Rules: []*rt.Rule{{Match: rt.Blobs(rt.Front), Fault: rt.IgnoreRange()}}}, nil)
	b.check(t, 3000, 100)
	b.check(t, 3500, 100)
	if n := b.seen.count(func(i registry.RequestInfo) bool { return i.Status == http.StatusPartialContent }); n != 1 {
		t.Errorf("%d answers of 206, want 1", n)
	}
	if n := b.seen.count(func(i registry.RequestInfo) bool { return i.Fallback }); n != 0 {
		t.Errorf("%d fallbacks, want 0", n)
	}
}

// TestREG15Redirects: ten are followed, eleven are not; relative ones are.
func TestREG15Redirects(t *testing.T) {
	for _, code := range []int{301, 302, 303, 307, 308} {
		b := newBench(t, 100, rt.Options{}, nil)
		path := fmt.Sprintf("/v2/%s/blobs/%s", repo, b.desc.Digest)
		b.proxy.SetRules(&rt.Rule{Match: rt.Blobs(rt.Front), Count: 10, Fault: rt.Redirect(code, path)})
		b.check(t, 0, 100)
		b.proxy.SetRules(&rt.Rule{Match: rt.Blobs(rt.Front), Count: -1, Fault: rt.Redirect(code, path)})
		_, err := b.blob.ReadAt(context.Background(), make([]byte, 1), 0)
		if err == nil || !strings.Contains(err.Error(), "more than 10 redirects") {
			t.Errorf("%d: %v", code, err)
		}
	}
}

// TestREG16NoSecretsForOthers: another port of the same host is another host.
func TestREG16NoSecretsForOthers(t *testing.T) {
	b := newBench(t, 100, rt.Options{Signed: true, Tokens: &rt.Tokens{}}, nil)
	b.check(t, 0, 100)
	with := 0
	for _, s := range b.proxy.Seen(nil) {
		h := s.Header
		if s.Where != rt.Front && (h.Get("Authorization") != "" || h.Get("Cookie") != "" || h.Get("Referer") != "") {
			t.Errorf("%s %s got %v", s.Where, s.Path, h)
		}
		if s.Where == rt.Front && h.Get("Authorization") != "" {
			with++
		}
	}
	if with != 1 {
		t.Errorf("%d authorised requests to the registry, want 1", with)
	}
}

// TestREG37ForeignLayer: the type of a layer changes nothing.
func TestREG37ForeignLayer(t *testing.T) {
	b := newBench(t, 100, rt.Options{}, nil)
	desc := b.desc
	desc.MediaType = ocispec.MediaTypeImageLayerNonDistributableGzip //nolint:staticcheck // old images have it
	desc.URLs = []string{"https://example.invalid/layer"}
	other := openBlob(t, b.store, desc)
	if _, err := other.ReadAt(t.Context(), make([]byte, 100), 0); err != nil {
		t.Error(err)
	}
}

// TestREG36URLs: used only after "not found", and never for addresses close to us.
func TestREG36URLs(t *testing.T) {
	b := newBench(t, 100, rt.Options{}, nil)
	blobURL := b.reg.URL.String() + "/v2/" + repo + "/blobs/" + string(b.desc.Digest)
	empty := rt.Start(t, "olareg").Host()
	read := func(opt registry.Options, urls ...string) error {
		s := open(t, empty, "latest", opt)
		desc := b.desc
		desc.URLs = urls
		_, err := openBlob(t, s, desc).ReadAt(t.Context(), make([]byte, 100), 0)
		return err
	}
	asked := quick()
	asked.PlainHTTP, asked.AllowPrivateURLs = true, true
	if err := read(asked, blobURL); err != nil {
		t.Errorf("allowed: %v", err)
	}
	notPrivate := quick()
	notPrivate.PlainHTTP = true
	for _, opt := range []registry.Options{quick(), notPrivate} {
		for _, u := range []string{
			blobURL, strings.Replace(blobURL, "127.0.0.1", "localhost", 1), "file:///etc/passwd",
			"http://169.254.169.254/", "https://169.254.169.254/", "https://user:pw@127.0.0.1/", "https://[::1]:1/", "https://10.0.0.1/", ":", "",
		} {
			err := read(opt, u)
			if err == nil {
				t.Errorf("%q was used", u)
			}
		}
	}
	if n := len(b.proxy.Seen(nil)); n != 0 {
		t.Errorf("%d requests", n)
	}
}

// TestDIG7Algorithms reads a blob named by sha512.
func TestDIG7Algorithms(t *testing.T) {
	reg := rt.Start(t, "olareg")
	content := []byte("some content")
	d := digest.SHA512.FromBytes(content)
	reg.PushBlobAs(t, repo, d, content)
	s := open(t, reg.Host(), "latest", quick())
	p := make([]byte, len(content))
	if _, err := openBlob(t, s, ocispec.Descriptor{Digest: d, Size: int64(len(content))}).ReadAt(t.Context(), p, 0); err != nil || string(p) != string(content) {
		t.Errorf("%q, %v", p, err)
	}
	body, err := s.Document(t.Context(), ocispec.Descriptor{Digest: d, Size: int64(len(content))}, false)
	if err != nil || string(body) != string(content) {
		t.Errorf("Document: %q, %v", body, err)
	}
}
