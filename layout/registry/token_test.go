package registry_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shalefs/shalefs/layout"
	rt "github.com/shalefs/shalefs/layout/registry/registrytest"
)

// authFile writes a credentials file with one entry.
func authFile(t *testing.T, key, entry string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "auth.json")
	if err := os.WriteFile(name, fmt.Appendf(nil, `{"auths":{%q:%s}}`, key, entry), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func userEntry(user, password string) string {
	return fmt.Sprintf(`{"auth":%q}`, base64.StdEncoding.EncodeToString([]byte(user+":"+password)))
}

// TestREG20TokenOfOneSecond reads for longer than several tokens live.
func TestREG20TokenOfOneSecond(t *testing.T) {
	tokens := &rt.Tokens{Life: time.Second}
	b := newBench(t, 5000, rt.Options{Tokens: tokens}, nil)
	end := time.Now().Add(2500 * time.Millisecond)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for time.Now().Before(end) {
				p := make([]byte, 10)
				if _, err := b.blob.ReadAt(t.Context(), p, 100); err != nil || string(p) != string(b.content[100:110]) {
					t.Errorf("%v, or wrong bytes", err)
					return
				}
				time.Sleep(20 * time.Millisecond)
			}
		})
	}
	wg.Wait()
	if tokens.Issued() < 2 {
		t.Errorf("%d tokens", tokens.Issued())
	}
	b.noSecrets(t, nil)
}

// TestREG20OneFetchForAll: readers that start together ask for one token.
func TestREG20OneFetchForAll(t *testing.T) {
	tokens := &rt.Tokens{}
	b := newBench(t, 5000, rt.Options{Tokens: tokens}, nil)
	b.check(t, 0, 1) // the challenge is known now
	first := tokens.Issued()
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if _, err := b.blob.ReadAt(t.Context(), make([]byte, 10), 100); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if first != 1 || tokens.Issued() != 1 {
		t.Errorf("%d tokens, then %d; want 1", first, tokens.Issued())
	}
}

// TestREG20TokenEndsInTheMiddle: 401 at each request of a read, once.
func TestREG20TokenEndsInTheMiddle(t *testing.T) {
	for uses := 1; uses <= 4; uses++ {
		b := newBench(t, 5000, rt.Options{Tokens: &rt.Tokens{Uses: uses}}, nil)
		for i := range 10 {
			b.check(t, 100*i, 50)
		}
	}
}

