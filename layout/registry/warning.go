package registry

import "strings"

// maxWarnings bounds how many different warnings are remembered.
const maxWarnings = 100

// noteWarnings logs each "Warning: 299" text once (REG-30). Nothing follows from one.
// Source: distribution-spec v1.1, "Warnings".
func (s *Store) noteWarnings(host string, lines []string) {
	for _, line := range lines {
		text, ok := warningText(line)
		if !ok {
			continue
		}
		s.mu.Lock()
		seen := s.warned[text] || len(s.warned) >= maxWarnings
		if !seen {
			s.warned[text] = true
		}
		s.mu.Unlock()
		if !seen {
			s.opt.Logger.Warn("the registry warns", "host", host, "text", text)
		}
	}
}

// warningText takes the text out of `299 - "text"`.
func warningText(line string) (string, bool) {
	rest, ok := strings.CutPrefix(line, "299 ")
	if !ok {
		return "", false
	}
	_, quoted, ok := strings.Cut(rest, ` "`)
	if !ok {
		return "", false
	}
	quoted = strings.TrimSuffix(strings.TrimSpace(quoted), `"`)
	quoted = strings.NewReplacer(`\"`, `"`, `\\`, `\`).Replace(quoted)
	return clean(quoted, 4096), true
}
