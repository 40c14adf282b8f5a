package main

import (
	"flag"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

var update = flag.Bool("update", false, "rewrite the expected output of the scripts")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"shalefs": main})
}

// requireFuse skips a test that mounts where /dev/fuse cannot be opened, and fails it where
// it must be there, as in CI.
func requireFuse(t *testing.T) {
	t.Helper()
	f, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err == nil {
		f.Close()
		return
	}
	if os.Getenv("SHALEFS_REQUIRE_FUSE") != "" {
		t.Fatalf("this test mounts: %v", err)
	}
	t.Skipf("this test mounts: %v", err)
}

// demoLayout is the image that ships with the project.
func demoLayout(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs("../../testdata/demo/image")
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func TestScripts(t *testing.T) {
	demo := demoLayout(t)
	fuse := ""
	if f, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0); err == nil {
		f.Close()
		fuse = "yes"
	} else if os.Getenv("SHALEFS_REQUIRE_FUSE") != "" {
		t.Fatal(err)
	}
	refuses := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
		w.WriteHeader(http.StatusUnauthorized)
	}))
	// The scripts run in parallel, after this function's own end.
	t.Cleanup(refuses.Close)
	testscript.Run(t, testscript.Params{
		Dir: "testdata", UpdateScripts: *update, RequireExplicitExec: true,
		Condition: func(cond string) (bool, error) { return cond == "fuse" && fuse != "", nil },
		Cmds:      map[string]func(*testscript.TestScript, bool, []string){"exits": exits, "flip": flip, "tarfile": tarfile},
		Setup: func(env *testscript.Env) error {
			env.Setenv("DEMO", "oci:"+demo+":demo")
			env.Setenv("DEMODIR", demo)
			env.Setenv("SHALEFS_CACHE_DIR", filepath.Join(env.WorkDir, "cache"))
			env.Setenv("SHALEFS_RUN_DIR", filepath.Join(env.WorkDir, "run"))
			env.Setenv("TZ", "UTC")
			env.Setenv("REFUSES", refuses.Listener.Addr().String())
			return nil
		},
	})
}
