package registrytest

import (
	"context"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"time"
)

// Slow wraps a handler as a link does: each request waits for latency before it
// is handled, and all bodies together pass at most bytesPerSecond (0: no limit).
func Slow(h http.Handler, latency time.Duration, bytesPerSecond int64) http.Handler {
	link := &link{rate: bytesPerSecond}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if latency > 0 && sleep(r.Context(), latency) != nil {
			return
		}
		if bytesPerSecond > 0 {
			w = &slowWriter{ResponseWriter: w, link: link, ctx: r.Context()}
		}
		h.ServeHTTP(w, r)
	})
}

// SlowProxy is Slow in front of another server: what a benchmark puts between a
// client and a registry.
func SlowProxy(upstream *url.URL, latency time.Duration, bytesPerSecond int64) http.Handler {
	p := &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(upstream) },
		FlushInterval: -1, // headers and small bodies go on at once
	}
	return Slow(p, latency, bytesPerSecond)
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// A link hands out time slots: who wants to send n bytes waits for the bytes
// that were promised before.
type link struct {
	rate int64
	mu   sync.Mutex
	free time.Time // when all promised bytes have passed
}

// reserve returns how long to wait before n bytes may pass.
func (l *link) reserve(n int) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if l.free.Before(now) {
		l.free = now
	}
	l.free = l.free.Add(time.Duration(int64(n) * int64(time.Second) / l.rate))
	return l.free.Sub(now)
}

// slowWriter is the writer of one request.
type slowWriter struct {
	http.ResponseWriter
	link *link
	ctx  context.Context // of the request: a client that went away is not waited for
}

// piece is what passes the link at once.
const piece = 32 << 10

func (w *slowWriter) Write(p []byte) (int, error) {
	done := 0
	for len(p) > 0 {
		n := min(len(p), piece)
		// Short waits are left to add up: timers are not that exact.
		if d := w.link.reserve(n); d > 2*time.Millisecond {
			if err := sleep(w.ctx, d); err != nil {
				return done, err
			}
		}
		m, err := w.ResponseWriter.Write(p[:n])
		done += m
		if err != nil {
			return done, err
		}
		p = p[n:]
	}
	return done, nil
}

// Unwrap lets http.ResponseController reach what is below.
func (w *slowWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
