package registrytest

import (
	"bufio"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	ggcr "github.com/google/go-containerregistry/pkg/registry"
	"github.com/olareg/olareg"
	"github.com/olareg/olareg/config"
)

// Kinds are the registries that Start knows: olareg has the whole of
// distribution-spec v1.1; ggcr is weak in ranges; distribution is the common
// one, without a referrers API.
var Kinds = []string{"olareg", "ggcr", "distribution"}

// A Registry is a running registry with no content.
type Registry struct {
	URL *url.URL
}

// Host is host:port.
func (r *Registry) Host() string { return r.URL.Host }

// Start runs a registry on loopback until the test ends.
func Start(tb testing.TB, kind string) *Registry {
	tb.Helper()
	switch kind {
	case "olareg":
		s := olareg.New(config.Config{Storage: config.ConfigStorage{StoreType: config.StoreMem}})
		tb.Cleanup(func() {
			if err := s.Close(); err != nil {
				tb.Errorf("olareg: %v", err)
			}
		})
		return serve(tb, s)
	case "ggcr":
		return serve(tb, ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0))))
	case "distribution":
		return startDistribution(tb)
	}
	tb.Fatalf("no registry %q", kind)
	return nil
}

func serve(tb testing.TB, h http.Handler) *Registry {
	srv := httptest.NewServer(h)
	tb.Cleanup(srv.Close)
	return &Registry{URL: mustParse(srv.URL)}
}

func mustParse(s string) *url.URL {
	u, err := url.Parse(s)
	if err != nil {
		panic(err) // a URL that we made ourselves
	}
	return u
}

// Program finds a program of the module testdata/peers: in $SHALEFS_PEERS, or
// in .cache/bin at the top of the project.
func Program(tb testing.TB, name string) string {
	tb.Helper()
	dir := os.Getenv("SHALEFS_PEERS")
	if dir == "" {
		root, err := os.Getwd()
		if err != nil {
			tb.Fatal(err)
		}
		for !exists(filepath.Join(root, "testdata", "peers", "go.mod")) {
			up := filepath.Dir(root)
			if up == root {
				tb.Fatal("not below the project's directory; set SHALEFS_PEERS")
			}
			root = up
		}
		dir = filepath.Join(root, ".cache", "bin")
	}
	path := filepath.Join(dir, name)
	if !exists(path) {
		tb.Fatalf("%s is missing: run testdata/peers/build.sh", path)
	}
	return path
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

var listening = regexp.MustCompile(`listening on (127\.0\.0\.1:\d+)`)

const distributionConfig = `version: 0.1
log:
  level: info
  accesslog:
    disabled: true
storage:
  filesystem:
    rootdirectory: %s
http:
  addr: 127.0.0.1:0
  secret: test
`

func startDistribution(tb testing.TB) *Registry {
	tb.Helper()
	program := Program(tb, "registry")
	dir := tb.TempDir()
	conf := filepath.Join(dir, "config.yml")
	if err := os.WriteFile(conf, fmt.Appendf(nil, distributionConfig, filepath.Join(dir, "data")), 0o600); err != nil {
		tb.Fatal(err)
	}
	cmd := exec.Command(program, "serve", conf)
	cmd.Env = []string{"OTEL_TRACES_EXPORTER=none", "PATH=" + os.Getenv("PATH"), "HOME=" + dir}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	addr := make(chan string, 1)
	var lines logLines
	var wg sync.WaitGroup
	wg.Go(func() {
		sc := bufio.NewScanner(stderr)
		for sc.Scan() {
			lines.add(sc.Text())
			if m := listening.FindStringSubmatch(sc.Text()); m != nil {
				select {
				case addr <- m[1]:
				default:
				}
			}
		}
		close(addr)
	})
	tb.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGKILL) // it may have ended by itself
		wg.Wait()
		_ = cmd.Wait() // "killed" is what we want
	})
	select {
	case a, ok := <-addr:
		if ok {
			return &Registry{URL: mustParse("http://" + a)}
		}
	case <-time.After(time.Minute):
	}
	tb.Fatalf("registry does not listen:\n%s", lines.text())
	return nil
}

type logLines struct {
	mu sync.Mutex
	s  []string
}

func (l *logLines) add(s string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.s) < 200 {
		l.s = append(l.s, s)
	}
}

func (l *logLines) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.s, "\n")
}
