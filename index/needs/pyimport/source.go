package pyimport

import (
	"bytes"
	"slices"
	"strings"
)

// Source returns what the text of a module imports, in the order of the text. Text that
// is no Python gives something or nothing, but never an error.
func Source(b []byte) []Import {
	if len(b) > MaxSize {
		return nil
	}
	var out list
	s := scanner{rest: b}
	body := -1 // how far the function is indented whose body this is; -1 outside of any
	for {
		line, indent, ok := s.line()
		if !ok {
			return out.imports
		}
		if len(line) == 0 || body >= 0 && indent > body {
			continue
		}
		body = -1
		switch line[0] {
		case "def":
			body = indent
		case "async":
			if len(line) > 1 && line[1] == "def" {
				body = indent
			}
		case "import", "from", "try", "else", "finally", "if", "with": // the latter with a statement in the same line
			for _, st := range statements(line) {
				for _, i := range statement(st) {
					size := len(i.Name)
					for _, name := range i.From {
						size += len(name)
					}
					if !out.fits(1+len(i.From), size) {
						return out.imports
					}
					out.imports = append(out.imports, i)
				}
			}
		}
	}
}

// statements divides the words of a line.
func statements(line []string) [][]string {
	var out [][]string
	for {
		i := slices.IndexFunc(line, func(w string) bool { return w == ";" || w == ":" })
		if i < 0 {
			return append(out, line)
		}
		out = append(out, line[:i])
		line = line[i+1:]
	}
}

// statement returns what one statement imports.
func statement(w []string) []Import {
	if len(w) < 2 {
		return nil
	}
	switch w[0] {
	case "import": // a.b, c as d
		var out []Import
		for _, part := range split(w[1:]) {
			if name, rest := dotted(part); name != "" && (len(rest) == 0 || rest[0] == "as") {
				out = append(out, Import{Name: name})
			}
		}
		return out
	case "from": // ..a.b import (c as d, e)
		w = w[1:]
		var i Import
		for len(w) > 0 && w[0] == "." {
			i.Level++
			w = w[1:]
		}
		i.Name, w = dotted(w)
		if len(w) < 2 || w[0] != "import" || i.Level == 0 && i.Name == "" || i.Level >= maxDepth {
			return nil
		}
		w = slices.DeleteFunc(slices.Clone(w[1:]), func(w string) bool { return w == "(" || w == ")" })
		for _, part := range split(w) {
			if len(part) > 0 {
				i.From = append(i.From, part[0])
			}
		}
		return []Import{i}
	}
	return nil
}

// split divides words at commas.
func split(w []string) [][]string {
	var out [][]string
	for {
		i := slices.Index(w, ",")
		if i < 0 {
			return append(out, w)
		}
		out = append(out, w[:i])
		w = w[i+1:]
	}
}

// dotted takes a dotted name from the front of words.
func dotted(w []string) (name string, rest []string) {
	if len(w) == 0 || !isName(w[0]) || w[0] == "import" {
		return "", w
	}
	n := 1
	for n+1 < len(w) && w[n] == "." && isName(w[n+1]) {
		n += 2
	}
	return strings.Join(w[:n], ""), w[n:]
}

func isName(w string) bool { return isLetter(w[0]) }

func isLetter(c byte) bool {
	return c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c >= 0x80
}

// A scanner divides a text into logical lines.
type scanner struct{ rest []byte }

// maxWords is how many words of a line are kept.
const maxWords = 4096

// opens says whether a line that begins with this word may hold an import, or the head of a function. Of other lines
// only the first word is of interest.
func opens(word string) bool {
	switch word {
	case "def", "async", "import", "from", "try", "else", "finally", "if", "with":
		return true
	}
	return false
}

// line returns the words of the next logical line, without comments and strings, and by how much the line
// is indented. Everything that is neither name nor number is a word of one byte.
func (s *scanner) line() (words []string, indent int, ok bool) {
	if len(s.rest) == 0 {
		return nil, 0, false
	}
indenting:
	for len(s.rest) > 0 {
		switch s.rest[0] {
		case ' ', '\f':
			indent++
		case '\t':
			indent = indent/8*8 + 8
		default:
			break indenting
		}
		s.rest = s.rest[1:]
	}
	depth := 0 // of brackets
	for len(s.rest) > 0 {
		c := s.rest[0]
		switch c {
		case '\n':
			s.rest = s.rest[1:]
			if depth == 0 {
				return words, indent, true
			}
			continue
		case '\\':
			s.rest = bytes.TrimPrefix(s.rest[1:], []byte("\r"))
			s.rest = bytes.TrimPrefix(s.rest, []byte("\n"))
			continue
		case '#':
			n := bytes.IndexByte(s.rest, '\n')
			if n < 0 {
				n = len(s.rest)
			}
			s.rest = s.rest[n:]
			continue
		case '"', '\'':
			s.string(c)
			continue
		case '(', '[', '{':
			depth++
		case ')', ']', '}':
			depth = max(depth-1, 0)
		}
		n := 1
		if isLetter(c) {
			for n < len(s.rest) && isLetter(s.rest[n]) {
				n++
			}
		}
		if c > ' ' && (len(words) == 0 || len(words) < maxWords && opens(words[0])) {
			words = append(words, string(s.rest[:n]))
		}
		s.rest = s.rest[n:]
	}
	return words, indent, true
}

// string passes over a string that begins with the quote c.
func (s *scanner) string(c byte) {
	quote := []byte{c}
	if three := bytes.Repeat(quote, 3); bytes.HasPrefix(s.rest, three) {
		quote = three
	}
	s.rest = s.rest[len(quote):]
	for len(s.rest) > 0 {
		switch {
		case bytes.HasPrefix(s.rest, quote):
			s.rest = s.rest[len(quote):]
			return
		case s.rest[0] == '\\' && len(s.rest) > 1:
			s.rest = s.rest[2:]
		case s.rest[0] == '\n' && len(quote) == 1:
			return // a broken line
		default:
			s.rest = s.rest[1:]
		}
	}
}
