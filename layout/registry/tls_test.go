package registry_test

import (
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/shalefs/shalefs/layout"
	"github.com/shalefs/shalefs/layout/layouttest"
	"github.com/shalefs/shalefs/layout/registry"
	rt "github.com/shalefs/shalefs/layout/registry/registrytest"
)

// TestREG35TLS reads over HTTP/1.1 and HTTP/2 with a certificate that only
// hosts.toml knows; without it nothing is sent (REG-24).
func TestREG35TLS(t *testing.T) {
	content := layouttest.Bytes(300_000)
	reg := rt.Start(t, "olareg")
	reg.PushBlob(t, repo, content)
	for _, h2 := range []bool{false, true} {
		t.Run(fmt.Sprint("HTTP/2 ", h2), func(t *testing.T) {
			var proto atomic.Int32
			upstream := httputil.NewSingleHostReverseProxy(reg.URL)
			srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				proto.Store(int32(r.ProtoMajor)) //nolint:gosec // 1 or 2
				upstream.ServeHTTP(w, r)
			}))
			srv.EnableHTTP2 = h2
			srv.Config.ErrorLog = log.New(io.Discard, "", 0)
			srv.StartTLS()
			defer srv.Close()
			host := strings.TrimPrefix(srv.URL, "https://")
			dir := t.TempDir()
			writeHosts(t, dir, host, fmt.Sprintf("server = %q\nca = \"ca.pem\"\n", srv.URL))
			ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})
			if err := os.WriteFile(filepath.Join(dir, host, "ca.pem"), ca, 0o600); err != nil {
				t.Fatal(err)
			}
			opt := quick()
			opt.HostsDir = dir
			s := open(t, host, "latest", opt)
			layouttest.TestBlob(t, content[:2000], func(t *testing.T) layout.Blob {
				small := content[:2000]
				reg.PushBlob(t, repo, small)
				b, err := s.Blob(t.Context(), describe(small))
				if err != nil {
					t.Fatal(err)
				}
				return b
			})
			if want := map[bool]int32{false: 1, true: 2}[h2]; proto.Load() != want {
				t.Errorf("HTTP/%d was spoken, want %d", proto.Load(), want)
			}

			proto.Store(0)
			writeHosts(t, dir, host, fmt.Sprintf("server = %q\n", srv.URL))
			_, err := open(t, host, "latest", opt).Resolve(t.Context())
			if !errors.Is(err, layout.ErrUnavailable) || !strings.Contains(err.Error(), "certificate") || proto.Load() != 0 {
				t.Errorf("unknown certificate: %v", err)
			}
			opt.Insecure = true
			if _, err := open(t, host, "latest", opt).Resolve(t.Context()); !errors.Is(err, layout.ErrNotFound) {
				t.Errorf("Insecure: %v", err)
			}
		})
	}
}

// BenchmarkReadAt counts what a cold 64 KiB read costs behind a redirect.
func BenchmarkReadAt(b *testing.B) {
	const size, part = 64 << 20, 64 << 10
	content := layouttest.Bytes(size)
	reg := rt.Start(b, "olareg")
	reg.PushBlob(b, repo, content)
	seen := &counted{}
	opt := quick()
	opt.OnRequest = seen.on
	s, err := registry.New(reference(reg.Host(), "latest"), opt)
	if err != nil {
		b.Fatal(err)
	}
	blob, err := s.Blob(b.Context(), describe(content))
	if err != nil {
		b.Fatal(err)
	}
	p := make([]byte, part)
	b.SetBytes(part)
	b.ResetTimer()
	for i := range b.N {
		if _, err := blob.ReadAt(b.Context(), p, int64(i*part*7)%(size-part)); err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	var bytes int64
	for _, r := range seen.list {
		bytes += r.BytesIn
	}
	b.ReportMetric(float64(len(seen.list))/float64(b.N), "requests/op")
	b.ReportMetric(float64(bytes)/float64(b.N), "wire-bytes/op")
	if err := errors.Join(blob.Close(), s.Close()); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkRange streams a whole blob.
func BenchmarkRange(b *testing.B) {
	const size = 64 << 20
	content := layouttest.Bytes(size)
	reg := rt.Start(b, "olareg")
	reg.PushBlob(b, repo, content)
	s, err := registry.New(reference(reg.Host(), "latest"), quick())
	if err != nil {
		b.Fatal(err)
	}
	blob, err := s.Blob(b.Context(), describe(content))
	if err != nil {
		b.Fatal(err)
	}
	p := make([]byte, 1<<20)
	b.SetBytes(size)
	for b.Loop() {
		rc, err := blob.Range(b.Context(), 0, size)
		if err != nil {
			b.Fatal(err)
		}
		n := 0
		for n < size {
			m, err := rc.Read(p)
			n += m
			if err != nil {
				b.Fatal(err)
			}
		}
		if err := rc.Close(); err != nil {
			b.Fatal(err)
		}
	}
	if err := errors.Join(blob.Close(), s.Close()); err != nil {
		b.Fatal(err)
	}
}
