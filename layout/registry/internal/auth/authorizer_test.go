package auth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"
)

// fakeServer is a token server and a clock.
type fakeServer struct {
	mu    sync.Mutex
	now   time.Time
	life  string // the expires_in member, "" for none
	calls int
	hold  chan struct{} // if not nil, answers wait for it
}

func (f *fakeServer) clock() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now
}

func (f *fakeServer) forward(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.now = f.now.Add(d)
}

func (f *fakeServer) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls
}

func (f *fakeServer) do(ctx context.Context, _ *http.Request) (Answer, error) {
	f.mu.Lock()
	f.calls++
	body := fmt.Sprintf(`{"token":"t%d"%s}`, f.calls, f.life)
	f.mu.Unlock()
	if f.hold != nil {
		select {
		case <-f.hold:
		case <-ctx.Done():
			return Answer{}, ctx.Err()
		}
	}
	return Answer{Status: 200, Body: []byte(body)}, nil
}

func newFake(life string) (*fakeServer, *Authorizer) {
	f := &fakeServer{now: time.Unix(1000, 0), life: life}
	a := New(Options{
		Registry: &url.URL{Scheme: "https", Host: "r.io"},
		Lookup:   func(context.Context, string, string) (Credential, error) { return Credential{}, nil },
		Do:       f.do, Now: f.clock,
	})
	return f, a
}

var bearerLine = []string{`Bearer realm="https://auth.r.io/token",service="r.io"`}

// TestREG20Renewal: a token is used until shortly before its end, for its own scope.
func TestREG20Renewal(t *testing.T) {
	tests := []struct {
		life            string
		fresh, outdated time.Duration
	}{
		{"", 44 * time.Second, 46 * time.Second}, // 60 s by default, a quarter as margin
		{`,"expires_in":1`, 700 * time.Millisecond, 800 * time.Millisecond},
		{`,"expires_in":3600`, 3569 * time.Second, 3571 * time.Second},
		{`,"expires_in":"300"`, 269 * time.Second, 271 * time.Second},
		{`,"expires_in":-5`, 44 * time.Second, 46 * time.Second},
		{`,"expires_in":1e30`, 24*time.Hour - 31*time.Second, 24 * time.Hour},
	}
	for _, tt := range tests {
		f, a := newFake(tt.life)
		if h, err := a.Header(t.Context(), "s"); h != "" || err != nil {
			t.Fatalf("REG-22: before any challenge: %q, %v", h, err)
		}
		if err := a.Challenged(t.Context(), bearerLine, "s", ""); err != nil {
			t.Fatal(err)
		}
		header := func(scope, want string) {
			t.Helper()
			if h, err := a.Header(t.Context(), scope); err != nil || h != want {
				t.Errorf("life %q: got %q, %v; want %q", tt.life, h, err, want)
			}
		}
		header("s", "Bearer t1")
		f.forward(tt.fresh)
		header("s", "Bearer t1")
		f.forward(tt.outdated - tt.fresh)
		header("s", "Bearer t2")
		header("other", "Bearer t3")
		header("s", "Bearer t2")
		// The registry refuses it early: another one, and only one.
		if err := a.Challenged(t.Context(), bearerLine, "s", "Bearer t2"); err != nil {
			t.Fatal(err)
		}
		if err := a.Challenged(t.Context(), bearerLine, "s", "Bearer t2"); err != nil {
			t.Fatal(err)
		}
		header("s", "Bearer t4")
	}
}

