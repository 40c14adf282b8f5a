package registrytest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Tokens makes a Proxy ask for Bearer tokens, and issue them on a port of their own.
type Tokens struct {
	// Life is how long a token lives; default: an hour. The answer tells it in
	// seconds, rounded up.
	Life time.Duration
	// Uses is how many requests a token is good for; 0: any number.
	Uses int
	// User and Password are asked for if User is not empty.
	User, Password string
	// Refresh is a refresh token that POST takes; "": POST is not allowed.
	Refresh string
	// Challenge replaces the challenge lines; %s is the realm.
	Challenge []string

	mu     sync.Mutex
	issued int
	valid  map[string]*grant
	scopes []string
}

type grant struct {
	end  time.Time
	uses int
}

// Issued tells how many tokens were made.
func (t *Tokens) Issued() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.issued
}

// Scopes lists the scopes that were asked for, one item a request.
func (t *Tokens) Scopes() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]string(nil), t.scopes...)
}

// allowed checks the token of a request, and uses it up.
func (t *Tokens) allowed(r *http.Request) bool {
	value, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	t.mu.Lock()
	defer t.mu.Unlock()
	g := t.valid[value]
	if !ok || g == nil || time.Now().After(g.end) {
		return false
	}
	g.uses++
	return t.Uses == 0 || g.uses <= t.Uses
}

// refuse answers 401 with the challenge.
func (t *Tokens) refuse(w http.ResponseWriter, r *http.Request, realm string) {
	lines := t.Challenge
	if lines == nil {
		lines = []string{`Bearer realm="%s",service="test"`}
	}
	for _, line := range lines {
		w.Header().Add("Www-Authenticate", strings.ReplaceAll(line, "%s", realm))
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusUnauthorized)
	_, _ = fmt.Fprintf(w, `{"errors":[{"code":"UNAUTHORIZED","message":"who are you, to ask for %s"}]}`, r.URL.Path)
}

// serve is the token server.
func (t *Tokens) serve(w http.ResponseWriter, r *http.Request) {
	user, password, _ := r.BasicAuth()
	if err := r.ParseForm(); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	switch {
	case r.Method == http.MethodPost && t.Refresh == "":
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	case r.Method == http.MethodPost && r.FormValue("refresh_token") != t.Refresh,
		r.Method == http.MethodGet && t.User != "" && (user != t.User || password != t.Password):
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	life := t.Life
	if life == 0 {
		life = time.Hour
	}
	t.mu.Lock()
	t.issued++
	value := fmt.Sprintf("secret-token-%d", t.issued)
	if t.valid == nil {
		t.valid = map[string]*grant{}
	}
	t.valid[value] = &grant{end: time.Now().Add(life)}
	t.scopes = append(t.scopes, strings.Join(r.Form["scope"], " "))
	t.mu.Unlock()
	name := "token"
	if r.Method == http.MethodPost {
		name = "access_token"
	}
	_ = json.NewEncoder(w).Encode(map[string]any{name: value, "expires_in": int((life + time.Second - 1) / time.Second)})
}
