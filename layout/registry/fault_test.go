package registry_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/shalefs/shalefs/layout"
	"github.com/shalefs/shalefs/layout/registry"
	rt "github.com/shalefs/shalefs/layout/registry/registrytest"
)

// TestEveryFaultAtEveryRequest puts each fault on request 1, 2, 3 of a read of
// several ranges, over a plain registry and one that redirects: the bytes are
// right each time, and nothing secret is said.
func TestEveryFaultAtEveryRequest(t *testing.T) {
	faults := map[string]rt.Fault{
		"REG-11 200 for a range":       rt.IgnoreRange(),
		"REG-9 wrong start":            rt.ContentRange("bytes 0-9/5000"),
		"REG-9 wrong total":            rt.ContentRange("bytes 1000-1999/5001"),
		"REG-9 no Content-Range":       rt.ContentRange(""),
		"REG-9 garbage":                rt.ContentRange("bytes=1-2"),
		"REG-14 short body":            rt.Short(300),
		"REG-14 short part":            rt.Short206(10, false),
		"REG-14 short part, no length": rt.Short206(10, true),
		"REG-14 reset":                 rt.Reset(300),
		"REG-14 reset before the body": rt.Reset(0),
		"REG-14 no answer":             rt.Hangup(),
		"REG-14 stall":                 rt.Stall(300),
		"REG-13 gzip":                  rt.Gzip(),
		"REG-17 403 expired":           rt.Status(403, nil, "<Error><Message>Request has expired: secret</Message></Error>"),
		"REG-17 400":                   rt.Status(400, nil, "secret"),
		"REG-17 404":                   rt.Status(404, nil, ""),
		"REG-12 416":                   rt.Status(416, http.Header{"Content-Range": {"bytes */5000"}}, ""),
		"REG-27 429 with Retry-After":  rt.Status(429, http.Header{"Retry-After": {"0"}}, ""),
		"REG-27 429 until a date":      rt.Status(429, http.Header{"Retry-After": {time.Now().UTC().Format(http.TimeFormat)}}, ""),
		"REG-27 500":                   rt.Status(500, nil, "oops"),
		"REG-27 502":                   rt.Status(502, nil, ""),
		"REG-27 503":                   rt.Status(503, nil, ""),
		"REG-27 504":                   rt.Status(504, nil, ""),
		"REG-27 408":                   rt.Status(408, nil, ""),
		"REG-20 401":                   rt.Status(401, http.Header{"Www-Authenticate": {`Basic realm="x"`}}, ""),
		"REG-15 redirect to nowhere":   rt.Redirect(307, ""),
		"REG-16 redirect to a file":    rt.Redirect(307, "file:///etc/passwd"),
	}
	// What a registry itself says with these is final; behind a redirect it is not.
	final := []string{"REG-17", "REG-20"}
	for name, fault := range faults {
		for _, where := range []rt.Where{rt.Front, rt.Storage} {
			if where == rt.Front && hasPrefix(name, final) {
				continue
			}
			t.Run(name+" at "+string(where), func(t *testing.T) {
				for from := 1; from <= 3; from++ {
					rule := &rt.Rule{Match: rt.Blobs(where), From: from, Fault: fault}
					b := newBench(t, 5000, rt.Options{Signed: where == rt.Storage, Rules: []*rt.Rule{rule}}, func(o *registry.Options) {
						if strings.Contains(name, "stall") {
							o.Stall = 50 * time.Millisecond
						}
					})
					b.check(t, 1000, 1000)
					b.checkStream(t, 2500, 1500)
					b.check(t, 4999, 1)
					b.check(t, 0, 5000)
					b.noSecrets(t, nil)
				}
			})
		}
	}
}

func hasPrefix(s string, list []string) bool {
	for _, p := range list {
		if strings.HasPrefix(s, p) {
			return true
		}
	}
	return false
}

