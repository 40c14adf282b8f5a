package registrytest

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
)

// Options say how a Proxy misbehaves. The zero value is an honest proxy.
type Options struct {
	Rules  []*Rule
	Tokens *Tokens
	// Signed sends GETs of blobs to signed URLs on another port.
	Signed bool
	// SignedUses is how often one signed URL works; 0: any number.
	SignedUses int
}

// A Seen is a request that came to the proxy.
type Seen struct {
	Where  Where
	Method string
	Path   string // with the query
	Header http.Header
	Status int // 0 while it runs, or when the connection was cut
}

// A Proxy stands before a registry. Rules may be changed with SetRules while it runs.
type Proxy struct {
	URL *url.URL

	upstream       *url.URL
	opt            Options
	storage, token *url.URL
	client         *http.Client

	mu     sync.Mutex
	rules  []*Rule
	seen   []*Seen
	signed map[string]int // uses of a signature
}

// NewProxy starts a proxy in front of a registry, until the test ends.
func NewProxy(tb testing.TB, r *Registry, opt Options) *Proxy {
	tb.Helper()
	p := &Proxy{upstream: r.URL, opt: opt, rules: opt.Rules, signed: map[string]int{}}
	transport := &http.Transport{DisableCompression: true}
	p.client = &http.Client{Transport: transport}
	tb.Cleanup(transport.CloseIdleConnections)
	p.URL = serve(tb, p.handler(Front)).URL
	p.storage = serve(tb, p.handler(Storage)).URL
	p.token = serve(tb, p.handler(Token)).URL
	return p
}

// Host is the host:port that clients use.
func (p *Proxy) Host() string { return p.URL.Host }

// StorageHost is the host:port of signed URLs.
func (p *Proxy) StorageHost() string { return p.storage.Host }

// TokenHost is the host:port of the token server.
func (p *Proxy) TokenHost() string { return p.token.Host }

// SetRules replaces the rules; their counts start anew.
func (p *Proxy) SetRules(rules ...*Rule) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rules = rules
}

// Seen lists the requests so far that match, in their order. nil matches all.
func (p *Proxy) Seen(match func(Seen) bool) []Seen {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []Seen
	for _, s := range p.seen {
		if match == nil || match(*s) {
			out = append(out, *s)
		}
	}
	return out
}

// Forget empties the list of requests.
func (p *Proxy) Forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen = nil
}

func (p *Proxy) handler(where Where) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		s := &Seen{Where: where, Method: r.Method, Path: r.URL.RequestURI(), Header: r.Header.Clone()}
		fault := p.note(s, r)
		rec := &statusRecorder{ResponseWriter: w, proxy: p, seen: s}
		ask := func(r *http.Request) *Answer { return p.ask(r, body) }
		if fault != nil {
			fault(rec, r, ask)
			return
		}
		switch where {
		case Token:
			if p.opt.Tokens == nil {
				rec.WriteHeader(http.StatusNotFound)
				return
			}
			p.opt.Tokens.serve(rec, r)
		case Storage:
			p.serveStorage(rec, r, ask)
		default:
			p.serveFront(rec, r, ask)
		}
	})
}

// note records a request and finds its fault.
func (p *Proxy) note(s *Seen, r *http.Request) Fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen = append(p.seen, s)
	var fault Fault
	for _, rule := range p.rules {
		if rule.hit(s.Where, r) && fault == nil {
			fault = rule.Fault
		}
	}
	return fault
}

func (p *Proxy) serveFront(w http.ResponseWriter, r *http.Request, ask func(*http.Request) *Answer) {
	if t := p.opt.Tokens; t != nil && !t.allowed(r) {
		t.refuse(w, r, p.token.String()+"/token")
		return
	}
	if p.opt.Signed && Blobs(Front)(Front, r) {
		w.Header().Set("Location", p.sign(r))
		w.WriteHeader(http.StatusTemporaryRedirect)
		return
	}
	ask(r).send(w)
}

func (p *Proxy) sign(r *http.Request) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	sig := fmt.Sprintf("secret-signature-%d", len(p.signed)+1)
	p.signed[sig] = 0
	return p.storage.String() + r.URL.Path + "?sig=" + sig
}

// serveStorage refuses what real storage refuses: signatures that are used up,
// and headers that were not meant for it.
func (p *Proxy) serveStorage(w http.ResponseWriter, r *http.Request, ask func(*http.Request) *Answer) {
	sig := r.URL.Query().Get("sig")
	p.mu.Lock()
	uses, ok := p.signed[sig]
	p.signed[sig] = uses + 1
	p.mu.Unlock()
	if r.Header.Get("Authorization") != "" || r.Header.Get("Referer") != "" || r.Header.Get("Cookie") != "" {
		http.Error(w, "<Error><Code>InvalidArgument</Code></Error>", http.StatusBadRequest)
		return
	}
	if !ok || p.opt.SignedUses > 0 && uses >= p.opt.SignedUses {
		http.Error(w, "<Error><Code>AccessDenied</Code><Message>Request has expired</Message><Sig>"+sig+"</Sig></Error>", http.StatusForbidden)
		return
	}
	ask(r).send(w)
}

// ask puts a request to the registry.
func (p *Proxy) ask(r *http.Request, body []byte) *Answer {
	u := *p.upstream
	q := r.URL.Query()
	q.Del("sig")
	u.Path, u.RawQuery = r.URL.Path, q.Encode()
	req, err := http.NewRequestWithContext(r.Context(), r.Method, u.String(), bytes.NewReader(body))
	if err != nil {
		return badGateway(err)
	}
	copyHeader(req.Header, r.Header)
	req.Header.Del("Authorization")
	resp, err := p.client.Do(req)
	if err != nil {
		return badGateway(err)
	}
	b, err := io.ReadAll(resp.Body)
	if cerr := resp.Body.Close(); err != nil || cerr != nil {
		return badGateway(err)
	}
	h := resp.Header.Clone()
	if l := h.Get("Location"); l != "" { // uploads: back to us
		h.Set("Location", strings.Replace(l, p.upstream.String(), p.URL.String(), 1))
	}
	return &Answer{Status: resp.StatusCode, Header: h, Body: b}
}

func badGateway(err error) *Answer {
	return &Answer{Status: http.StatusBadGateway, Header: http.Header{}, Body: []byte(fmt.Sprint(err))}
}

// statusRecorder notes the status of an answer.
type statusRecorder struct {
	http.ResponseWriter
	proxy *Proxy
	seen  *Seen
}

func (w *statusRecorder) WriteHeader(status int) {
	w.proxy.mu.Lock()
	w.seen.Status = status
	w.proxy.mu.Unlock()
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController hijack and flush.
func (w *statusRecorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }
