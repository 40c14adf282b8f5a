package registry

import (
	"log/slog"
	"os"
	"time"
)

// Options adjust a Store. The zero value works: https, credentials from the
// usual places, no mirrors.
type Options struct {
	// PlainHTTP speaks http with the registry. Loopback hosts always do.
	PlainHTTP bool
	// Insecure does not check the certificates of the registry.
	Insecure bool
	// AuthFile is the only file to take credentials from. Default: the places
	// that docker and the containers tools use.
	AuthFile string
	// HostsDir holds mirrors: HOST/hosts.toml as containerd reads them, usually
	// /etc/containerd/certs.d. Default: no mirrors.
	HostsDir string
	// AllowPrivateURLs lets a descriptor's "urls" name loopback and private
	// addresses (REG-36).
	AllowPrivateURLs bool

	// Deadline is how long a read goes on without a single new byte, over all
	// its retries. Default: 60 s.
	Deadline time.Duration
	// Stall is how long one request may give no byte. Default: 20 s.
	Stall time.Duration
	// Backoff is the first pause between tries; it doubles up to 5 s, and a
	// random half of it is left out. Default: 200 ms.
	Backoff time.Duration
	// MaxPerHost limits the requests in flight to one host. Default: 32.
	MaxPerHost int
	// MaxSkip is how many bytes of a whole blob are read and thrown away to get
	// to a range, where a server ignores ranges. Above it, the whole blob is
	// fetched once into a temporary file. Default: 1 MiB.
	MaxSkip int64
	// TempDir is where such files are made. Default: os.TempDir().
	TempDir string

	// UserAgent names the client. Default: "shalefs".
	UserAgent string
	// Logger gets one line for each fallback, mirror and warning. Default: silence.
	Logger *slog.Logger
	// OnRequest is called once for each HTTP request, when its body is done.
	// It may be called in parallel, and must be quick.
	OnRequest func(RequestInfo)
	// Getenv reads the environment. Default: os.Getenv.
	Getenv func(string) string
}

// A Kind says what a request is for.
type Kind string

// The kinds of requests.
const (
	KindManifest  Kind = "manifest"
	KindBlob      Kind = "blob"
	KindReferrers Kind = "referrers"
	KindToken     Kind = "token"
	KindPush      Kind = "push"
)

// RequestInfo describes one HTTP request that ended.
type RequestInfo struct {
	Kind   Kind
	Method string
	Host   string // host[:port] that was asked
	Status int    // 0 if there was no answer
	Err    error  // why there was no answer, or why its body ended early
	// Redirected: the request went to another host than the registry's own.
	Redirected bool
	// Retry: an earlier request for the same thing failed.
	Retry bool
	// Fallback: the request fetches a whole blob since the server ignores ranges.
	Fallback bool
	// BytesIn counts the bytes of the body that were read.
	BytesIn int64
	// Duration is the time from sending to the end of the body.
	Duration time.Duration
}

func (o Options) withDefaults() Options {
	setDuration := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	setDuration(&o.Deadline, time.Minute)
	setDuration(&o.Stall, 20*time.Second)
	setDuration(&o.Backoff, 200*time.Millisecond)
	if o.MaxPerHost <= 0 {
		o.MaxPerHost = 32
	}
	if o.MaxSkip <= 0 {
		o.MaxSkip = 1 << 20
	}
	if o.TempDir == "" {
		o.TempDir = os.TempDir()
	}
	if o.UserAgent == "" {
		o.UserAgent = "shalefs"
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.OnRequest == nil {
		o.OnRequest = func(RequestInfo) {}
	}
	if o.Getenv == nil {
		o.Getenv = os.Getenv
	}
	return o
}
