package registry

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"

	"github.com/shalefs/shalefs/layout"
)

// maxHostsBytes limits a hosts.toml and each certificate file.
const maxHostsBytes = 1 << 20

// A hostsFile is a parsed hosts.toml: the mirrors in the order of the file, and
// what it says about the registry itself.
// Source: containerd, "Registry Host Namespace".
type hostsFile struct {
	server  hostEntry // URL is "" if not given
	mirrors []hostEntry
}

type hostEntry struct {
	url          string
	capabilities []string // nil: all
	ca           []string
	client       [][2]string // certificate and key files
	skipVerify   bool
	overridePath bool
	header       http.Header
}

// hostsFromDir reads dir/HOST/hosts.toml, or that of _default, and returns the
// mirrors and then the registry itself. No file, or no directory, is no error.
func hostsFromDir(dir, host string, self hostConfig) ([]hostConfig, error) {
	if strings.ContainsAny(host, "/\\") || strings.Contains(host, "..") {
		return nil, fmt.Errorf("%w: host %q", layout.ErrInvalid, host)
	}
	for _, name := range []string{host, strings.Replace(host, ":", "_", 1) + "_", "_default"} {
		place := filepath.Join(dir, name)
		b, err := readSmall(filepath.Join(place, "hosts.toml"))
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrInvalid) {
			continue
		}
		if err != nil {
			return nil, err
		}
		file, err := parseHosts(b)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", filepath.Join(place, "hosts.toml"), err)
		}
		return file.configs(place, host, self)
	}
	return []hostConfig{self}, nil
}

func readSmall(name string) ([]byte, error) {
	st, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() || st.Size() > maxHostsBytes {
		return nil, fmt.Errorf("%w: %s is not a file of at most %d bytes", layout.ErrInvalid, name, maxHostsBytes)
	}
	return os.ReadFile(name)
}

// rawHost is one table of the file. Some of its values come in several shapes.
type rawHost struct {
	Server       string         `toml:"server"`
	Capabilities []string       `toml:"capabilities"`
	CA           any            `toml:"ca"`
	Client       any            `toml:"client"`
	SkipVerify   bool           `toml:"skip_verify"`
	OverridePath bool           `toml:"override_path"`
	Header       map[string]any `toml:"header"`
}

// parseHosts reads the text of a hosts.toml.
func parseHosts(b []byte) (hostsFile, error) {
	var raw struct {
		rawHost
		Host map[string]rawHost `toml:"host"`
	}
	var f hostsFile
	meta, err := toml.Decode(string(b), &raw)
	if err != nil {
		return f, fmt.Errorf("%w: %w", layout.ErrInvalid, err)
	}
	if f.server, err = raw.entry(raw.Server); err != nil {
		return f, err
	}
	seen := map[string]bool{}
	for _, key := range meta.Keys() {
		if len(key) < 2 || key[0] != "host" || seen[key[1]] {
			continue
		}
		seen[key[1]] = true
		e, err := raw.Host[key[1]].entry(key[1])
		if err != nil {
			return f, fmt.Errorf("host %q: %w", key[1], err)
		}
		f.mirrors = append(f.mirrors, e)
	}
	return f, nil
}

func (r rawHost) entry(u string) (hostEntry, error) {
	e := hostEntry{
		url: u, capabilities: r.Capabilities, skipVerify: r.SkipVerify,
		overridePath: r.OverridePath, header: http.Header{},
	}
	var err error
	if e.ca, err = texts(r.CA); err != nil {
		return e, fmt.Errorf("ca: %w", err)
	}
	if e.client, err = pairs(r.Client); err != nil {
		return e, fmt.Errorf("client: %w", err)
	}
	for name, v := range r.Header {
		values, err := texts(v)
		if err != nil || strings.ContainsAny(name+strings.Join(values, ""), "\r\n") {
			return e, fmt.Errorf("%w: header %q", layout.ErrInvalid, name)
		}
		e.header[http.CanonicalHeaderKey(name)] = values
	}
	return e, nil
}

