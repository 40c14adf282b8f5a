package registrytest

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
)

// An Answer is what the registry behind the proxy says, its body whole.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// send writes the answer as it is, with a length.
func (a *Answer) send(w http.ResponseWriter) {
	copyHeader(w.Header(), a.Header)
	if len(a.Body) > 0 || a.Header.Get("Content-Length") == "" { // of a HEAD it stands for a body that is not there
		w.Header().Set("Content-Length", strconv.Itoa(len(a.Body)))
	}
	w.WriteHeader(a.Status)
	_, _ = w.Write(a.Body) // a client that went away is its own affair
}

func copyHeader(to, from http.Header) {
	for k, v := range from {
		to[k] = v
	}
}

// A Fault answers a request wrongly. ask gives the right answer to it, or to a
// changed copy.
type Fault func(w http.ResponseWriter, r *http.Request, ask func(*http.Request) *Answer)

// Edit changes the right answer and sends it.
func Edit(change func(*Answer)) Fault {
	return func(w http.ResponseWriter, r *http.Request, ask func(*http.Request) *Answer) {
		a := ask(r)
		change(a)
		a.send(w)
	}
}

// IgnoreRange answers 200 with the whole blob.
func IgnoreRange() Fault {
	return func(w http.ResponseWriter, r *http.Request, ask func(*http.Request) *Answer) {
		r = r.Clone(r.Context())
		r.Header.Del("Range")
		ask(r).send(w)
	}
}

// ContentRange puts another Content-Range on the answer; "" takes it away.
func ContentRange(value string) Fault {
	return Edit(func(a *Answer) {
		a.Header.Del("Content-Range")
		if value != "" {
			a.Header.Set("Content-Range", value)
		}
	})
}

// Status answers without the registry.
func Status(code int, header http.Header, body string) Fault {
	return func(w http.ResponseWriter, _ *http.Request, _ func(*http.Request) *Answer) {
		(&Answer{Status: code, Header: header, Body: []byte(body)}).send(w)
	}
}

// Redirect sends the client elsewhere.
func Redirect(code int, location string) Fault {
	return Status(code, http.Header{"Location": {location}}, "")
}

// Corrupt flips a bit of each body, and tells nobody.
func Corrupt() Fault {
	return Edit(func(a *Answer) {
		if len(a.Body) > 0 {
			a.Body[len(a.Body)/2] ^= 1
		}
	})
}

// Gzip compresses the body, as a helpful proxy may.
func Gzip() Fault {
	return Edit(func(a *Answer) {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		_, err := z.Write(a.Body)
		if cerr := z.Close(); err != nil || cerr != nil {
			panic("gzip into memory cannot fail")
		}
		a.Body = b.Bytes()
		a.Header.Set("Content-Encoding", "gzip")
	})
}

// Short promises the whole body, sends n bytes, and closes the connection.
func Short(n int) Fault { return cut(n, false) }

// Reset does as Short, with a TCP reset in place of an orderly end.
func Reset(n int) Fault { return cut(n, true) }

// Hangup closes the connection without an answer.
func Hangup() Fault {
	return func(w http.ResponseWriter, _ *http.Request, _ func(*http.Request) *Answer) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err) // the proxy serves HTTP/1.1
		}
		closeConn(conn)
	}
}

func cut(n int, reset bool) Fault {
	return func(w http.ResponseWriter, r *http.Request, ask func(*http.Request) *Answer) {
		a := ask(r)
		conn, out, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err) // the proxy serves HTTP/1.1
		}
		defer closeConn(conn)
		_, _ = fmt.Fprintf(out, "HTTP/1.1 %d %s\r\n", a.Status, http.StatusText(a.Status))
		a.Header.Set("Content-Length", strconv.Itoa(len(a.Body)))
		_ = a.Header.Write(out) // errors below mean that the client went first
		_, _ = out.WriteString("\r\n")
		_, _ = out.Write(a.Body[:min(n, len(a.Body))])
		_ = out.Flush()
		if tcp, ok := conn.(*net.TCPConn); ok && reset {
			_ = tcp.SetLinger(0)
		}
	}
}

func closeConn(c net.Conn) { _ = c.Close() }

// Short206 sends n bytes less than Content-Range promises, in an answer that is
// complete as far as HTTP goes. With chunked there is no Content-Length either.
func Short206(n int, chunked bool) Fault {
	return func(w http.ResponseWriter, r *http.Request, ask func(*http.Request) *Answer) {
		a := ask(r)
		a.Body = a.Body[:max(0, len(a.Body)-n)]
		a.Header.Del("Content-Length")
		if !chunked {
			a.send(w)
			return
		}
		copyHeader(w.Header(), a.Header)
		w.Header().Del("Content-Length")
		w.WriteHeader(a.Status)
		_ = http.NewResponseController(w).Flush()
		_, _ = w.Write(a.Body)
	}
}

// Stall sends n bytes, never all, and then nothing until the client gives up.
func Stall(n int) Fault {
	return func(w http.ResponseWriter, r *http.Request, ask func(*http.Request) *Answer) {
		a := ask(r)
		copyHeader(w.Header(), a.Header)
		w.Header().Set("Content-Length", strconv.Itoa(len(a.Body)))
		w.WriteHeader(a.Status)
		_, _ = w.Write(a.Body[:min(n, max(0, len(a.Body)-1))])
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	}
}

// A Match chooses requests.
type Match func(where Where, r *http.Request) bool

// Where tells which port a request came to.
type Where string

// The ports of a Proxy.
const (
	Front   Where = "front"   // the registry as its clients see it
	Storage Where = "storage" // what signed URLs point to
	Token   Where = "token"   // the token server
)

// Blobs matches GETs of blobs that come to the given port.
func Blobs(at Where) Match {
	return func(where Where, r *http.Request) bool {
		return where == at && r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/")
	}
}

// Manifests matches GETs of manifests.
func Manifests(where Where, r *http.Request) bool {
	return where == Front && r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/manifests/")
}

// Any matches all that comes to a port.
func Any(at Where) Match { return func(where Where, _ *http.Request) bool { return where == at } }

// A Rule applies a fault to some of the requests that match.
type Rule struct {
	Match Match
	From  int // the first one, counted from 1; 0 is 1
	Count int // how many; 0 is one, negative is all that follow
	Fault Fault

	seen int
}

// hit counts a request and tells whether it is one to break.
func (r *Rule) hit(where Where, req *http.Request) bool {
	if !r.Match(where, req) {
		return false
	}
	r.seen++
	from, count := max(1, r.From), r.Count
	if count == 0 {
		count = 1
	}
	return r.seen >= from && (count < 0 || r.seen < from+count)
}
