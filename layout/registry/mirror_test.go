package registry_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/shalefs/shalefs/layout"
	"github.com/shalefs/shalefs/layout/layouttest"
	"github.com/shalefs/shalefs/layout/registry"
	rt "github.com/shalefs/shalefs/layout/registry/registrytest"
)

func writeHosts(t *testing.T, dir, host, text string) {
	t.Helper()
	place := filepath.Join(dir, host)
	if err := os.MkdirAll(place, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(place, "hosts.toml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// mirrorBench is a registry and a mirror of it that is the same one behind
// another proxy.
type mirrorBench struct {
	image          *layouttest.Memory
	mirror, origin *rt.Proxy
	opt            registry.Options
	log            *lockedBuffer
}

func newMirrorBench(t *testing.T, mirrorTable string) *mirrorBench {
	t.Helper()
	reg := rt.Start(t, "olareg")
	m := &mirrorBench{image: layouttest.Image(layouttest.Gzip(layouttest.Tar(layouttest.File("a", "one")))), log: &lockedBuffer{}}
	reg.PushImage(t, repo, "v1", m.image)
	m.mirror = rt.NewProxy(t, reg, rt.Options{})
	m.origin = rt.NewProxy(t, reg, rt.Options{})
	dir := t.TempDir()
	writeHosts(t, dir, m.origin.Host(), fmt.Sprintf("server = %q\n[host.%q]\n%s\n", m.origin.URL, m.mirror.URL, mirrorTable))
	m.opt = quick()
	m.opt.HostsDir = dir
	m.opt.Logger = logTo(m.log)
	return m
}

func (m *mirrorBench) load(t *testing.T) {
	t.Helper()
	s := open(t, m.origin.Host(), "v1", m.opt)
	img, err := layout.LoadImage(t.Context(), s, layout.Platform{})
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range img.Layers {
		want, _ := m.image.Content(l.Digest)
		p := make([]byte, len(want))
		if _, err := openBlob(t, s, l).ReadAt(t.Context(), p, 0); err != nil || string(p) != string(want) {
			t.Fatalf("layer: %v, or wrong bytes", err)
		}
	}
}

// TestREG25MirrorServesAll: the registry itself is not asked, the mirror is told
// for whom it stands (REG-26), and gets the headers of its table.
func TestREG25MirrorServesAll(t *testing.T) {
	m := newMirrorBench(t, `header = { "X-Mirror" = "yes" }`)
	m.load(t)
	if n := len(m.origin.Seen(nil)); n != 0 {
		t.Errorf("%d requests to the registry", n)
	}
	for _, s := range m.mirror.Seen(nil) {
		if !strings.Contains(s.Path, "ns=127.0.0.1%3A") {
			t.Errorf("REG-26: no ns in %s", s.Path)
		}
		if s.Header.Get("X-Mirror") != "yes" {
			t.Errorf("no header of its own: %v", s.Header)
		}
	}
	if !strings.Contains(m.log.String(), "host="+m.mirror.Host()) {
		t.Errorf("the log does not tell who resolved the tag: %s", m.log)
	}
}

// TestREG26NoNamespaceForTheRegistry: it gets no parameter that it may not know.
func TestREG26NoNamespaceForTheRegistry(t *testing.T) {
	m := newMirrorBench(t, `capabilities = ["pull"]`)
	m.mirror.SetRules(&rt.Rule{Match: rt.Any(rt.Front), Count: -1, Fault: rt.Status(404, nil, "")})
	m.load(t)
	for _, s := range m.origin.Seen(nil) {
		if strings.Contains(s.Path, "ns=") {
			t.Errorf("%s", s.Path)
		}
	}
	for _, s := range m.mirror.Seen(nil) {
		if strings.Contains(s.Path, "manifests/v1") {
			t.Errorf("a mirror that may not resolve was asked for a tag: %s", s.Path)
		}
	}
}

// TestREG25BadMirrors: each of them is passed over, and the image is right.
func TestREG25BadMirrors(t *testing.T) {
	faults := map[string]rt.Fault{
		"away":                rt.Reset(0),
		"404":                 rt.Status(404, nil, ""),
		"500":                 rt.Status(500, nil, ""),
		"401":                 rt.Status(401, nil, ""),
		"403":                 rt.Status(403, nil, ""),
		"429 for an hour":     rt.Status(429, map[string][]string{"Retry-After": {"3600"}}, ""),
		"other documents":     rt.Edit(func(a *rt.Answer) { a.Body = []byte(`{"schemaVersion":2}`) }),
		"wrong Content-Range": rt.ContentRange("bytes 7-9/4711"),
		"half an answer":      rt.Short(10),
		"gzip":                rt.Gzip(),
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			m := newMirrorBench(t, "")
			m.mirror.SetRules(&rt.Rule{Match: rt.Any(rt.Front), Count: -1, Fault: fault})
			m.load(t)
			if len(m.mirror.Seen(nil)) == 0 {
				t.Error("the mirror was not asked")
			}
		})
	}
}

// TestREG25LyingMirrorIsLeftOut: after an impossible answer a blob is not asked
// there any more.
func TestREG25LyingMirrorIsLeftOut(t *testing.T) {
	m := newMirrorBench(t, "")
	m.mirror.SetRules(&rt.Rule{Match: rt.Blobs(rt.Front), Count: -1, Fault: rt.ContentRange("bytes 7-9/4711")})
	s := open(t, m.origin.Host(), "v1", m.opt)
	img, err := layout.LoadImage(t.Context(), m.image, layout.Platform{})
	if err != nil {
		t.Fatal(err)
	}
	b := openBlob(t, s, img.Layers[0])
	for range 5 {
		if _, err := b.ReadAt(t.Context(), make([]byte, 10), 5); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(m.mirror.Seen(nil)); n != 1 {
		t.Errorf("the mirror was asked %d times, want 1", n)
	}
}

// TestBadHostsFile is an error of New that names the file.
func TestBadHostsFile(t *testing.T) {
	for _, text := range []string{"server = 5", "[host.\"ftp://x\"]", "x = [", "[host.\"http://a\"]\nca = \"missing.pem\"", "[host.\"https://u:p@a\"]"} {
		dir := t.TempDir()
		writeHosts(t, dir, "_default", text)
		opt := quick()
		opt.HostsDir = dir
		_, err := registry.New(reference("example.com", "v1"), opt)
		if err == nil || !strings.Contains(err.Error(), dir) && !strings.Contains(err.Error(), "host ") {
			t.Errorf("%q: %v", text, err)
		}
	}
}
