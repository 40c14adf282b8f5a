// Package pyimport tells from a Python module, compiled or not, which modules Python will read next:
// those that it imports when it is itself imported.
//
// Python reads its modules one after the other, each when the statement is reached that imports
// it, so over a network a program that begins with its imports waits once for each of them. What a
// module imports stands in its file: Compiled finds it in the code of a .pyc file, Source in the
// text of a .py file.
//
// Only statements count that run when the module is imported: not those in the body of a function,
// but those in branches and classes. Whether a branch is taken is not known, so what is
// found are guesses, good enough to fetch something early and for nothing else.
//
// Both functions are pure and trust nothing: what does not fit is an error or is passed over, and
// depth and sizes are bounded.
package pyimport

import "errors"

// The bounds of a module.
const (
	MaxSize  = 4 << 20   // bytes that are looked at: longer ones hold data rather than imports
	MaxNames = 4096      // that are taken from it
	maxBytes = 128 << 10 // that these may have
)

// ErrFormat is the error for what is no compiled module, is of a version of Python that is not known
// here, or is broken.
var ErrFormat = errors.New("no compiled Python module")

// An Import is what one statement imports.
type Import struct {
	// Level is how many dots stand before the name: 0 for an absolute name, 1 for one in the
	// module's own package, 2 for one in the package above it.
	Level int
	// Name is the name after the dots, its parts separated by dots; it may be empty.
	Name string
	// From are the names that "from Name import" lists. Each may be a module or anything else.
	From []string
}

// A list is what was found in a module, as far as it is within the bounds.
type list struct {
	imports      []Import
	names, bytes int
}

// fits counts a statement with so many names of so many bytes; if it returns false, no more is to be taken.
func (l *list) fits(names, bytes int) bool {
	l.names += names
	l.bytes += bytes
	return l.names <= MaxNames && l.bytes <= maxBytes
}
