package registry

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A target is where a registry redirected a blob to, kept so that the next range
// of it costs one request and not two.
type target struct {
	url     *url.URL
	expires time.Time
}

const (
	// targetLife is how long a target without a known end is used.
	targetLife = 5 * time.Minute
	// targetMargin is kept off a signature's end.
	targetMargin = 10 * time.Second
)

// targets keeps one target per endpoint, of one blob (REG-17).
type targets struct {
	mu sync.Mutex
	by map[*endpoint]target
}

// get returns the target to use now, or nil.
func (t *targets) get(e *endpoint, now time.Time) *url.URL {
	t.mu.Lock()
	defer t.mu.Unlock()
	tg, ok := t.by[e]
	if !ok {
		return nil
	}
	if !now.Before(tg.expires) {
		delete(t.by, e)
		return nil
	}
	return tg.url
}

// put remembers where the answer r came from, if that was elsewhere.
func (t *targets) put(e *endpoint, r *response, now time.Time) {
	if r.own {
		return
	}
	expires := now.Add(targetLife)
	if end, ok := signatureEnd(r.url.Query()); ok && end.Add(-targetMargin).Before(expires) {
		expires = end.Add(-targetMargin)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.by == nil {
		t.by = map[*endpoint]target{}
	}
	t.by[e] = target{r.url, expires}
}

// drop forgets a target, unless it was replaced meanwhile.
func (t *targets) drop(e *endpoint, u *url.URL) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.by[e].url == u {
		delete(t.by, e)
	}
}

// signatureEnd reads when a signed URL ends, in the forms of S3, Google,
// CloudFront and Azure. A URL that does not say gives false.
func signatureEnd(q url.Values) (time.Time, bool) {
	for _, p := range []string{"X-Amz-", "X-Goog-"} {
		if q.Get(p+"Date") == "" {
			continue
		}
		start, err := time.Parse("20060102T150405Z", q.Get(p+"Date"))
		secs, err2 := strconv.ParseUint(q.Get(p+"Expires"), 10, 31)
		if err == nil && err2 == nil {
			return start.Add(time.Duration(secs) * time.Second), true
		}
	}
	if secs, err := strconv.ParseInt(q.Get("Expires"), 10, 64); err == nil && secs > 0 && secs < 1<<40 {
		return time.Unix(secs, 0), true
	}
	if end, err := time.Parse(time.RFC3339, q.Get("se")); err == nil {
		return end, true
	}
	return time.Time{}, false
}

// isStale tells whether an answer of a kept target means that it is too old, or
// broken: then the registry is asked for another.
func isStale(status int) bool {
	return status >= 400 && status != http.StatusRequestedRangeNotSatisfiable
}

// isEncoded tells whether a body is not the blob's own bytes (REG-13).
func isEncoded(h http.Header) bool {
	enc := strings.TrimSpace(h.Get("Content-Encoding"))
	return enc != "" && !strings.EqualFold(enc, "identity")
}
