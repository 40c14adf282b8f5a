package cache

// A Key names an object of the cache: a sequence of bytes that has a known size
// and is filled piece by piece.
type Key struct {
	// Kind is "tar" for a part of the tar stream of a layer (Name is its diffID without the
	// algorithm's colon, and the number of the part, "sha256-…-00000") and "file" for a large file's content (Name is the
	// hexadecimal blake3 of its stored bytes).
	Kind string
	Name string
}
