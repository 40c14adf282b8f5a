package auth

import (
	"slices"
	"strings"
)

// RepositoryScope is the scope for actions ("pull", "pull,push") on a repository.
func RepositoryScope(repository, actions string) string {
	return "repository:" + repository + ":" + actions
}

// mergeScopes joins the scopes that a challenge names with the one we need: the
// challenge may know better, and may also name less than the next request takes.
func mergeScopes(need, challenge string) []string {
	out := strings.Fields(challenge)
	for _, s := range out {
		if covers(s, need) {
			return out
		}
	}
	if need != "" {
		out = append(out, need)
	}
	return out
}

// covers tells whether scope a grants all that scope b asks for.
func covers(a, b string) bool {
	if a == b {
		return true
	}
	i, j := strings.LastIndexByte(a, ':'), strings.LastIndexByte(b, ':')
	if i < 0 || j < 0 || a[:i] != b[:j] {
		return false
	}
	have := strings.Split(a[i+1:], ",")
	for _, action := range strings.Split(b[j+1:], ",") {
		if !slices.Contains(have, action) && !slices.Contains(have, "*") {
			return false
		}
	}
	return true
}
