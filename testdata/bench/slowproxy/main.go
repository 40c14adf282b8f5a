// Slowproxy is a registry behind a slow link, for benchmarks: it serves the OCI
// layouts that are below some directories, each under the name of its own directory,
// takes pushes into another directory, makes each request wait, and lets all bodies
// together pass at so many bytes a second.
//
//	slowproxy -images DIR [-images DIR] -uploads DIR -address FILE
//
// It listens on loopback, on two ports, which it writes into the file of -address: the
// slow one, and one that is as fast as it can be and is not counted, to prepare things with.
//
//	GET  /_stats    {"requests": N, "bytes": N}: what went through the slow port since the last reset
//	GET  /_trace    one line a request: start, duration, method, path, range, status, bytes
//	POST /_reset    starts counting anew
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/shalefs/shalefs/layout/registry/registrytest"
)

type list []string

func (l *list) String() string     { return strings.Join(*l, ",") }
func (l *list) Set(s string) error { *l = append(*l, s); return nil }

func main() {
	log.SetFlags(0)
	log.SetPrefix("slowproxy: ")
	var images list
	flag.Var(&images, "images", "directory of layouts; may be repeated")
	uploads := flag.String("uploads", "", "directory for what is pushed")
	address := flag.String("address", "", "file to write the two addresses to")
	latency := flag.Duration("latency", 20*time.Millisecond, "what each request waits")
	rate := flag.Int64("rate", 50_000_000, "bytes a second of all bodies together")
	tokens := flag.Bool("tokens", false, "ask for bearer tokens on the slow port")
	flag.Parse()
	if len(images) == 0 || *uploads == "" || *address == "" || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, newLayouts(images, *uploads), *address, *latency, *rate, *tokens); err != nil {
		log.Fatal(err)
	}
}

// run serves until ctx ends.
func run(ctx context.Context, reg http.Handler, address string, latency time.Duration, rate int64, tokens bool) error {
	slow, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fast, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	var front http.Handler = reg
	if tokens {
		front = askToken(front)
	}
	c := newCounter()
	servers := []*http.Server{
		{Handler: c.serve(registrytest.Slow(c.count(front), latency, rate)), ReadHeaderTimeout: time.Minute},
		{Handler: reg, ReadHeaderTimeout: time.Minute},
	}
	ended := make(chan error, len(servers))
	for i, l := range []net.Listener{slow, fast} {
		go func() { ended <- servers[i].Serve(l) }()
	}
	if err := publish(address, slow.Addr(), fast.Addr()); err != nil {
		return err
	}
	select {
	case err = <-ended:
	case <-ctx.Done():
	}
	for _, s := range servers {
		err = errors.Join(err, s.Close())
	}
	return err
}

// publish writes the addresses, whole or not at all.
func publish(path string, addrs ...net.Addr) error {
	var b strings.Builder
	for _, a := range addrs {
		fmt.Fprintln(&b, a)
	}
	if err := os.WriteFile(path+".tmp", []byte(b.String()), 0o600); err != nil {
		return err
	}
	return os.Rename(path+".tmp", path)
}

const token = "bench"

// askToken refuses requests without the token, and gives it to whoever asks.
func askToken(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/token":
			w.Header().Set("Content-Type", "application/json")
			_, _ = fmt.Fprintf(w, `{"token":%q,"expires_in":300}`, token) // a client that is gone needs none
		case r.Header.Get("Authorization") != "Bearer "+token:
			w.Header().Set("Www-Authenticate", `Bearer realm="http://`+r.Host+`/token",service="bench"`)
			fail(w, http.StatusUnauthorized, "UNAUTHORIZED")
		default:
			h.ServeHTTP(w, r)
		}
	})
}
