package registry

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/shalefs/shalefs/layout"
)

func TestREG9ParseContentRange(t *testing.T) {
	bad := contentRange{-1, -1, -1}
	tests := []struct {
		in   string
		want contentRange
		ok   bool
	}{
		{"bytes 0-0/1", contentRange{0, 0, 1}, true},
		{"bytes 10-19/100", contentRange{10, 19, 100}, true},
		{"Bytes 10-19/*", contentRange{10, 19, -1}, true},
		{"bytes */100", contentRange{-1, -1, 100}, true},
		{"bytes */*", contentRange{-1, -1, -1}, false},
		{"bytes 19-10/100", bad, false},
		{"bytes 0-100/100", bad, false},
		{"bytes 0-9223372036854775807/*", bad, false},
		{"bytes 0-9223372036854775808/*", bad, false},
		{"bytes=0-1/2", bad, false},
		{"bytes -1-1/2", bad, false},
		{"bytes +0-1/2", bad, false},
		{"bytes 0-1", bad, false},
		{"items 0-1/2", bad, false},
		{"", bad, false},
	}
	for _, tt := range tests {
		got, ok := parseContentRange(tt.in)
		if ok != tt.ok || ok && got != tt.want {
			t.Errorf("%q: got %v, %v; want %v, %v", tt.in, got, ok, tt.want, tt.ok)
		}
	}
}

func FuzzParseContentRange(f *testing.F) {
	for _, s := range []string{"bytes 0-9/10", "bytes */5", "bytes 1-2/*", "bytes 9223372036854775807-9223372036854775807/*"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, ok := parseContentRange(s)
		if !ok {
			return
		}
		if r.first < 0 {
			if r.first != -1 || r.last != -1 || r.total < 0 {
				t.Errorf("%q: %+v", s, r)
			}
			return
		}
		if r.last < r.first || r.last+1 <= 0 || r.total != -1 && r.last >= r.total {
			t.Errorf("%q: %+v", s, r)
		}
		total := "*"
		if r.total >= 0 {
			total = fmt.Sprint(r.total)
		}
		again, ok := parseContentRange(fmt.Sprintf("bytes %d-%d/%s", r.first, r.last, total))
		if !ok || again != r {
			t.Errorf("%q: %+v, and again %+v", s, r, again)
		}
	})
}

func TestREG27ParseRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	tests := map[string]time.Duration{
		"": 0, "2": 2 * time.Second, " 3 ": 3 * time.Second, "0": 0, "-1": 0, "x": 0, "1.5": 0,
		"99999999999999999999": 0, "9999999999": maxRetryAfter,
		now.Add(90 * time.Second).Format(http.TimeFormat): 90 * time.Second,
		now.Add(-time.Hour).Format(http.TimeFormat):       0,
		now.Add(1000 * time.Hour).Format(http.TimeFormat): maxRetryAfter,
	}
	for in, want := range tests {
		if got := parseRetryAfter(in, now); got != want {
			t.Errorf("%q: got %s, want %s", in, got, want)
		}
	}
}

func FuzzParseRetryAfter(f *testing.F) {
	f.Add("2")
	f.Add("Fri, 02 Jan 2026 03:04:05 GMT")
	f.Fuzz(func(t *testing.T, s string) {
		if d := parseRetryAfter(s, time.Unix(0, 0)); d < 0 || d > maxRetryAfter {
			t.Errorf("%q: %s", s, d)
		}
	})
}

const hostsSample = `server = "https://registry.example.com"

[host."https://z-mirror.example.com:5000"]
  capabilities = ["pull"]
  skip_verify = true
  [host."https://z-mirror.example.com:5000".header]
    x-one = "1"
    X-Two = ["2", "3"]

[host."https://a-mirror.example.com/some/path"]
  override_path = true
  client = [["c.pem", "k.pem"], ["both.pem", ""]]
  ca = ["a.pem", "b.pem"]

[host."localhost:5000"]
  capabilities = ["push"]
`