// TestREG14CutAtEveryOffset resets the connection at each byte of a small blob.
func TestREG14CutAtEveryOffset(t *testing.T) {
	const size = 40
	b := newBench(t, size, rt.Options{}, nil)
	for n := 0; n <= size; n++ {
		b.proxy.SetRules(&rt.Rule{Match: rt.Blobs(rt.Front), Fault: rt.Reset(n)})
		b.checkStream(t, 0, size)
		b.proxy.SetRules(&rt.Rule{Match: rt.Blobs(rt.Front), Fault: rt.Short(n)})
		b.checkStream(t, 0, size)
	}
}

// TestREG14ResumesAtTheByteReached looks at what is asked for after a cut.
func TestREG14ResumesAtTheByteReached(t *testing.T) {
	b := newBench(t, 5000, rt.Options{Rules: []*rt.Rule{{Match: rt.Blobs(rt.Front), Fault: rt.Short(700)}}}, nil)
	b.checkStream(t, 100, 2000)
	var ranges []string
	for _, s := range b.proxy.Seen(nil) {
		ranges = append(ranges, s.Header.Get("Range"))
	}
	want := "bytes=100-2099 bytes=800-2099"
	if got := strings.Join(ranges, " "); got != want {
		t.Errorf("ranges: got %q, want %q", got, want)
	}
	if n := b.seen.count(func(i registry.RequestInfo) bool { return i.Retry }); n != 1 {
		t.Errorf("%d requests are told as retries, want 1", n)
	}
}

// TestAlwaysFails checks that a fault that does not go away ends in a clean
// error of the right kind, with the digest or host and no secret, and that a
// read works when the fault is gone (ERR-4).
func TestAlwaysFails(t *testing.T) {
	tests := []struct {
		name   string
		fault  rt.Fault
		signed bool
		is     error
		text   string
	}{
		{"REG-9 wrong Content-Range", rt.ContentRange("bytes 0-9/5000"), false, layout.ErrUnavailable, "asked for bytes 1000-1999, got 0-9"},
		{"REG-9 another size", rt.ContentRange("bytes 1000-1999/6000"), false, layout.ErrChanged, "the server has 6000 bytes, the descriptor says 5000"},
		{"REG-12 416", rt.Status(416, http.Header{"Content-Range": {"bytes */5000"}}, ""), false, layout.ErrUnavailable, "refuses the range 1000-1999 (416)"},
		{"REG-12 416 of a shorter blob", rt.Status(416, http.Header{"Content-Range": {"bytes */10"}}, ""), false, layout.ErrChanged, "the server has 10 bytes"},
		{"REG-13 gzip", rt.Gzip(), false, layout.ErrUnavailable, "compressed on the way"},
		{"REG-27 500", rt.Status(500, nil, ""), false, layout.ErrUnavailable, "no progress for 200ms"},
		{"REG-27 Retry-After beyond the deadline", rt.Status(429, http.Header{"Retry-After": {"3600"}}, ""), false, layout.ErrUnavailable, "asked to wait 1h0m0s"},
		{"REG-14 stall", rt.Stall(0), false, layout.ErrUnavailable, "no byte for too long"},
		{"REG-14 reset", rt.Reset(0), false, layout.ErrUnavailable, "blob sha256:"},
		{"REG-27 404", rt.Status(404, nil, ""), false, layout.ErrNotFound, "not found"},
		{"REG-28 403", rt.Status(403, nil, ""), false, layout.ErrUnauthorized, "access denied"},
		{"REG-27 400", rt.Status(400, nil, "what?"), false, layout.ErrUnavailable, "unexpected answer 400"},
		{"REG-16 metadata service", rt.Redirect(307, "http://169.254.169.254/secret"), false, layout.ErrUnavailable, "refused address"},
		{"REG-17 403 of storage", rt.Status(403, nil, "<Error>secret</Error>"), true, layout.ErrUnavailable, "storage behind the registry answers 403"},
		{"REG-19 unknown scheme", rt.Status(401, http.Header{"Www-Authenticate": {"Negotiate abc=="}}, ""), false, layout.ErrUnauthorized, "a scheme other than Bearer and Basic"},
		{"REG-19 no credentials", rt.Status(401, http.Header{"Www-Authenticate": {`Basic realm="x"`}}, ""), false, layout.ErrUnauthorized, "no valid credentials"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			where := rt.Front
			if tt.signed {
				where = rt.Storage
			}
			b := newBench(t, 5000, rt.Options{Signed: tt.signed}, func(o *registry.Options) {
				o.Deadline = 200 * time.Millisecond
				o.Stall = 50 * time.Millisecond
			})
			b.proxy.SetRules(&rt.Rule{Match: rt.Blobs(where), Count: -1, Fault: tt.fault})
			p := make([]byte, 1000)
			n, err := b.blob.ReadAt(context.Background(), p, 1000)
			if n != 0 || !errors.Is(err, tt.is) || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("got %d bytes, error %v; want %v with %q", n, err, tt.is, tt.text)
			}
			b.noSecrets(t, err)
			if got := b.blobRequests(where); got > 60 {
				t.Errorf("%d requests for one read", got)
			}
		})
	}
}

