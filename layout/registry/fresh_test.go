package registry

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/shalefs/shalefs/layout"
)

// A read that asks for a fresh connection does not get one that was used before.
func TestFreshConnection(t *testing.T) {
	content := strings.Repeat("x", 1000)
	var connections atomic.Int32
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader(content))
	}))
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			connections.Add(1)
		}
	}
	srv.Start()
	defer srv.Close()
	ref, err := layout.Parse(strings.TrimPrefix(srv.URL, "http://") + "/a/b:c")
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(ref, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	b, err := s.Blob(context.Background(), ocispec.Descriptor{Digest: digest.FromString(content), Size: int64(len(content))})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	read := func(ctx context.Context) {
		t.Helper()
		if _, err := b.ReadAt(ctx, make([]byte, 100), 5); err != nil {
			t.Fatal(err)
		}
	}
	read(context.Background())
	read(context.Background())
	before := connections.Load()
	read(layout.WithFreshConnection(context.Background()))
	if got := connections.Load(); before != 1 || got != 2 {
		t.Errorf("%d connections for two reads, %d after a fresh one", before, got)
	}
}
