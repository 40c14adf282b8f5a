package auth

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// ErrDenied means that there are no credentials, or the token server refused them.
var ErrDenied = errors.New("no valid credentials")

// An Answer is what a token server said, its body read within limits.
type Answer struct {
	Status int
	Body   []byte
}

// Options say who an Authorizer works for.
type Options struct {
	// Registry is the URL of the host whose challenges are answered.
	Registry *url.URL
	// Repository is the name that credentials are looked up for.
	Repository string
	// Lookup finds the credential; it is called when a challenge needs one.
	Lookup func(ctx context.Context, host, repository string) (Credential, error)
	// LookupHost is the name that credentials are stored under; default: the
	// host of Registry.
	LookupHost string
	// Do sends a request to a token server and reads at most 1 MiB of the
	// answer. Statuses that are worth a retry come back as errors.
	Do func(ctx context.Context, req *http.Request) (Answer, error)
	// Now is the clock; default: time.Now.
	Now func() time.Time
}

// An Authorizer makes Authorization headers for one registry host. Its methods
// may be called in parallel.
type Authorizer struct {
	opt Options

	mu        sync.Mutex
	challenge *Challenge        // the last one seen, nil before the first 401
	tokens    map[string]*token // by scope, as asked by the caller
	flights   map[string]*flight
}

// New makes an Authorizer that knows nothing yet: it is silent until the
// registry asks (REG-22).
func New(opt Options) *Authorizer {
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.LookupHost == "" {
		opt.LookupHost = opt.Registry.Host
	}
	return &Authorizer{opt: opt, tokens: map[string]*token{}, flights: map[string]*flight{}}
}

// Header gives the value of Authorization for a request that needs scope, ""
// when the registry has not asked for any. It may ask a token server.
func (a *Authorizer) Header(ctx context.Context, scope string) (string, error) {
	a.mu.Lock()
	ch := a.challenge
	if ch == nil {
		a.mu.Unlock()
		return "", nil
	}
	if t := a.tokens[scope]; t != nil && a.opt.Now().Before(t.renew) {
		a.mu.Unlock()
		return t.header, nil
	}
	a.mu.Unlock()
	return a.renew(ctx, *ch, scope)
}

// Challenged takes the challenges of a 401. used is the header that the refused
// request carried. It returns nil when the next Header is worth another try,
// and else why not: an error with ErrDenied, or that of the token server.
func (a *Authorizer) Challenged(ctx context.Context, lines []string, scope, used string) error {
	ch, ok := choose(ParseChallenges(lines))
	if !ok {
		return fmt.Errorf("%w: the registry asks for a scheme other than Bearer and Basic", ErrDenied)
	}
	a.mu.Lock()
	if t := a.tokens[scope]; t != nil && t.header == used {
		delete(a.tokens, scope)
	}
	a.challenge = &ch
	t := a.tokens[scope]
	a.mu.Unlock()
	if t != nil && t.header != used && a.opt.Now().Before(t.renew) {
		return nil // someone else renewed it meanwhile
	}
	h, err := a.renew(ctx, ch, scope)
	if err != nil {
		return err
	}
	if h == used && ch.Scheme == "basic" {
		return fmt.Errorf("%w: the registry refused the user name or password", ErrDenied)
	}
	return nil
}

// choose takes Bearer, else Basic, wherever they stand.
func choose(list []Challenge) (Challenge, bool) {
	for _, scheme := range []string{"bearer", "basic"} {
		for _, c := range list {
			if c.Scheme == scheme && (scheme == "basic" || c.Params["realm"] != "") {
				return c, true
			}
		}
	}
	return Challenge{}, false
}

// A flight is one fetch of a token that several wait for. It ends early when
// nobody waits any more.
type flight struct {
	done    chan struct{}
	cancel  context.CancelFunc
	waiters int // guarded by Authorizer.mu
	token   *token
	err     error
}

// renew joins or starts the flight for a scope.
func (a *Authorizer) renew(ctx context.Context, ch Challenge, scope string) (string, error) {
	a.mu.Lock()
	f := a.flights[scope]
	if f == nil {
		f = &flight{done: make(chan struct{})}
		fctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		f.cancel = cancel
		a.flights[scope] = f
		go a.fly(fctx, f, ch, scope)
	}
	f.waiters++
	a.mu.Unlock()

	var err error
	select {
	case <-f.done:
	case <-ctx.Done():
		err = ctx.Err()
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if f.waiters--; f.waiters == 0 {
		f.cancel()
		if a.flights[scope] == f {
			delete(a.flights, scope)
		}
	}
	switch {
	case err != nil:
		return "", err
	case f.err != nil:
		return "", f.err
	}
	return f.token.header, nil
}

func (a *Authorizer) fly(ctx context.Context, f *flight, ch Challenge, scope string) {
	t, err := a.fetch(ctx, ch, scope)
	a.mu.Lock()
	defer a.mu.Unlock()
	f.token, f.err = t, err
	if err == nil {
		a.tokens[scope] = t
	}
	if a.flights[scope] == f {
		delete(a.flights, scope)
	}
	close(f.done)
}

// fetch turns a challenge into a header.
func (a *Authorizer) fetch(ctx context.Context, ch Challenge, scope string) (*token, error) {
	cred, lookupErr := a.opt.Lookup(ctx, a.opt.LookupHost, a.opt.Repository)
	if ch.Scheme == "basic" {
		if lookupErr == nil && cred.Username == "" && cred.Password == "" {
			lookupErr = errors.New("none found for " + a.opt.LookupHost)
		}
		if lookupErr != nil {
			return nil, fmt.Errorf("%w: %w", ErrDenied, lookupErr)
		}
		return forever(basic(cred.Username, cred.Password), a.opt.Now()), nil
	}
	if cred.RegistryToken != "" {
		return forever("Bearer "+cred.RegistryToken, a.opt.Now()), nil
	}
	// Without credentials, or with a broken helper, the pull may still be public.
	t, err := a.fetchToken(ctx, ch, scope, cred)
	if errors.Is(err, ErrDenied) && lookupErr != nil {
		err = fmt.Errorf("%w (%w)", err, lookupErr)
	}
	return t, err
}

func basic(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}