// TestERR4ReadsAgainWhenTheRegistryIsBack: an error does not stick to a blob.
func TestERR4ReadsAgainWhenTheRegistryIsBack(t *testing.T) {
	b := newBench(t, 100, rt.Options{}, func(o *registry.Options) { o.Deadline = 100 * time.Millisecond })
	b.proxy.SetRules(&rt.Rule{Match: rt.Any(rt.Front), Count: -1, Fault: rt.Status(503, nil, "")})
	if _, err := b.blob.ReadAt(context.Background(), make([]byte, 10), 0); !errors.Is(err, layout.ErrUnavailable) {
		t.Fatalf("registry away: %v", err)
	}
	b.proxy.SetRules()
	p := make([]byte, 100)
	if _, err := b.blob.ReadAt(context.Background(), p, 0); err != nil || string(p) != string(b.content) {
		t.Errorf("registry back: %v, or wrong bytes", err)
	}
}

// TestREG27NoRetryOfFinalAnswers counts: one request, one answer.
func TestREG27NoRetryOfFinalAnswers(t *testing.T) {
	for _, status := range []int{400, 403, 404} {
		b := newBench(t, 100, rt.Options{Rules: []*rt.Rule{{Match: rt.Blobs(rt.Front), Count: -1, Fault: rt.Status(status, nil, "")}}}, nil)
		if _, err := b.blob.ReadAt(context.Background(), make([]byte, 10), 0); err == nil {
			t.Errorf("%d: no error", status)
		}
		if n := b.blobRequests(rt.Front); n != 1 {
			t.Errorf("%d: %d requests, want 1", status, n)
		}
	}
}

// TestREG27RetryAfterIsObeyed: nothing is asked before the time is over.
func TestREG27RetryAfterIsObeyed(t *testing.T) {
	b := newBench(t, 100, rt.Options{Rules: []*rt.Rule{{Match: rt.Blobs(rt.Front), Fault: rt.Status(429, http.Header{"Retry-After": {"1"}}, "")}}}, nil)
	start := time.Now()
	b.check(t, 0, 100)
	if d := time.Since(start); d < time.Second {
		t.Errorf("asked again after %s", d)
	}
}

// TestInterrupt: a cancelled context ends a read that hangs, at once.
func TestInterrupt(t *testing.T) {
	b := newBench(t, 5000, rt.Options{Rules: []*rt.Rule{{Match: rt.Blobs(rt.Front), Count: -1, Fault: rt.Stall(10)}}}, nil)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		_, err := b.stream(ctx, 0, 5000)
		done <- err
	}()
	for b.blobRequests(rt.Front) == 0 {
		time.Sleep(time.Millisecond)
	}
	cancel()
	select {
	case err := <-done:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("the read goes on")
	}
}