// TestCredentials: the ways to get in, and the ways not to.
func TestCredentials(t *testing.T) {
	withUser := func() *rt.Tokens { return &rt.Tokens{User: "ann", Password: "secret-pw"} }
	tests := []struct {
		name   string
		tokens *rt.Tokens
		entry  string // "" for no file
		is     error
		text   string
	}{
		{"user and password", withUser(), userEntry("ann", "secret-pw"), nil, ""},
		{"wrong password", withUser(), userEntry("ann", "secret-x"), layout.ErrUnauthorized, "answers 401"},
		{"none", withUser(), `{}`, layout.ErrUnauthorized, "answers 401"},
		{"REG-20 identity token", &rt.Tokens{User: "ann", Refresh: "secret-refresh"}, `{"identitytoken":"secret-refresh"}`, nil, ""},
		{"REG-20 identity token, no POST", &rt.Tokens{User: "ann", Password: "secret-refresh"}, `{"username":"ann","identitytoken":"secret-refresh"}`, nil, ""},
		{"REG-19 two challenges in a line", &rt.Tokens{Challenge: []string{`Basic realm="a, b", Bearer realm="%s",service="x"`}}, `{}`, nil, ""},
		{"REG-19 two lines", &rt.Tokens{Challenge: []string{`Basic realm="a"`, `Digest nonce="x"`, `bearer service=x, realm="%s"`}}, `{}`, nil, ""},
		{"REG-19 quoted commas", &rt.Tokens{Challenge: []string{`Bearer realm="%s",scope="repository:` + repo + `:pull,push",service="a,b"`}}, `{}`, nil, ""},
		{"REG-21 http realm of a stranger", &rt.Tokens{User: "ann", Password: "secret-pw", Challenge: []string{`Bearer realm="http://evil.invalid/token"`}}, userEntry("ann", "secret-pw"), layout.ErrUnauthorized, "refused token server evil.invalid"},
		{"REG-21 metadata service", &rt.Tokens{Challenge: []string{`Bearer realm="http://169.254.169.254/token"`}}, `{}`, layout.ErrUnauthorized, "link-local"},
		{"REG-21 a file", &rt.Tokens{Challenge: []string{`Bearer realm="file:///etc/passwd"`}}, `{}`, layout.ErrUnauthorized, "refused token server"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newImageBench(t, "olareg", rt.Options{Tokens: tt.tokens})
			opt := quick()
			opt.Logger = logTo(b.log)
			opt.AuthFile = authFile(t, b.proxy.Host(), tt.entry)
			_, err := open(t, b.proxy.Host(), "v1", opt).Resolve(t.Context())
			if tt.is == nil && err != nil || tt.is != nil && (!errors.Is(err, tt.is) || !strings.Contains(err.Error(), tt.text)) {
				t.Errorf("got %v, want %v with %q", err, tt.is, tt.text)
			}
			if text := fmt.Sprint(err, b.log); strings.Contains(text, "secret") {
				t.Errorf("ERR-12: a secret in %s", text)
			}
		})
	}
}

// TestBasic: credentials for the registry itself.
func TestBasic(t *testing.T) {
	want := "Basic " + base64.StdEncoding.EncodeToString([]byte("ann:secret-pw"))
	for entry, ok := range map[string]bool{userEntry("ann", "secret-pw"): true, userEntry("ann", "secret-no"): false, "{}": false} {
		b := newImageBench(t, "olareg", rt.Options{})
		b.proxy.SetRules(&rt.Rule{
			Match: func(_ rt.Where, r *httpRequest) bool { return r.Header.Get("Authorization") != want },
			Count: -1,
			Fault: rt.Status(401, http.Header{"Www-Authenticate": {`Basic realm="x"`}}, ""),
		})
		opt := quick()
		opt.AuthFile = authFile(t, b.proxy.Host()+"/test", entry)
		_, err := open(t, b.proxy.Host(), "v1", opt).Resolve(t.Context())
		if ok != (err == nil) || err != nil && !errors.Is(err, layout.ErrUnauthorized) {
			t.Errorf("%s: %v", entry, err)
		}
		if n := len(b.proxy.Seen(nil)); n > 2 {
			t.Errorf("%d requests", n)
		}
	}
}

// TestREG20TokenServerFails: what is worth a retry is tried again.
func TestREG20TokenServerFails(t *testing.T) {
	faults := map[string]rt.Fault{
		"500": rt.Status(500, nil, ""), "429": rt.Status(429, nil, ""), "no answer": rt.Hangup(),
		"no JSON": rt.Status(200, nil, "<html>"), "ERR-6 endless": rt.Status(200, nil, strings.Repeat(" ", 2<<20)),
	}
	for name, fault := range faults {
		b := newImageBench(t, "olareg", rt.Options{Tokens: &rt.Tokens{}})
		b.proxy.SetRules(&rt.Rule{Match: rt.Any(rt.Token), Fault: fault})
		if _, err := b.open(t, "v1").Resolve(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		b.proxy.SetRules(&rt.Rule{Match: rt.Any(rt.Token), Count: -1, Fault: fault})
		if _, err := b.open(t, "v1").Resolve(t.Context()); !errors.Is(err, layout.ErrUnavailable) && !errors.Is(err, layout.ErrTooLarge) {
			t.Errorf("%s for ever: %v", name, err)
		}
	}
}
