package auth

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestREG19ParseChallenges(t *testing.T) {
	bearer := func(p ...string) Challenge {
		c := Challenge{Scheme: "bearer", Params: map[string]string{}}
		for i := 0; i < len(p); i += 2 {
			c.Params[p[i]] = p[i+1]
		}
		return c
	}
	basic := Challenge{Scheme: "basic", Params: map[string]string{"realm": "r"}}
	tests := []struct {
		name  string
		lines []string
		want  []Challenge
	}{
		{"one", []string{`Bearer realm="https://a/t",service="s",scope="repository:x:pull,push"`}, []Challenge{bearer("realm", "https://a/t", "service", "s", "scope", "repository:x:pull,push")}},
		{"two in a line", []string{`Basic realm="r", Bearer realm="https://a,b/t"`}, []Challenge{basic, bearer("realm", "https://a,b/t")}},
		{"two lines", []string{`Basic realm=r`, `BEARER REALM="x"`}, []Challenge{basic, bearer("realm", "x")}},
		{"blanks around =", []string{`Bearer realm = "x" , service= y`}, []Challenge{bearer("realm", "x", "service", "y")}},
		{"escapes", []string{`Bearer realm="a\"b\\c"`}, []Challenge{bearer("realm", `a"b\c`)}},
		{"open quote", []string{`Bearer realm="abc`}, []Challenge{bearer("realm", "abc")}},
		{"no parameters", []string{`Negotiate, Basic realm="r"`}, []Challenge{{Scheme: "negotiate", Params: map[string]string{}}, basic}},
		{"first value wins", []string{`Bearer realm="a", realm="b"`}, []Challenge{bearer("realm", "a")}},
		{"empty", []string{"", " ,, "}, nil},
		{"no scheme", []string{`="x"`}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if d := cmp.Diff(tt.want, ParseChallenges(tt.lines)); d != "" {
				t.Errorf("want, got:\n%s", d)
			}
		})
	}
}

// A blob in place of parameters must not hide what follows.
func TestREG19TokenBlob(t *testing.T) {
	for _, blob := range []string{"abc", "abc=", "abc==", "a/b+c==", "TlRM-._~"} {
		c, ok := choose(ParseChallenges([]string{"NTLM " + blob + ", Bearer realm=\"x\"", "Basic realm=y"}))
		if !ok || c.Scheme != "bearer" || c.Params["realm"] != "x" {
			t.Errorf("%s: %v %v", blob, c, ok)
		}
	}
}

func FuzzParseChallenges(f *testing.F) {
	f.Add(`Bearer realm="https://a/t",service="s"`, `Basic realm=x, NTLM abc==`)
	f.Add(`a=`, `"\`)
	f.Fuzz(func(t *testing.T, a, b string) {
		list := ParseChallenges([]string{a, b})
		if len(list) > maxChallenges {
			t.Errorf("%d challenges", len(list))
		}
		for _, c := range list {
			if c.Scheme == "" || c.Scheme != strings.ToLower(c.Scheme) || c.Params == nil {
				t.Errorf("%+v", c)
			}
		}
		// One more challenge after a comma and a closed quote is always seen.
		if !strings.ContainsAny(a, `"\`) && len(list) < maxChallenges {
			more := ParseChallenges([]string{a + `, Zz realm="end"`})
			last := more[len(more)-1]
			if len(more) < maxChallenges && (last.Scheme != "zz" || last.Params["realm"] != "end") {
				t.Errorf("%q hides what follows: %+v", a, more)
			}
		}
	})
}
