package layout

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"

	digest "github.com/opencontainers/go-digest"
)

// A Transport is the kind of a reference.
type Transport string

// The transports, named as they are written before a reference.
const (
	Registry      Transport = "docker"
	Layout        Transport = "oci"
	OCIArchive    Transport = "oci-archive"
	DockerArchive Transport = "docker-archive"
)

// DockerHub is the Host of references without one.
const DockerHub = "docker.io"

// A Reference names a place that images come from, and one image in it.
type Reference struct {
	Transport Transport

	// Of a registry. Host may have a port. Tag is "latest" when neither a tag nor a
	// digest was given; when a digest was given, it decides and Tag is only shown (REF-3).
	Host       string
	Repository string
	Tag        string

	// Of a layout or an archive. Name is anything (LAY-6), empty if not given.
	Path string
	Name string

	// Of all: empty if not given.
	Digest digest.Digest
}

// Parse parses a reference in the forms that users of other tools type:
//
//	alpine, docker.io/library/alpine:3.20, docker://host:5000/repo@sha256:…
//	oci:DIR[:NAME|@DIGEST]
//	oci-archive:FILE[:NAME|@DIGEST]
//	docker-archive:FILE[:NAME|@DIGEST]
//	a path of a layout directory or an archive, with the same endings
//
// What has no transport is a path when it begins with "/", "./" or "../", or when there is a
// layout directory or an archive of that name; else it is a registry's. So Parse looks
// at the file system, also to tell a colon in a path from the one before a name.
// The error wraps ErrInvalid.
func Parse(s string) (Reference, error) {
	return parse(s, lookFile)
}

// maxReference bounds a reference, in bytes.
const maxReference = 16 << 10

func parse(s string, look func(path string) fileKind) (Reference, error) {
	if s == "" || len(s) > maxReference || strings.IndexByte(s, 0) >= 0 {
		return Reference{}, fmt.Errorf("reference %q: %w", shorten(s), ErrInvalid)
	}
	if rest, ok := strings.CutPrefix(s, "docker://"); ok {
		return parseRegistry(s, rest)
	}
	for _, t := range []Transport{Layout, OCIArchive, DockerArchive} {
		if rest, ok := strings.CutPrefix(s, string(t)+":"); ok {
			r, err := parsePath(s, rest, look)
			r.Transport = t
			return r, err
		}
	}
	if strings.Contains(s, "://") {
		return Reference{}, fmt.Errorf("reference %q: transport: %w", shorten(s), ErrInvalid)
	}
	return parseBare(s, look)
}

func shorten(s string) string {
	if len(s) > 300 {
		return s[:300] + "…"
	}
	return s
}

// parseBare parses a reference without a transport.
func parseBare(s string, look func(string) fileKind) (Reference, error) {
	explicit := s == "." || s == ".." || strings.HasPrefix(s, "/") || strings.HasPrefix(s, "./") || strings.HasPrefix(s, "../")
	r, err := parsePath(s, s, look)
	if err == nil {
		switch look(r.Path) {
		case fileLayout:
			r.Transport = Layout
			return r, nil
		case fileArchive:
			r.Transport = OCIArchive
			return r, nil
		case fileOther:
			if explicit {
				return Reference{}, fmt.Errorf("%q is neither an image layout nor an archive: %w", r.Path, ErrInvalid)
			}
		case fileNone:
			if explicit {
				return Reference{}, fmt.Errorf("path %q: %w", r.Path, ErrNotFound)
			}
		}
	} else if explicit {
		return Reference{}, err
	}
	return parseRegistry(s, s)
}

// parsePath takes PATH[:NAME][@DIGEST] apart. A path that exists is preferred; else
// the first colon ends it.
func parsePath(s, rest string, look func(string) fileKind) (Reference, error) {
	var r Reference
	if look(rest) != fileNone {
		r.Path = rest
		return r, nil
	}
	if i := strings.LastIndexByte(rest, '@'); i >= 0 && CheckDigest(digest.Digest(rest[i+1:])) == nil {
		r.Digest = digest.Digest(rest[i+1:])
		rest = rest[:i]
	}
	r.Path, r.Name = splitName(rest, look)
	if r.Path == "" {
		return Reference{}, fmt.Errorf("reference %q has no path: %w", shorten(s), ErrInvalid)
	}
	return r, nil
}

