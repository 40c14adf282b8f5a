package auth

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
)

// A Credential is what one source knows about a registry. The zero value means
// that there is none.
type Credential struct {
	Username string
	Password string
	// IdentityToken is an OAuth2 refresh token, used instead of a password.
	IdentityToken string
	// RegistryToken is sent to the registry as a Bearer token as it is.
	RegistryToken string
}

// IsZero tells whether there is nothing in c.
func (c Credential) IsZero() bool { return c == Credential{} }

// A Config is a list of credential files, best first. Its methods may run in
// parallel. Files are read when they are asked for, so that a login during a
// mount is seen.
type Config struct {
	sources []source
	helper  func(ctx context.Context, name, server string) (Credential, error)
}

type source struct {
	path   string
	inline []byte // the content itself, from DOCKER_AUTH_CONFIG
	must   bool   // named by the user: it has to exist
}

// maxConfigBytes limits a credentials file.
const maxConfigBytes = 4 << 20

// NewConfig lists the places to look at. A file given by the user is the only
// place. Otherwise: the content of $DOCKER_AUTH_CONFIG, the file
// $REGISTRY_AUTH_FILE, the containers auth.json files, docker's config.json
// ($DOCKER_CONFIG or ~/.docker).
func NewConfig(file string, getenv func(string) string) *Config {
	c := &Config{helper: runHelper}
	if file != "" {
		c.sources = []source{{path: file, must: true}}
		return c
	}
	if v := getenv("DOCKER_AUTH_CONFIG"); v != "" {
		c.sources = append(c.sources, source{path: "$DOCKER_AUTH_CONFIG", inline: []byte(v)})
	}
	add := func(must bool, dir string, names ...string) {
		if dir != "" {
			c.sources = append(c.sources, source{path: filepath.Join(append([]string{dir}, names...)...), must: must})
		}
	}
	home := getenv("HOME")
	add(true, getenv("REGISTRY_AUTH_FILE"))
	add(false, getenv("XDG_RUNTIME_DIR"), "containers", "auth.json")
	if x := getenv("XDG_CONFIG_HOME"); x != "" {
		add(false, x, "containers", "auth.json")
	} else {
		add(false, home, ".config", "containers", "auth.json")
	}
	if d := getenv("DOCKER_CONFIG"); d != "" {
		add(false, d, "config.json")
	} else {
		add(false, home, ".docker", "config.json")
	}
	return c
}

// file is the common part of docker's config.json and the containers auth.json.
type file struct {
	Auths       map[string]entry  `json:"auths"`
	CredHelpers map[string]string `json:"credHelpers"`
	CredsStore  string            `json:"credsStore"`
}

type entry struct {
	Auth          string `json:"auth"`
	Username      string `json:"username"`
	Password      string `json:"password"`
	IdentityToken string `json:"identitytoken"`
	RegistryToken string `json:"registrytoken"`
}

// Lookup finds the credential for a repository of a registry. The first source
// that has one wins; in a source, a helper named for the host comes first, then
// the entry with the longest matching path, then the general helper (REG-23).
// No credential is no error.
func (c *Config) Lookup(ctx context.Context, host, repository string) (Credential, error) {
	var errs []error
	for _, src := range c.sources {
		cred, err := c.lookupIn(ctx, src, host, repository)
		if err != nil {
			errs = append(errs, fmt.Errorf("credentials from %s: %w", src.path, err))
			continue
		}
		if !cred.IsZero() {
			return cred, nil
		}
	}
	return Credential{}, errors.Join(errs...)
}

func (c *Config) lookupIn(ctx context.Context, src source, host, repository string) (Credential, error) {
	f, err := src.load()
	if err != nil {
		return Credential{}, err
	}
	keys := lookupKeys(host, repository)
	helpers := normalise(f.CredHelpers)
	for _, k := range keys {
		if name := helpers[k]; name != "" {
			return c.helper(ctx, name, serverName(k))
		}
	}
	auths := normalise(f.Auths)
	for _, k := range keys {
		if e, ok := auths[k]; ok {
			cred, err := e.credential()
			if err != nil {
				return Credential{}, fmt.Errorf("entry %q: %w", k, err)
			}
			if !cred.IsZero() {
				return cred, nil
			}
		}
	}
	if f.CredsStore != "" {
		return c.helper(ctx, f.CredsStore, serverName(keys[len(keys)-1]))
	}
	return Credential{}, nil
}

