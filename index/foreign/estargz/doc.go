// Package estargz reads the table of contents (TOC) of an eStargz layer: a gzip tar in
// which each file, or each chunk of a large file, begins a gzip member of its own,
// and whose last member holds a file stargz.index.json that lists them. The layer is an
// ordinary gzip tar too, and reading the TOC is only ever a short cut.
//
// # Where it is
//
// The blob ends in a footer, an empty gzip member whose header says where the TOC's member
// begins. There are three forms: 51 bytes (eStargz), 47 bytes (stargz, from which it
// came), and 46 bytes for a TOC that is kept outside of the layer, which is of no use here.
//
// # What binds it
//
// The layer's descriptor, in the image manifest, has the annotation [DigestAnnotation]: the
// sha256 of the TOC's JSON. A TOC that has this digest is what the image's author signed
// for, though it may still differ from the tar. Without the annotation nothing binds it.
//
// # What it lacks
//
// Modification times are rounded to whole seconds, up or down, where the tar may have
// nanoseconds; so the tree is not quite the one that an unpacker sees. The tar's own headers
// are not described, so offsets in the tar are not known and the index is in a
// stand-in stream; the diffID cannot be checked by pieces. The TOC's own file is not listed:
// Parse adds it, so that the tree is the one that an unpacker would see (FMT-12).
// Files of up to a few bytes may share a member with others (Piece.Skip).
//
// Source: stargz-snapshotter docs/estargz.md; estargz/types.go.
package estargz
