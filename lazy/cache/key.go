package cache

// A Key names an object of the cache: a sequence of bytes that has a known size
// and is filled piece by piece.
type Key struct {
	// Kind is "tar" for the tar stream of a layer (Name is its diffID without the
	// algorithm's colon, "sha256-…") and "file" for a large file's content (Name is the
	// hexadecimal blake3 of its stored bytes).
	Kind string
	Name string
}
