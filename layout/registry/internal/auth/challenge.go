package auth

import "strings"

// A Challenge is one item of a WWW-Authenticate header. Scheme and the names
// of the parameters are in lower case.
type Challenge struct {
	Scheme string
	Params map[string]string
}

// maxChallenges bounds what one answer can make us keep.
const maxChallenges = 32

// ParseChallenges reads all challenges of all given WWW-Authenticate lines:
// several may stand in one line, and a quoted value may contain commas (REG-19).
// What cannot be understood is left out; it never fails.
// Source: RFC 9110, sections 11.2 to 11.6.1.
func ParseChallenges(lines []string) []Challenge {
	var out []Challenge
	for _, line := range lines {
		out = parseLine(out, line)
	}
	return out
}

func parseLine(out []Challenge, s string) []Challenge {
	for {
		s = strings.TrimLeft(s, " \t,")
		if s == "" || len(out) >= maxChallenges {
			return out
		}
		word, rest := cutToken(s)
		if word == "" {
			// Not a token: skip to the next comma and try again.
			i := strings.IndexByte(s, ',')
			if i < 0 {
				return out
			}
			s = s[i:]
			continue
		}
		after := strings.TrimLeft(rest, " \t")
		if strings.HasPrefix(after, "=") && len(out) > 0 {
			var value string
			value, s = cutValue(strings.TrimLeft(after[1:], " \t"))
			last := out[len(out)-1].Params
			name := strings.ToLower(word)
			if _, dup := last[name]; !dup && len(last) < maxChallenges {
				last[name] = value
			}
			continue
		}
		// A scheme. The blob some schemes carry in place of parameters reads
		// as one more scheme, or a parameter, that nobody looks for.
		out = append(out, Challenge{Scheme: strings.ToLower(word), Params: map[string]string{}})
		s = after
	}
}

// cutToken splits the leading token (RFC 9110, 5.6.2) from s.
func cutToken(s string) (token, rest string) {
	i := 0
	for i < len(s) && isTokenByte(s[i]) {
		i++
	}
	return s[:i], s[i:]
}

func isTokenByte(c byte) bool {
	switch {
	case c >= '0' && c <= '9', c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z':
		return true
	}
	return strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}

// cutValue splits a quoted string or a token from s. An unquoted value runs to
// the next comma or blank, whatever it holds: registries leave quotes out.
func cutValue(s string) (value, rest string) {
	if !strings.HasPrefix(s, `"`) {
		i := strings.IndexAny(s, ", \t")
		if i < 0 {
			return s, ""
		}
		return s[:i], s[i:]
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			if i+1 < len(s) {
				i++
				b.WriteByte(s[i])
			}
		case '"':
			return b.String(), s[i+1:]
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String(), "" // the closing quote is missing
}