// texts takes a text or a list of them.
func texts(v any) ([]string, error) {
	switch v := v.(type) {
	case nil:
		return nil, nil
	case string:
		return []string{v}, nil
	case []any:
		var out []string
		for _, x := range v {
			s, ok := x.(string)
			if !ok {
				return nil, fmt.Errorf("%w: not a list of texts", layout.ErrInvalid)
			}
			out = append(out, s)
		}
		return out, nil
	}
	return nil, fmt.Errorf("%w: neither a text nor a list of texts", layout.ErrInvalid)
}

// pairs takes the forms of client certificates: a file that holds certificate
// and key, a list of such files, or a list of [certificate, key].
func pairs(v any) ([][2]string, error) {
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	var out [][2]string
	for _, x := range list {
		files, err := texts(x)
		if err != nil {
			return nil, err
		}
		switch len(files) {
		case 0:
		case 1:
			out = append(out, [2]string{files[0], files[0]})
		case 2:
			if files[1] == "" {
				files[1] = files[0]
			}
			out = append(out, [2]string{files[0], files[1]})
		default:
			return nil, fmt.Errorf("%w: more than a certificate and a key", layout.ErrInvalid)
		}
	}
	return out, nil
}

// configs turns the file into hosts to ask; relative file names are below dir.
func (f hostsFile) configs(dir, host string, self hostConfig) ([]hostConfig, error) {
	server := f.server
	if server.url == "" {
		u := *self.base
		u.Path = ""
		server.url = u.String()
	}
	origin, err := server.config(dir)
	if err != nil {
		return nil, fmt.Errorf("server %q: %w", server.url, err)
	}
	origin.skipVerify = origin.skipVerify || self.skipVerify
	var out []hostConfig
	for _, m := range f.mirrors {
		c, err := m.config(dir)
		if err != nil {
			return nil, fmt.Errorf("host %q: %w", m.url, err)
		}
		if sameOrigin(c.base, origin.base) && c.base.Path == origin.base.Path {
			origin = c // the registry itself, with its own settings: it stays last
			origin.resolve = true
			continue
		}
		c.ns = host
		if c.pull {
			out = append(out, c)
		}
	}
	return append(out, origin), nil
}

func (e hostEntry) config(dir string) (hostConfig, error) {
	raw := e.url
	if !strings.Contains(raw, "://") {
		scheme := "https://"
		if h, _, _ := strings.Cut(raw, "/"); isLoopback(h) {
			scheme = "http://"
		}
		raw = scheme + raw
	}
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.User != nil || u.Scheme != "http" && u.Scheme != "https" {
		return hostConfig{}, fmt.Errorf("%w: not a plain http or https URL", layout.ErrInvalid)
	}
	p := u.Path
	if !e.overridePath {
		p = path.Join("/", p, "v2")
	}
	c := hostConfig{
		base:       &url.URL{Scheme: u.Scheme, Host: strings.ToLower(u.Host), Path: p},
		resolve:    e.capabilities == nil || slices.Contains(e.capabilities, "resolve"),
		pull:       e.capabilities == nil || slices.Contains(e.capabilities, "pull"),
		skipVerify: e.skipVerify, header: e.header,
	}
	if len(e.ca) > 0 {
		if c.roots, err = x509.SystemCertPool(); err != nil {
			c.roots = x509.NewCertPool()
		}
		for _, name := range e.ca {
			b, err := readSmall(below(dir, name))
			if err != nil {
				return c, err
			}
			if !c.roots.AppendCertsFromPEM(b) {
				return c, fmt.Errorf("%w: no certificate in %s", layout.ErrInvalid, below(dir, name))
			}
		}
	}
	for _, pair := range e.client {
		cert, err := tls.LoadX509KeyPair(below(dir, pair[0]), below(dir, pair[1]))
		if err != nil {
			return c, fmt.Errorf("%w: client certificate %s: %w", layout.ErrInvalid, below(dir, pair[0]), err)
		}
		c.clientCert = append(c.clientCert, cert)
	}
	return c, nil
}

func below(dir, name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(dir, name)
}
