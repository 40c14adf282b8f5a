package registry

import (
	"math"
	"strconv"
	"strings"
)

// A contentRange is a parsed Content-Range header: bytes first to last, both
// included, of total. total is -1 when it is not told; first and last are -1 in
// the form of a 416 ("bytes */1234").
type contentRange struct{ first, last, total int64 }

// parseContentRange reads the header. Source: RFC 9110, section 14.4.
func parseContentRange(s string) (contentRange, bool) {
	bad := contentRange{-1, -1, -1}
	unit, rest, ok := strings.Cut(strings.TrimSpace(s), " ")
	if !ok || !strings.EqualFold(unit, "bytes") {
		return bad, false
	}
	span, size, ok := strings.Cut(strings.TrimSpace(rest), "/")
	if !ok {
		return bad, false
	}
	r := bad
	if size != "*" {
		if r.total, ok = parseOffset(size); !ok {
			return bad, false
		}
	}
	if span == "*" {
		return r, r.total >= 0
	}
	a, b, ok := strings.Cut(span, "-")
	if !ok {
		return bad, false
	}
	var okA, okB bool
	r.first, okA = parseOffset(a)
	r.last, okB = parseOffset(b)
	if !okA || !okB || r.last < r.first || r.total >= 0 && r.last >= r.total || r.last == math.MaxInt64 {
		return bad, false
	}
	return r, true
}

// parseOffset reads decimal digits only: no sign, no blank.
func parseOffset(s string) (int64, bool) {
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return -1, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return -1, false
	}
	return n, true
}
