package main

import (
	"fmt"
	"net/http"
	"sync"
	"time"
)

// A counter counts requests and the bytes of their bodies, and lists them.
type counter struct {
	mu    sync.Mutex // guards what follows
	since time.Time
	bytes int64
	seen  []*seen
}

// A seen is one request. Its fields are guarded by counter.mu.
type seen struct {
	start, took          time.Duration
	method, path, ranged string
	status               int
	bytes                int64
}

func newCounter() *counter { return &counter{since: time.Now()} }

// serve answers the questions about the counts, and leaves the rest to h.
func (c *counter) serve(h http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", h)
	mux.HandleFunc("GET /_stats", func(w http.ResponseWriter, _ *http.Request) {
		c.mu.Lock()
		defer c.mu.Unlock()
		_, _ = fmt.Fprintf(w, "{\"requests\": %d, \"bytes\": %d}\n", len(c.seen), c.bytes) // a client that is gone needs no answer
	})
	mux.HandleFunc("GET /_trace", func(w http.ResponseWriter, _ *http.Request) {
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, s := range c.seen {
			_, _ = fmt.Fprintf(w, "%.3f %.3f %s %s %s %d %d\n", s.start.Seconds(), s.took.Seconds(), s.method, s.path, s.ranged, s.status, s.bytes)
		}
	})
	mux.HandleFunc("POST /_reset", func(http.ResponseWriter, *http.Request) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.since, c.bytes, c.seen = time.Now(), 0, nil
	})
	return mux
}

// count wraps a handler whose requests are counted. It stands behind the slow link: a
// request is listed when it has arrived, and its bytes as they go.
func (c *counter) count(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := &seen{method: r.Method, path: r.URL.RequestURI(), ranged: "-"}
		if v := r.Header.Get("Range"); v != "" {
			s.ranged = v
		}
		began := time.Now()
		c.mu.Lock()
		s.start = began.Sub(c.since)
		c.seen = append(c.seen, s)
		c.mu.Unlock()
		h.ServeHTTP(&counting{w, c, s}, r)
		c.mu.Lock()
		s.took = time.Since(began)
		c.mu.Unlock()
	})
}

type counting struct {
	http.ResponseWriter
	c *counter
	s *seen
}

func (w *counting) WriteHeader(status int) {
	w.c.mu.Lock()
	w.s.status = status
	w.c.mu.Unlock()
	w.ResponseWriter.WriteHeader(status)
}

func (w *counting) Write(p []byte) (int, error) {
	n, err := w.ResponseWriter.Write(p)
	w.c.mu.Lock()
	w.s.bytes += int64(n)
	w.c.bytes += int64(n)
	w.c.mu.Unlock()
	return n, err
}