func (s source) load() (file, error) {
	var f file
	b := s.inline
	if b == nil {
		h, err := os.Open(s.path)
		if errors.Is(err, fs.ErrNotExist) && !s.must {
			return f, nil
		}
		if err != nil {
			return f, withoutPath(err)
		}
		b, err = io.ReadAll(io.LimitReader(h, maxConfigBytes+1))
		if cerr := h.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			return f, withoutPath(err)
		}
	}
	if len(b) > maxConfigBytes {
		return f, fmt.Errorf("larger than %d bytes", maxConfigBytes)
	}
	if len(bytes.TrimSpace(b)) == 0 {
		return f, nil
	}
	if err := json.Unmarshal(b, &f); err != nil {
		// The decoder's message may quote the file, which holds secrets.
		var syn *json.SyntaxError
		if errors.As(err, &syn) {
			return f, fmt.Errorf("bad JSON at byte %d", syn.Offset)
		}
		return f, errors.New("JSON of an unexpected shape")
	}
	return f, nil
}

func withoutPath(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// credential decodes one entry; the auth field is base64 of "user:password".
func (e entry) credential() (Credential, error) {
	c := Credential{
		Username: e.Username, Password: e.Password,
		IdentityToken: e.IdentityToken, RegistryToken: e.RegistryToken,
	}
	if e.Auth == "" {
		return c, nil
	}
	enc := base64.StdEncoding
	if len(e.Auth)%4 != 0 {
		enc = base64.RawStdEncoding
	}
	b, err := enc.DecodeString(e.Auth)
	if err != nil {
		return Credential{}, errors.New("auth is not base64")
	}
	user, pass, ok := strings.Cut(strings.TrimRight(string(b), "\x00"), ":")
	if !ok {
		return Credential{}, errors.New("auth is not user:password")
	}
	c.Username, c.Password = user, pass
	return c, nil
}

// Hub is the one name under which this package knows Docker Hub.
const Hub = "docker.io"

// CanonicalHost folds the names of Docker Hub into one; other names are kept.
func CanonicalHost(host string) string {
	switch host {
	case "docker.io", "index.docker.io", "registry-1.docker.io":
		return Hub
	}
	return host
}

// lookupKeys lists the keys for host/repository, longest first.
func lookupKeys(host, repository string) []string {
	host = CanonicalHost(host)
	key := host
	if repository != "" {
		key += "/" + repository
	}
	var keys []string
	for key != host {
		keys = append(keys, key)
		key = key[:strings.LastIndexByte(key, '/')]
	}
	return append(keys, host)
}

// serverName is what a helper is asked for.
func serverName(key string) string {
	if key == Hub {
		return "https://index.docker.io/v1/"
	}
	return key
}

// normalise reduces the keys of a file to host[/path]. A key that is a URL
// stands for its host. Where two keys meet, the plainer (shorter) one wins.
func normalise[V any](m map[string]V) map[string]V {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Slice(keys, func(i, j int) bool {
		if len(keys[i]) != len(keys[j]) {
			return len(keys[i]) > len(keys[j])
		}
		return keys[i] < keys[j]
	})
	out := make(map[string]V, len(m))
	for _, k := range keys {
		out[normaliseKey(k)] = m[k]
	}
	return out
}

func normaliseKey(k string) string {
	rest := k
	isURL := false
	for _, p := range []string{"https://", "http://"} {
		if r, ok := strings.CutPrefix(k, p); ok {
			rest, isURL = r, true
		}
	}
	host, path, _ := strings.Cut(strings.TrimRight(rest, "/"), "/")
	host = CanonicalHost(host)
	if isURL || path == "v1" || path == "v2" || path == "" {
		return host
	}
	return host + "/" + path
}