// TestSingleFlight: one fetch serves all who wait, outlives those who leave, and
// ends with the last of them; who comes after that gets a fetch of its own.
func TestSingleFlight(t *testing.T) {
	f, a := newFake("")
	f.hold = make(chan struct{})
	ctx1, cancel1 := context.WithCancel(t.Context())
	errs := make(chan error, 2)
	go func() { errs <- a.Challenged(ctx1, bearerLine, "s", "") }()
	waitFor(t, func() bool { return f.count() == 1 })
	go func() { errs <- a.Challenged(t.Context(), bearerLine, "s", "") }()
	waitFor(t, func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		return a.flights["s"] != nil && a.flights["s"].waiters == 2
	})
	cancel1()
	if err := <-errs; !errors.Is(err, context.Canceled) {
		t.Errorf("who left got %v", err)
	}
	close(f.hold)
	if err := <-errs; err != nil || f.count() != 1 {
		t.Errorf("who stayed got %v, after %d fetches", err, f.count())
	}

	f.hold = make(chan struct{})
	ctx2, cancel2 := context.WithCancel(t.Context())
	go func() { errs <- a.Challenged(ctx2, bearerLine, "s", "Bearer t1") }()
	waitFor(t, func() bool { return f.count() == 2 })
	cancel2()
	if err := <-errs; !errors.Is(err, context.Canceled) {
		t.Errorf("the last one got %v", err)
	}
	close(f.hold)
	if h, err := a.Header(t.Context(), "s"); err != nil || h != "Bearer t3" {
		t.Errorf("who came later got %q, %v", h, err)
	}
}

func waitFor(t *testing.T, cond func() bool) {
	t.Helper()
	end := time.Now().Add(30 * time.Second)
	for !cond() {
		if time.Now().After(end) {
			t.Fatal("it does not happen")
		}
		time.Sleep(time.Millisecond)
	}
}

// TestREG21Realms: who may be a token server, and who may get credentials.
func TestREG21Realms(t *testing.T) {
	tests := []struct {
		realm, registry string
		ok, secrets     bool
	}{
		{"https://auth.example.com/token", "https://r.io", true, true},
		{"https://10.0.0.7/token", "https://r.io", true, true},
		{"http://r.io/token", "https://r.io", false, false},
		{"http://r.io:81/token", "http://r.io:5000", true, true},
		{"http://other/token", "http://r.io", true, false},
		{"https://169.254.169.254/", "https://r.io", false, false},
		{"https://[fe80::1]/", "https://r.io", false, false},
		{"https://[::ffff:169.254.1.1]/", "https://r.io", false, false},
		{"http://169.254.1.1/t", "http://169.254.1.1:5000", true, true},
		{"https://user:pw@r.io/", "https://r.io", false, false},
		{"ftp://r.io/", "http://r.io", false, false},
		{"/token", "https://r.io", false, false},
		{"https:r.io", "https://r.io", false, false},
		{"%", "https://r.io", false, false},
	}
	for _, tt := range tests {
		reg, err := url.Parse(tt.registry)
		if err != nil {
			t.Fatal(err)
		}
		_, secrets, err := checkRealm(tt.realm, reg)
		if (err == nil) != tt.ok || secrets != tt.secrets {
			t.Errorf("%s for %s: secrets %v, %v", tt.realm, tt.registry, secrets, err)
		}
		if err != nil && !errors.Is(err, ErrRealm) {
			t.Errorf("%s: %v is not ErrRealm", tt.realm, err)
		}
	}
}

func TestScopes(t *testing.T) {
	tests := []struct{ need, challenge, want string }{
		{"repository:a:pull", "", "[repository:a:pull]"},
		{"repository:a:pull", "repository:a:pull", "[repository:a:pull]"},
		{"repository:a:pull", "repository:a:push,pull", "[repository:a:push,pull]"},
		{"repository:a:pull", "repository:a:*", "[repository:a:*]"},
		{"repository:a:pull,push", "repository:a:pull", "[repository:a:pull repository:a:pull,push]"},
		{"repository:a:pull", "repository:b:pull registry:catalog:*", "[repository:b:pull registry:catalog:* repository:a:pull]"},
	}
	for _, tt := range tests {
		if got := fmt.Sprint(mergeScopes(tt.need, tt.challenge)); got != tt.want {
			t.Errorf("%q and %q: got %s, want %s", tt.need, tt.challenge, got, tt.want)
		}
	}
}
