// Package index is the layer index: what ShaleFS knows about a layer after it has
// seen it once, so that it never has to read it whole again.
//
// # The idea
//
// A layer is a tar, mostly compressed as one long stream, which no one can enter in
// the middle. One pass over it ([Build]) finds, beside the entries of the tar,
// places where a decoder can start again (package index/codec calls them
// checkpoints) and a digest for each 64 KiB of the tar. From then on a read of any
// range fetches the compressed bytes of one span, the distance between two
// checkpoints, decodes them, and compares the digest before a byte leaves.
//
// # Words
//
// The tar stream is cut into segments: each regular file of [LargeBytes] or more is
// a segment of its own, and what lies between two of them is another. Segments
// are cut into chunks of lazy.ChunkBytes; the last one of a segment is shorter. A
// chunk has a blake3 digest; it is the unit of verification and of caching. A span
// holds the chunks that start in it.
//
// # The file
//
// An index is one file: mapped, not parsed, so that opening one with a million
// entries costs nothing. FORMAT.md describes each byte. The same layer gives the same
// file, anywhere, so that anyone can build it again and compare.
//
// A [Layer] is an open index. It implements lazy.Source, which is how the loader sees
// it; package fs reads its entries; [File] reads a file's content through a loader.
//
// # Trust
//
// An index that was built here is bound to its layer: the pass checked the digest of
// the blob and the diffID. One that came from elsewhere is not, and [Layer.Bound] says
// so. Whatever its origin, a file is hostile until checked: each offset is
// compared with the sections it points into before it is used, each record has
// a checksum, and content is compared with its digest.
package index
