package registry_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/shalefs/shalefs/layout"
	"github.com/shalefs/shalefs/layout/layouttest"
	"github.com/shalefs/shalefs/layout/registry"
	"github.com/shalefs/shalefs/layout/registry/registrytest"
)

const repo = "test/repo"

// quick are options for tests: short pauses, and nothing from this machine's home.
func quick() registry.Options {
	return registry.Options{Backoff: time.Millisecond, Deadline: time.Minute, Getenv: noEnv}
}

func noEnv(string) string { return "" }

// counted collects what OnRequest says.
type counted struct {
	mu   sync.Mutex
	list []registry.RequestInfo
}

func (c *counted) on(i registry.RequestInfo) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.list = append(c.list, i)
}

func (c *counted) count(match func(registry.RequestInfo) bool) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, i := range c.list {
		if match(i) {
			n++
		}
	}
	return n
}

// lockedBuffer takes logs.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func logTo(l *lockedBuffer) *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func reference(host, name string) layout.Reference {
	r := layout.Reference{Transport: layout.Registry, Host: host, Repository: repo}
	if strings.Contains(name, ":") {
		r.Digest = digest.Digest(name)
	} else {
		r.Tag = name
	}
	return r
}

func open(t *testing.T, host, name string, opt registry.Options) *registry.Store {
	t.Helper()
	s, err := registry.New(reference(host, name), opt)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

func openBlob(t *testing.T, s *registry.Store, desc ocispec.Descriptor) layout.Blob {
	t.Helper()
	b, err := s.Blob(context.Background(), desc)
	if err != nil {
		t.Fatalf("Blob: %v", err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Errorf("Close of the blob: %v", err)
		}
	})
	return b
}

func describe(content []byte) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: "application/octet-stream", Digest: digest.FromBytes(content), Size: int64(len(content))}
}

// bench is a registry with one blob behind a proxy, and a client of the proxy.
type bench struct {
	content []byte
	desc    ocispec.Descriptor
	reg     *registrytest.Registry
	proxy   *registrytest.Proxy
	seen    *counted
	log     *lockedBuffer
	store   *registry.Store
	blob    layout.Blob
}

// newBench starts one; edit may change the client's options.
func newBench(t *testing.T, size int, po registrytest.Options, edit func(*registry.Options)) *bench {
	t.Helper()
	b := &bench{content: layouttest.Bytes(size), seen: &counted{}, log: &lockedBuffer{}}
	b.desc = describe(b.content)
	b.reg = registrytest.Start(t, "olareg")
	b.reg.PushBlob(t, repo, b.content)
	b.proxy = registrytest.NewProxy(t, b.reg, po)
	opt := quick()
	opt.OnRequest = b.seen.on
	opt.Logger = logTo(b.log)
	opt.TempDir = t.TempDir()
	if edit != nil {
		edit(&opt)
	}
	b.store = open(t, b.proxy.Host(), "latest", opt)
	b.blob = openBlob(t, b.store, b.desc)
	return b
}

// check reads a range, both ways, and compares.
func (b *bench) check(t *testing.T, off, n int) {
	t.Helper()
	p := make([]byte, n)
	if got, err := b.blob.ReadAt(context.Background(), p, int64(off)); err != nil || got != n {
		t.Fatalf("ReadAt(%d, %d): %d, %v", off, n, got, err)
	}
	if !bytes.Equal(p, b.content[off:off+n]) {
		t.Fatalf("ReadAt(%d, %d): wrong bytes", off, n)
	}
}

func (b *bench) checkStream(t *testing.T, off, n int) {
	t.Helper()
	got, err := b.stream(context.Background(), off, n)
	if err != nil {
		t.Fatalf("Range(%d, %d): %v after %d bytes", off, n, err, len(got))
	}
	if !bytes.Equal(got, b.content[off:off+n]) {
		t.Fatalf("Range(%d, %d): wrong bytes", off, n)
	}
}

func (b *bench) stream(ctx context.Context, off, n int) ([]byte, error) {
	rc, err := b.blob.Range(ctx, int64(off), int64(n))
	if err != nil {
		return nil, err
	}
	got, err := io.ReadAll(rc)
	if cerr := rc.Close(); err == nil {
		err = cerr
	}
	return got, err
}

// blobRequests counts requests for blobs that came to a port of the proxy.
func (b *bench) blobRequests(at registrytest.Where) int {
	return len(b.proxy.Seen(func(s registrytest.Seen) bool {
		return s.Where == at && strings.Contains(s.Path, "/blobs/")
	}))
}

// noSecrets checks that neither the log nor the error shows any (ERR-12).
func (b *bench) noSecrets(t *testing.T, err error) {
	t.Helper()
	text := b.log.String()
	if err != nil {
		text += err.Error()
	}
	for _, secret := range []string{"secret", "sig="} {
		if strings.Contains(text, secret) {
			t.Errorf("%q is shown in: %s", secret, text)
		}
	}
}

type (
	httpRequest = http.Request
	httpWriter  = http.ResponseWriter
)
