package layout

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	digest "github.com/opencontainers/go-digest"
)

var (
	d256 = "sha256:" + strings.Repeat("a", 64)
	d512 = "sha512:" + strings.Repeat("0", 128)
)

// nothing is a file system without files.
func nothing(string) fileKind { return fileNone }

// TestREF1 is the table of registry references (REF-1, REF-2).
func TestREF1(t *testing.T) {
	hub := func(repo, tag string) Reference {
		return Reference{Transport: Registry, Host: DockerHub, Repository: repo, Tag: tag}
	}
	at := func(host, repo, tag, d string) Reference {
		return Reference{Transport: Registry, Host: host, Repository: repo, Tag: tag, Digest: digest.Digest(d)}
	}
	tag128 := strings.Repeat("t", 128)
	tests := []struct {
		in   string
		want Reference
	}{
		{"alpine", hub("library/alpine", "latest")},
		{"alpine:3.20", hub("library/alpine", "3.20")},
		{"foo/bar", hub("foo/bar", "latest")},
		{"docker.io/alpine", hub("library/alpine", "latest")},
		{"docker.io/library/alpine:3.20", hub("library/alpine", "3.20")},
		{"index.docker.io/alpine", hub("library/alpine", "latest")},
		{"registry-1.docker.io/foo/bar", hub("foo/bar", "latest")},
		{"docker://alpine", hub("library/alpine", "latest")},
		{"localhost/x", at("localhost", "x", "latest", "")},
		{"localhost:5000/x:y", at("localhost:5000", "x", "y", "")},
		{"r.io/x", at("r.io", "x", "latest", "")},
		{"host:5000/a/b/c@" + d256, at("host:5000", "a/b/c", "", d256)},
		{"host:5000/a/b@" + d512, at("host:5000", "a/b", "", d512)},
		{"r.io/x:tag@" + d256, at("r.io", "x", "tag", d256)},
		{"r.io/x@blake3:" + strings.Repeat("b", 64), at("r.io", "x", "", "blake3:"+strings.Repeat("b", 64))},
		{"r.io/x@sha999:abc", at("r.io", "x", "", "sha999:abc")},
		{"[::1]:5000/x", at("[::1]:5000", "x", "latest", "")},
		{"[2001:db8::1]/x:1", at("[2001:db8::1]", "x", "1", "")},
		{"UPPER.io/x", at("UPPER.io", "x", "latest", "")},
		{"a__b/c.d/e-f/g---h", hub("a__b/c.d/e-f/g---h", "latest")},
		{"x:" + tag128, hub("library/x", tag128)},
		{"x:_A.b-c", hub("library/x", "_A.b-c")},
	}
	for _, tt := range tests {
		got, err := parse(tt.in, nothing)
		if err != nil || got != tt.want {
			t.Errorf("%q: got %+v, %v; want %+v", tt.in, got, err, tt.want)
			continue
		}
		again, err := parse(got.String(), nothing)
		if err != nil || again != got {
			t.Errorf("%q: String %q gives %+v, %v", tt.in, got, again, err)
		}
	}
	for _, in := range []string{
		"", "a//b", "A/b", "Alpine", "x:" + tag128 + "t", "a___b", "a..b", "-a", "a-", "a/", "/", "x:", "x:-a", "x:a/b:",
		"r.io/", "r.io/x@", "r.io/x@sha256:abc", "r.io/x@sha256:" + strings.Repeat("A", 64), "r.io/x@" + d256 + "a",
		"x@" + d256 + "@" + d256, "r.io:port/x", "r.io:123456/x", "-r.io/x", "r..io/x", "[::1/x", "[]/x", "[::1]x/x", "[::1%eth0]/x",
		"http://r.io/x", "docker://", "docker:///x", "a b", "x:\x00", "x\n", "ftp://x", strings.Repeat("a", 20000),
	} {
		if got, err := parse(in, nothing); err == nil || !(errors.Is(err, ErrInvalid) || errors.Is(err, ErrNotFound)) {
			t.Errorf("%.100q: got %+v, %v", in, got, err)
		}
	}
}

func TestREF2(t *testing.T) {
	r, err := Parse("docker://alpine")
	if err != nil || r.APIHost() != "registry-1.docker.io" || r.Tag != "latest" || r.Repository != "library/alpine" {
		t.Errorf("got %+v, host %s, %v", r, r.APIHost(), err)
	}
	if r := (Reference{Transport: Registry, Host: "r.io"}); r.APIHost() != "r.io" {
		t.Errorf("got %s", r.APIHost())
	}
}

// TestREF3: with a digest there is no default tag, and a tag is kept beside it.
func TestREF3(t *testing.T) {
	r, err := Parse("docker://r.io/name:wrongtag@" + d256)
	if err != nil || r.Tag != "wrongtag" || string(r.Digest) != d256 {
		t.Errorf("got %+v, %v", r, err)
	}
}

func TestREF4(t *testing.T) {
	for n, warn := range map[int]bool{255: false, 256: true} {
		r, err := Parse("docker://r.io/" + strings.Repeat("a", n-5))
		if err != nil || (r.Warning() != "") != warn {
			t.Errorf("%d bytes: %v, warning %q", n, err, r.Warning())
		}
	}
}

