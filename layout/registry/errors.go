package registry

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
	"unicode"

	"github.com/shalefs/shalefs/layout"
	"github.com/shalefs/shalefs/layout/registry/internal/auth"
)

// statusError is an answer whose status is not the wanted one.
type statusError struct {
	host       string
	what       string // "manifest v1", "blob sha256:..."
	status     int
	code       string // of the OCI error, such as MANIFEST_UNKNOWN
	detail     string // one clean line from the body
	retryAfter time.Duration
	storage    bool // the answer came from the target of a redirect
}

func (e *statusError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s: ", e.host, e.what)
	switch {
	case e.storage:
		fmt.Fprintf(&b, "the storage behind the registry answers %d %s", e.status, http.StatusText(e.status))
	case e.status == http.StatusNotFound && e.code == "NAME_UNKNOWN":
		b.WriteString("the repository does not exist")
	case e.status == http.StatusNotFound:
		b.WriteString("not found")
	case e.status == http.StatusUnauthorized:
		b.WriteString("access denied: credentials are missing or refused (401)")
	case e.status == http.StatusForbidden:
		b.WriteString("access denied: not allowed, or it does not exist (403)")
	default:
		fmt.Fprintf(&b, "unexpected answer %d %s", e.status, http.StatusText(e.status))
	}
	if e.detail != "" {
		fmt.Fprintf(&b, ": %s", e.detail)
	}
	return b.String()
}

// Unwrap gives the sentinel of package layout.
func (e *statusError) Unwrap() error {
	switch {
	case e.status == http.StatusNotFound || e.status == http.StatusGone:
		return layout.ErrNotFound
	case e.storage:
		return layout.ErrUnavailable
	case e.status == http.StatusUnauthorized || e.status == http.StatusForbidden:
		return layout.ErrUnauthorized
	}
	return layout.ErrUnavailable
}

// A lieError is an answer that breaks HTTP or contradicts the descriptor. It
// may be the work of a proxy in a bad minute, so it is tried again, a few times.
type lieError struct {
	host, what, how string
	sentinel        error
}

func (e *lieError) Error() string { return fmt.Sprintf("%s: %s: %s", e.host, e.what, e.how) }
func (e *lieError) Unwrap() error { return e.sentinel }

// A netError is a request without a (complete) answer.
type netError struct {
	host, what string
	err        error
}

func (e *netError) Error() string { return fmt.Sprintf("%s: %s: %v", e.host, e.what, e.err) }

// Unwrap gives the sentinel and the cause, which may be a context's.
func (e *netError) Unwrap() []error { return []error{layout.ErrUnavailable, e.err} }

var errStall = errors.New("no byte for too long")

// class says what to do about an error.
type class int

const (
	final     class = iota // it will not get better
	retryable              // try again, within the budget
	lie                    // try again, but not often
)

func classify(err error) class {
	var st *statusError
	var li *lieError
	var ne *netError
	var sp *spoolError
	var cert *tls.CertificateVerificationError
	switch {
	case errors.As(err, &sp), errors.As(err, &cert):
		return final
	case errors.As(err, &li):
		return lie
	case errors.As(err, &st):
		switch st.status {
		case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusInternalServerError,
			http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
			return retryable
		}
		if st.storage {
			return lie
		}
		return final
	case errors.Is(err, auth.ErrDenied), errors.Is(err, auth.ErrRealm):
		return final
	case errors.As(err, &ne) && !errors.Is(err, errRefused) && !errors.Is(err, context.Canceled):
		return retryable
	}
	return final
}

func retryAfterOf(err error) time.Duration {
	var st *statusError
	if errors.As(err, &st) {
		return st.retryAfter
	}
	return 0
}

// maxErrorBody is how much of an error's body is read (REG-29).
const maxErrorBody = 64 << 10

// newStatusError reads and closes the answer's body. Of storage nothing is
// shown: its messages quote the signature.
func newStatusError(r *response, what string) error {
	e := &statusError{
		host: r.url.Host, what: what, status: r.StatusCode, storage: !r.own,
		retryAfter: parseRetryAfter(r.Header.Get("Retry-After"), time.Now()),
	}
	b, _ := io.ReadAll(io.LimitReader(r.Body, maxErrorBody)) // a cut body still says something
	_ = r.Body.Close()                                       // only read from
	if r.own {
		e.code, e.detail = errorLine(r.Header.Get("Content-Type"), b)
		if _, secret, ok := strings.Cut(r.authorization, " "); ok && secret != "" {
			e.detail = strings.ReplaceAll(e.detail, secret, "***")
		}
	}
	return e
}

// errorLine takes code and message from an OCI error document. Any other body
// gives its first line if it is plain text, else nothing.
func errorLine(contentType string, body []byte) (code, line string) {
	var doc struct {
		Errors []struct {
			Code    string `json:"code"`
			Message string `json:"message"`
		} `json:"errors"`
	}
	if err := json.Unmarshal(body, &doc); err == nil && len(doc.Errors) > 0 {
		e := doc.Errors[0]
		return clean(e.Code, 64), clean(strings.TrimSpace(e.Code+" "+e.Message), 200)
	}
	if strings.HasPrefix(contentType, "text/plain") {
		first, _, _ := strings.Cut(strings.TrimSpace(string(body)), "\n")
		return "", clean(first, 200)
	}
	return "", ""
}

// clean makes a text from outside fit for a terminal: no control characters, at
// most n bytes (ERR-11).
func clean(s string, n int) string {
	if len(s) > n {
		s = s[:n]
	}
	s = strings.ToValidUTF8(s, "?")
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}
