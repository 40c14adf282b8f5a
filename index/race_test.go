//go:build race

package index

// fewer is how many of n random cases to try: the race detector makes each ten times as slow.
func fewer(n int) int { return max(1, n/5) }
