package auth

import (
	"context"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// fakeHelpers answers for the helper "h" and fails for "broken".
func fakeHelpers(_ context.Context, name, server string) (Credential, error) {
	if name == "broken" {
		return Credential{}, fmt.Errorf("docker-credential-broken: not found")
	}
	return Credential{Username: name, Password: server}, nil
}

func TestREG23Lookup(t *testing.T) {
	auths := func(pairs ...string) string {
		var items []string
		for i := 0; i < len(pairs); i += 2 {
			items = append(items, fmt.Sprintf(`%q:{"auth":%q}`, pairs[i], b64(pairs[i+1])))
		}
		return `{"auths":{` + strings.Join(items, ",") + `}}`
	}
	tests := []struct {
		name, file, host, repo string
		want                   Credential
	}{
		{"host", auths("r.io", "u:p"), "r.io", "a/b", Credential{Username: "u", Password: "p"}},
		{"password with a colon", auths("r.io", "u:p:q"), "r.io", "a", Credential{Username: "u", Password: "p:q"}},
		{"URL key", auths("https://r.io/v1/", "u:p"), "r.io", "a", Credential{Username: "u", Password: "p"}},
		{"port matters", auths("r.io", "u:p"), "r.io:5000", "a", Credential{}},
		{"longest path", auths("r.io", "1:", "r.io/a", "2:", "r.io/a/b", "3:", "r.io/a/bc", "4:"), "r.io", "a/b/c", Credential{Username: "3"}},
		{"path of another", auths("r.io/x", "1:"), "r.io", "xy", Credential{}},
		{"hub, old key", auths("https://index.docker.io/v1/", "u:p"), "registry-1.docker.io", "library/x", Credential{Username: "u", Password: "p"}},
		{"hub, containers key", auths("docker.io/library", "u:p"), "docker.io", "library/x", Credential{Username: "u", Password: "p"}},
		{"plain name wins over URL", auths("https://r.io", "1:", "r.io", "2:"), "r.io", "a", Credential{Username: "2"}},
		{"identity token", `{"auths":{"r.io":{"auth":"` + b64("u:") + `","identitytoken":"t"}}}`, "r.io", "a", Credential{Username: "u", IdentityToken: "t"}},
		{"registry token", `{"auths":{"r.io":{"registrytoken":"t"}}}`, "r.io", "a", Credential{RegistryToken: "t"}},
		{"user and password fields", `{"auths":{"r.io":{"username":"u","password":"p"}}}`, "r.io", "a", Credential{Username: "u", Password: "p"}},
		{"helper of a host", `{"credHelpers":{"r.io":"h"},"auths":{"r.io":{"auth":"` + b64("u:p") + `"}}}`, "r.io", "a", Credential{Username: "h", Password: "r.io"}},
		{"helper of another host", `{"credHelpers":{"s.io":"h"}}`, "r.io", "a", Credential{}},
		{"general helper", `{"credsStore":"h","auths":{"r.io":{}}}`, "r.io", "a", Credential{Username: "h", Password: "r.io"}},
		{"general helper for the hub", `{"credsStore":"h"}`, "docker.io", "a", Credential{Username: "h", Password: "https://index.docker.io/v1/"}},
		{"empty file", "", "r.io", "a", Credential{}},
		{"null", "null", "r.io", "a", Credential{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			name := filepath.Join(t.TempDir(), "config.json")
			if err := os.WriteFile(name, []byte(tt.file), 0o600); err != nil {
				t.Fatal(err)
			}
			c := NewConfig(name, func(string) string { return "" })
			c.helper = fakeHelpers
			got, err := c.Lookup(t.Context(), tt.host, tt.repo)
			if err != nil || got != tt.want {
				t.Errorf("got %+v, %v; want %+v", got, err, tt.want)
			}
		})
	}
}

// TestREG23Places: which file is looked at, in their order.
func TestREG23Places(t *testing.T) {
	dir := t.TempDir()
	write := func(name, user string) string {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, fmt.Appendf(nil, `{"auths":{"r.io":{"username":%q}}}`, user), 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	env := map[string]string{
		"HOME": filepath.Join(dir, "home"), "DOCKER_CONFIG": filepath.Join(dir, "dc"), "XDG_CONFIG_HOME": filepath.Join(dir, "xc"),
		"XDG_RUNTIME_DIR": filepath.Join(dir, "run"), "REGISTRY_AUTH_FILE": write("raf.json", "2"),
		"DOCKER_AUTH_CONFIG": `{"auths":{"r.io":{"username":"1"}}}`,
	}
	write("run/containers/auth.json", "3")
	write("xc/containers/auth.json", "4")
	write("dc/config.json", "5")
	write("home/.config/containers/auth.json", "6")
	write("home/.docker/config.json", "7")
	steps := []struct{ want, drop string }{
		{"1", "DOCKER_AUTH_CONFIG"}, {"2", "REGISTRY_AUTH_FILE"}, {"3", "XDG_RUNTIME_DIR"}, {"4", "XDG_CONFIG_HOME"}, {"6", "none"},
	}
	for _, s := range steps {
		got, err := NewConfig("", func(k string) string { return env[k] }).Lookup(t.Context(), "r.io", "a")
		if err != nil || got.Username != s.want {
			t.Errorf("got %+v, %v; want user %s", got, err, s.want)
		}
		delete(env, s.drop)
	}
	env = map[string]string{"HOME": env["HOME"]}
	if err := os.RemoveAll(filepath.Join(dir, "home", ".config")); err != nil {
		t.Fatal(err)
	}
	if got, err := NewConfig("", func(k string) string { return env[k] }).Lookup(t.Context(), "r.io", "a"); err != nil || got.Username != "7" {
		t.Errorf("docker: %+v, %v", got, err)
	}
	env["DOCKER_CONFIG"] = filepath.Join(dir, "dc")
	if got, err := NewConfig("", func(k string) string { return env[k] }).Lookup(t.Context(), "r.io", "a"); err != nil || got.Username != "5" {
		t.Errorf("DOCKER_CONFIG: %+v, %v", got, err)
	}
}

// TestBadConfig: errors name the file, and show nothing of it.
func TestBadConfig(t *testing.T) {
	for _, text := range []string{`{"auths":{"r.io":{"auth":"secret!"}}}`, `{"auths":{"r.io":{"auth":"` + b64("secret") + `"}}}`, `{"auths": secret}`, `{"auths":"secret"}`, `{"credsStore":"broken"}`, `{"credsStore":"../secret"}`} {
		name := filepath.Join(t.TempDir(), "config.json")
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c := NewConfig(name, func(string) string { return "" })
		if !strings.Contains(text, "..") {
			c.helper = fakeHelpers
		}
		_, err := c.Lookup(t.Context(), "r.io", "a")
		if err == nil || !strings.Contains(err.Error(), name) || strings.Contains(err.Error(), "secret!") || strings.Contains(err.Error(), "auths") {
			t.Errorf("%s: %v", text, err)
		}
	}
	if _, err := NewConfig("/nonexistent/auth.json", func(string) string { return "" }).Lookup(t.Context(), "r.io", "a"); err == nil {
		t.Error("a file that the user named is missing, and no error")
	}
}

// TestHelperProgram runs a real program of the helper protocol.
func TestHelperProgram(t *testing.T) {
	dir := t.TempDir()
	script := `#!/bin/sh
read -r server
case "$1 $server" in
"get r.io") echo '{"ServerURL":"r.io","Username":"u","Secret":"p"}' ;;
"get token.io") echo '{"Username":"<token>","Secret":"t"}' ;;
"get none.io") echo 'credentials not found in native keychain'; exit 1 ;;
"get html.io") echo '<html>' ;;
*) exit 3 ;;
esac
`
	if err := os.WriteFile(filepath.Join(dir, "docker-credential-test"), []byte(script), 0o700); err != nil { //nolint:gosec // it is a program
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	tests := []struct {
		server string
		want   Credential
		fails  bool
	}{
		{"r.io", Credential{Username: "u", Password: "p"}, false},
		{"token.io", Credential{IdentityToken: "t"}, false},
		{"none.io", Credential{}, false},
		{"html.io", Credential{}, true},
		{"bad.io", Credential{}, true},
	}
	for _, tt := range tests {
		got, err := runHelper(t.Context(), "test", tt.server)
		if got != tt.want || (err != nil) != tt.fails {
			t.Errorf("%s: got %+v, %v", tt.server, got, err)
		}
	}
	if _, err := runHelper(t.Context(), "missing", "r.io"); err == nil {
		t.Error("a helper that is not there, and no error")
	}
}
