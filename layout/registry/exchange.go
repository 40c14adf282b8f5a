package registry

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/shalefs/shalefs/layout"
)

// A response is an answer whose body watches for stalls, counts, and reports.
type response struct {
	*http.Response
	url           *url.URL
	own           bool   // it came from the endpoint's own host
	authorization string // what the request carried
}

type exchangeCall struct {
	req      *http.Request
	kind     Kind
	what     string
	own      bool
	retry    bool
	fallback bool
}

// exchange sends one request over the wire and waits for the header. It holds
// one of the host's slots until the body is closed.
func (s *Store) exchange(e *endpoint, c exchangeCall) (*response, error) {
	parent := c.req.Context()
	host := c.req.URL.Host
	slot := s.slot(host)
	select {
	case slot <- struct{}{}:
	case <-parent.Done():
		return nil, parent.Err()
	}
	ctx, cancel := context.WithCancelCause(parent)
	w := &watched{
		store: s, parent: parent, ctx: ctx, cancel: cancel, slot: slot, host: host, what: c.what,
		start: time.Now(),
		info: RequestInfo{
			Kind: c.kind, Method: c.req.Method, Host: host,
			Redirected: !c.own, Retry: c.retry, Fallback: c.fallback,
		},
	}
	req := c.req.WithContext(ctx)
	req.Header.Set("User-Agent", s.opt.UserAgent)
	rt := e.other
	if c.own {
		rt = e.own
	}
	if layout.IsFreshConnection(parent) {
		rt = fresh(rt)
	}
	// An upload makes no sound while it runs: give it time for its size.
	timer := w.watch(time.Duration(max(req.ContentLength, 0)) * time.Second / uploadFloor)
	resp, err := rt.RoundTrip(req) //nolint:bodyclose // watched closes it
	timer.Stop()
	if err != nil {
		err = w.explain(err)
		w.finish(err)
		return nil, err
	}
	w.info.Status = resp.StatusCode
	w.body = resp.Body
	resp.Body = w
	s.noteWarnings(host, resp.Header.Values("Warning"))
	return &response{Response: resp, url: c.req.URL, own: c.own, authorization: c.req.Header.Get("Authorization")}, nil
}

// fresh is a transport like rt that makes a connection of its own: what came over the last one
// was damaged.
func fresh(rt *http.Transport) *http.Transport {
	rt = rt.Clone()
	rt.DisableKeepAlives = true
	return rt
}

// uploadFloor is the slowest upload that is not called a stall, in bytes a second.
const uploadFloor = 32 << 10

// slot gives the semaphore of a host.
func (s *Store) slot(host string) chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.slots[host]
	if c == nil {
		c = make(chan struct{}, s.opt.MaxPerHost)
		s.slots[host] = c
	}
	return c
}

// watched is the body of a response. Read is for one goroutine; Close may be
// called several times.
type watched struct {
	store  *Store
	parent context.Context // the caller's: its end is the caller's wish, not a failure
	ctx    context.Context // of this request
	cancel context.CancelCauseFunc
	slot   chan struct{}
	body   io.ReadCloser
	host   string
	what   string
	start  time.Time
	info   RequestInfo
	once   sync.Once
}

// watch starts the clock of a stall; extra is added to it.
func (w *watched) watch(extra time.Duration) *time.Timer {
	return time.AfterFunc(w.store.opt.Stall+extra, func() { w.cancel(errStall) })
}

func (w *watched) Read(p []byte) (int, error) {
	t := w.watch(0)
	n, err := w.body.Read(p)
	t.Stop()
	w.info.BytesIn += int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		err = w.explain(err)
		if w.info.Err == nil {
			w.info.Err = err
		}
	}
	return n, err
}

// explain turns an error of net/http into ours. It never holds a URL: the
// transport, unlike http.Client, does not put one in.
func (w *watched) explain(err error) error {
	if perr := w.parent.Err(); perr != nil {
		return perr
	}
	if cause := context.Cause(w.ctx); errors.Is(cause, errStall) {
		err = errStall
	}
	if errors.Is(err, context.Canceled) {
		err = errors.New("the connection was given up") // not the caller's cancel
	}
	return &netError{host: w.host, what: w.what, err: err}
}

// Close ends the request; what was not read is not waited for.
func (w *watched) Close() error {
	w.finish(nil)
	return nil
}

func (w *watched) finish(err error) {
	w.once.Do(func() {
		w.cancel(nil)
		if w.body != nil {
			_ = w.body.Close() // an error here says nothing about the bytes we have
		}
		<-w.slot
		if w.info.Err == nil {
			w.info.Err = err
		}
		w.info.Duration = time.Since(w.start)
		w.store.opt.OnRequest(w.info)
	})
}

// drain reads the short rest of a body that nobody wants, so that the
// connection can be used again, and closes it.
func drain(body io.ReadCloser) {
	_, _ = io.CopyN(io.Discard, body, 16<<10) // best effort
	closeBody(body)
}

// closeBody closes a body that was only read from.
func closeBody(body io.Closer) { _ = body.Close() }