func splitName(rest string, look func(string) fileKind) (path, name string) {
	if look(rest) != fileNone {
		return rest, ""
	}
	for i := 0; i < len(rest); i++ {
		if rest[i] == ':' && i > 0 && look(rest[:i]) != fileNone {
			return rest[:i], rest[i+1:]
		}
	}
	path, name, _ = strings.Cut(rest, ":")
	return path, name
}

var (
	hostRE = regexp.MustCompile(`^[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?(\.[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?)*(:[0-9]{1,5})?$`)
	repoRE = regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$`)
	tagRE  = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$`)
)

// parseRegistry parses [HOST/]NAME[:TAG][@DIGEST] (REF-1, REF-2).
func parseRegistry(s, rest string) (Reference, error) {
	bad := func(what, value string) (Reference, error) {
		return Reference{}, fmt.Errorf("reference %q: %s %q: %w", shorten(s), what, shorten(value), ErrInvalid)
	}
	r := Reference{Transport: Registry, Host: DockerHub}
	if name, d, ok := strings.Cut(rest, "@"); ok {
		r.Digest = digest.Digest(d)
		if err := CheckDigest(r.Digest); err != nil {
			return Reference{}, fmt.Errorf("reference %q: %w", shorten(s), err)
		}
		rest = name
	}
	if i := strings.LastIndexByte(rest, ':'); i >= 0 && !strings.Contains(rest[i:], "/") {
		r.Tag = rest[i+1:]
		if !tagRE.MatchString(r.Tag) {
			return bad("tag", r.Tag)
		}
		rest = rest[:i]
	}
	if host, name, ok := strings.Cut(rest, "/"); ok && (strings.ContainsAny(host, ".:") || host == "localhost") {
		if !validHost(host) {
			return bad("host", host)
		}
		r.Host, rest = host, name
	}
	if r.Host == "index.docker.io" || r.Host == "registry-1.docker.io" {
		r.Host = DockerHub
	}
	if r.Host == DockerHub && !strings.Contains(rest, "/") {
		rest = "library/" + rest
	}
	if !repoRE.MatchString(rest) {
		return bad("repository", rest)
	}
	r.Repository = rest
	if r.Tag == "" && r.Digest == "" {
		r.Tag = "latest"
	}
	return r, nil
}

func validHost(host string) bool {
	if hostRE.MatchString(host) {
		return true
	}
	inner, ok := strings.CutPrefix(host, "[")
	if !ok {
		return false
	}
	addr, port, ok := strings.Cut(inner, "]")
	if !ok || (port != "" && !regexp.MustCompile(`^:[0-9]{1,5}$`).MatchString(port)) {
		return false
	}
	a, err := netip.ParseAddr(addr)
	return err == nil && a.Is6() && a.Zone() == ""
}

// String is a form that Parse reads as the same reference.
func (r Reference) String() string {
	var s string
	if r.Transport == Registry {
		s = r.Host + "/" + r.Repository
		if r.Tag != "" {
			s += ":" + r.Tag
		}
	} else {
		s = string(r.Transport) + ":" + r.Path
		if r.Name != "" {
			s += ":" + r.Name
		}
	}
	if r.Digest != "" {
		s += "@" + string(r.Digest)
	}
	return s
}

// APIHost is the host that a registry's requests go to: Host, but for Docker Hub.
func (r Reference) APIHost() string {
	if r.Host == DockerHub {
		return "registry-1.docker.io"
	}
	return r.Host
}

// Warning is a sentence about a reference that works here but may not elsewhere, or "" (REF-4).
func (r Reference) Warning() string {
	if n := len(r.Host) + 1 + len(r.Repository); r.Transport == Registry && n > 255 {
		return fmt.Sprintf("host and repository have %d bytes together; some tools take at most 255", n)
	}
	return ""
}

// FullName is the full form of a registry reference without a transport, with host and tag: "alpine"
// becomes "docker.io/library/alpine:latest". It is "" for what is no such reference.
func FullName(s string) string {
	r, err := parseRegistry(s, s)
	if err != nil {
		return ""
	}
	return r.String()
}