// TestREG25ParseHosts keeps the order of the file, and knows every shape of a value.
func TestREG25ParseHosts(t *testing.T) {
	got, err := parseHosts([]byte(hostsSample))
	if err != nil {
		t.Fatal(err)
	}
	want := hostsFile{
		server: hostEntry{url: "https://registry.example.com", header: http.Header{}},
		mirrors: []hostEntry{
			{url: "https://z-mirror.example.com:5000", capabilities: []string{"pull"}, skipVerify: true, header: http.Header{"X-One": {"1"}, "X-Two": {"2", "3"}}},
			{url: "https://a-mirror.example.com/some/path", overridePath: true, ca: []string{"a.pem", "b.pem"}, client: [][2]string{{"c.pem", "k.pem"}, {"both.pem", "both.pem"}}, header: http.Header{}},
			{url: "localhost:5000", capabilities: []string{"push"}, header: http.Header{}},
		},
	}
	if d := cmp.Diff(want, got, cmp.AllowUnexported(hostsFile{}, hostEntry{})); d != "" {
		t.Errorf("want, got:\n%s", d)
	}
	for _, bad := range []string{"server = 1", "[host.\"x\"]\nca = 5", "[host.\"x\"]\nclient = [[1]]", "[host.\"x\".header]\na = \"x\\ny\"", "[[host"} {
		if _, err := parseHosts([]byte(bad)); !errors.Is(err, layout.ErrInvalid) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestREG25HostConfigs(t *testing.T) {
	file, err := parseHosts([]byte(strings.Replace(hostsSample, "client = [[\"c.pem\", \"k.pem\"], [\"both.pem\", \"\"]]\n  ca = [\"a.pem\", \"b.pem\"]", "", 1)))
	if err != nil {
		t.Fatal(err)
	}
	self := hostConfig{base: &url.URL{Scheme: "https", Host: "example.com", Path: "/v2"}}
	list, err := file.configs(t.TempDir(), "example.com", self)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range list {
		got = append(got, fmt.Sprint(c.base, " ", c.resolve, " ", c.skipVerify, " ", c.ns))
	}
	want := []string{
		"https://z-mirror.example.com:5000/v2 false true example.com",
		"https://a-mirror.example.com/some/path true false example.com",
		"https://registry.example.com/v2 true false ",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("want, got:\n%s", d)
	}
}

func FuzzParseHosts(f *testing.F) {
	f.Add([]byte(hostsSample))
	f.Add([]byte("[host.a.header]\nx=[1]"))
	f.Add([]byte("host = 3"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 4096 {
			return
		}
		file, err := parseHosts(b)
		if err != nil {
			return
		}
		self := hostConfig{base: &url.URL{Scheme: "https", Host: "example.com", Path: "/v2"}}
		list, err := file.configs("/nonexistent", "example.com", self)
		if err != nil {
			return
		}
		if len(list) == 0 {
			t.Fatal("nobody to ask")
		}
		for _, c := range list {
			if c.base.Host == "" || c.base.User != nil || c.base.Scheme != "http" && c.base.Scheme != "https" {
				t.Errorf("%v", c.base)
			}
		}
	})
}

// TestREG17SignatureEnd: when signed URLs end, as the stores write it.
func TestREG17SignatureEnd(t *testing.T) {
	tests := map[string]string{
		"X-Amz-Date=20260102T030405Z&X-Amz-Expires=600": "2026-01-02T03:14:05Z",
		"X-Goog-Date=20260102T030405Z&X-Goog-Expires=1": "2026-01-02T03:04:06Z",
		"Expires=1767323045":                            "2026-01-02T03:04:05Z",
		"se=2026-01-02T03%3A04%3A05Z":                   "2026-01-02T03:04:05Z",
		"X-Amz-Date=x&X-Amz-Expires=600":                "",
		"Expires=never":                                 "",
		"sig=abc":                                       "",
	}
	for raw, want := range tests {
		q, err := url.ParseQuery(raw)
		if err != nil {
			t.Fatal(err)
		}
		end, ok := signatureEnd(q)
		got := ""
		if ok {
			got = end.UTC().Format(time.RFC3339)
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", raw, got, want)
		}
	}
}

// TestREG17TargetEnds: a target is not used when its signature is about to end.
func TestREG17TargetEnds(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	e := &endpoint{}
	var tg targets
	put := func(query string) {
		tg.put(e, &response{url: &url.URL{Scheme: "https", Host: "storage", RawQuery: query}}, now)
	}
	put("Expires=1000060")
	if tg.get(e, now.Add(49*time.Second)) == nil || tg.get(e, now.Add(51*time.Second)) != nil {
		t.Error("a signature of 60 s must be used for 50 s")
	}
	put("")
	if tg.get(e, now.Add(targetLife-time.Second)) == nil || tg.get(e, now.Add(targetLife)) != nil {
		t.Error("without a signature a target must be used for targetLife")
	}
	put("Expires=5")
	if tg.get(e, now) != nil {
		t.Error("a signature that has ended is used")
	}
}

// TestREG16SameOrigin: scheme, host and port.
func TestREG16SameOrigin(t *testing.T) {
	tests := []struct {
		a, b string
		same bool
	}{
		{"https://r.io", "https://r.io:443/x", true},
		{"http://r.io:80", "http://R.io", true},
		{"https://r.io", "http://r.io", false},
		{"https://r.io", "https://a.r.io", false},
		{"https://r.io:5000", "https://r.io", false},
	}
	for _, tt := range tests {
		a, errA := url.Parse(tt.a)
		b, errB := url.Parse(tt.b)
		if errA != nil || errB != nil || sameOrigin(a, b) != tt.same {
			t.Errorf("%s and %s: want %v", tt.a, tt.b, tt.same)
		}
	}
	from := &url.URL{Scheme: "https", Host: "r.io"}
	for _, to := range []string{"http://r.io/x", "https://u:p@r.io/", "", "gopher://r.io"} {
		if u, err := redirectTarget(from, to); err == nil {
			t.Errorf("%q leads to %s", to, u)
		}
	}
}

func TestREG24Loopback(t *testing.T) {
	for host, want := range map[string]bool{
		"localhost": true, "localhost:5000": true, "127.0.0.1:80": true, "127.9.9.9": true, "[::1]:5000": true, "::1": true, "x.localhost": true,
		"example.com": false, "localhost.example.com": false, "10.0.0.1": false, "0.0.0.0": false,
	} {
		if isLoopback(host) != want {
			t.Errorf("%s: want %v", host, want)
		}
	}
}
