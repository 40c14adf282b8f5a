package registry_test

import (
	"fmt"
	"testing"

	"go.uber.org/goleak"

	"github.com/shalefs/shalefs/layout"
	"github.com/shalefs/shalefs/layout/layouttest"
	"github.com/shalefs/shalefs/layout/registry"
	"github.com/shalefs/shalefs/layout/registry/registrytest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// Connections of http.DefaultClient, by which the tests fill registries.
		goleak.IgnoreTopFunction("internal/poll.runtime_pollWait"),
		goleak.IgnoreTopFunction("net/http.(*persistConn).writeLoop"),
		goleak.IgnoreTopFunction("net/http.(*persistConn).readLoop"),
	)
}

// fronts are the ways between a client and its registry that the suites run over.
var fronts = map[string]func() registrytest.Options{
	"token":  func() registrytest.Options { return registrytest.Options{Tokens: &registrytest.Tokens{Uses: 40}} },
	"signed": func() registrytest.Options { return registrytest.Options{Signed: true, SignedUses: 2} },
	"no ranges": func() registrytest.Options {
		return registrytest.Options{Rules: []*registrytest.Rule{{Match: registrytest.Blobs(registrytest.Front), Count: -1, Fault: registrytest.IgnoreRange()}}}
	},
}

// ways lists the hosts to reach a registry by: itself, and for one kind of
// registry each of the fronts.
func ways(t *testing.T, kind string, reg *registrytest.Registry) map[string]string {
	hosts := map[string]string{"direct": reg.Host()}
	if kind == "olareg" {
		for name, front := range fronts {
			hosts[name] = registrytest.NewProxy(t, reg, front()).Host()
		}
	}
	return hosts
}

// TestStoreOfEveryRegistry runs the suite of package layout over real registries.
func TestStoreOfEveryRegistry(t *testing.T) {
	for _, kind := range registrytest.Kinds {
		t.Run(kind, func(t *testing.T) {
			reg := registrytest.Start(t, kind)
			m := layouttest.Image(
				layouttest.Gzip(layouttest.Tar(layouttest.Dir("a"), layouttest.File("a/b", "one"))),
				layouttest.Zstd(layouttest.Tar(layouttest.File("a/c", "two"))),
			)
			reg.PushImage(t, repo, "v1", m)
			for name, host := range ways(t, kind, reg) {
				t.Run(name, func(t *testing.T) {
					layouttest.TestStore(t, func(t *testing.T) (layout.Store, layouttest.Expected) {
						s, err := registry.New(reference(host, "v1"), quick())
						if err != nil {
							t.Fatal(err)
						}
						return s, m.Expect(t)
					})
				})
			}
		})
	}
}

func TestBlobOfEveryRegistry(t *testing.T) {
	for _, kind := range registrytest.Kinds {
		t.Run(kind, func(t *testing.T) {
			reg := registrytest.Start(t, kind)
			for name, host := range ways(t, kind, reg) {
				for _, size := range []int{0, 1, 3000} {
					t.Run(fmt.Sprint(name, size), func(t *testing.T) {
						content := layouttest.Bytes(size)
						reg.PushBlob(t, repo, content)
						opt := quick()
						opt.MaxSkip = 100
						opt.TempDir = t.TempDir()
						s := open(t, host, "latest", opt)
						layouttest.TestBlob(t, content, func(t *testing.T) layout.Blob {
							b, err := s.Blob(t.Context(), describe(content))
							if err != nil {
								t.Fatal(err)
							}
							return b
						})
					})
				}
			}
		})
	}
}