// TestParsePath is the table of references to files.
func TestParsePath(t *testing.T) {
	files := map[string]fileKind{
		"dir": fileLayout, "./dir": fileLayout, "a:b": fileLayout, "/x/y.tar": fileArchive, "alpine": fileOther,
		"layout.d/sub": fileLayout, "plain": fileOther, "./plain": fileOther, ".": fileLayout, "at@" + d256: fileLayout,
	}
	look := func(p string) fileKind { return files[p] }
	tests := []struct {
		in   string
		want Reference
	}{
		{"oci:dir", Reference{Transport: Layout, Path: "dir"}},
		{"oci:dir:name", Reference{Transport: Layout, Path: "dir", Name: "name"}},
		{"oci:dir:my image!", Reference{Transport: Layout, Path: "dir", Name: "my image!"}},
		{"oci:dir:host:5000/a:b", Reference{Transport: Layout, Path: "dir", Name: "host:5000/a:b"}},
		{"oci:dir@" + d256, Reference{Transport: Layout, Path: "dir", Digest: digest.Digest(d256)}},
		{"oci:dir:n@" + d256, Reference{Transport: Layout, Path: "dir", Name: "n", Digest: digest.Digest(d256)}},
		{"oci:dir:me@home", Reference{Transport: Layout, Path: "dir", Name: "me@home"}},
		{"oci:a:b", Reference{Transport: Layout, Path: "a:b"}},
		{"oci:a:b:c", Reference{Transport: Layout, Path: "a:b", Name: "c"}},
		{"oci:at@" + d256, Reference{Transport: Layout, Path: "at@" + d256}},
		{"oci:none:b:c", Reference{Transport: Layout, Path: "none", Name: "b:c"}},
		{"oci-archive:/x/y.tar:v1", Reference{Transport: OCIArchive, Path: "/x/y.tar", Name: "v1"}},
		{"docker-archive:/x/y.tar:alpine:1", Reference{Transport: DockerArchive, Path: "/x/y.tar", Name: "alpine:1"}},
		{"dir", Reference{Transport: Layout, Path: "dir"}},
		{".", Reference{Transport: Layout, Path: "."}},
		{"./dir:v1", Reference{Transport: Layout, Path: "./dir", Name: "v1"}},
		{"layout.d/sub@" + d256, Reference{Transport: Layout, Path: "layout.d/sub", Digest: digest.Digest(d256)}},
		{"/x/y.tar", Reference{Transport: OCIArchive, Path: "/x/y.tar"}},
		{"alpine", Reference{Transport: Registry, Host: DockerHub, Repository: "library/alpine", Tag: "latest"}},
		{"plain:1", Reference{Transport: Registry, Host: DockerHub, Repository: "library/plain", Tag: "1"}},
	}
	for _, tt := range tests {
		got, err := parse(tt.in, look)
		if err != nil || got != tt.want {
			t.Errorf("%q: got %+v, %v; want %+v", tt.in, got, err, tt.want)
			continue
		}
		if again, err := parse(got.String(), look); err != nil || again != got {
			t.Errorf("%q: String %q gives %+v, %v", tt.in, got, again, err)
		}
	}
	for in, want := range map[string]error{
		"./none": ErrNotFound, "/none:tag": ErrNotFound, "../none": ErrNotFound, "./plain": ErrInvalid,
		"oci:": ErrInvalid, "oci::name": ErrInvalid, "oci-archive:@" + d256: ErrInvalid,
	} {
		if _, err := parse(in, look); !errors.Is(err, want) {
			t.Errorf("%q: got %v, want %v", in, err, want)
		}
	}
}

// TestLook recognises real files.
func TestLook(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("layout/oci-layout", "{}")
	write("dir/x", "")
	for path, want := range map[string]fileKind{
		filepath.Join(dir, "layout"):                 fileLayout,
		filepath.Join(dir, "dir"):                    fileOther,
		filepath.Join(dir, "none"):                   fileNone,
		write("empty", ""):                           fileOther,
		write("text", strings.Repeat("x", 2000)):     fileOther,
		write("zeros", strings.Repeat("\x00", 1024)): fileOther,
		write("gz", "\x1f\x8b\x08\x00"):              fileArchive,
		write("zst", "\x28\xb5\x2f\xfd\x00"):         fileArchive,
		write("skippable", "\x5a\x2a\x4d\x18\x00"):   fileArchive,
	} {
		if got := lookFile(path); got != want {
			t.Errorf("%s: got %d, want %d", filepath.Base(path), got, want)
		}
	}
}

// FuzzParse: what parses prints as something that parses to the same.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"alpine", "r.io:80/a/b:c@" + d256, "oci:dir:name", "oci:a@" + d256, "docker-archive:x:y", "docker://x", "[::1]:5/x", "./x", "a:b:c", "oci:a:b@c",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := parse(s, nothing)
		if err != nil {
			if !errors.Is(err, ErrInvalid) && !errors.Is(err, ErrNotFound) {
				t.Errorf("%q: error %v", s, err)
			}
			return
		}
		again, err := parse(r.String(), nothing)
		if err != nil || again != r {
			t.Errorf("%q: %+v prints as %q, which is %+v, %v", s, r, r, again, err)
		}
	})
}
