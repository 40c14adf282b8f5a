package registrytest

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"
)

// TestLink: promises add up, whoever makes them.
func TestLink(t *testing.T) {
	l := &link{rate: 1000}
	const writers, each = 8, 450_000 // together an hour at 1,000 bytes a second
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() { l.reserve(each) })
	}
	wg.Wait()
	if d := l.reserve(0); d > time.Hour || d < 50*time.Minute {
		t.Errorf("%s to wait, want an hour", d)
	}
}

// TestSlowProxy passes bytes on as they are, and takes the time it is told to.
func TestSlowProxy(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789"), 20_000)
	up := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(content)
	}))
	const latency, rate = 30 * time.Millisecond, 1_000_000
	srv := httptest.NewServer(SlowProxy(up.URL, latency, rate))
	defer srv.Close()
	start := time.Now()
	resp, err := http.Get(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(resp.Body)
	if cerr := resp.Body.Close(); err != nil || cerr != nil {
		t.Fatal(err, cerr)
	}
	if !bytes.Equal(got, content) {
		t.Error("wrong bytes")
	}
	// It cannot be faster than the link, however busy the machine is; the last
	// pieces may be on their way while 2 ms of waiting are left to add up.
	if d := time.Since(start); d < latency+150*time.Millisecond {
		t.Errorf("%d bytes in %s", len(got), d)
	}
}
