// Package zstdchunked reads the manifest of a zstd:chunked layer: a zstd tar in which each
// file, or each chunk of a file, is a zstd frame of its own, followed by skippable
// frames with a table of contents (TOC) in JSON. Any zstd decoder reads the layer as an ordinary
// tar and passes over the rest.
//
// There are two dialects, told apart by the annotations of the layer's descriptor, and
// where these are missing by the footer, which is the last skippable frame:
//
//	             containers (podman, buildah, skopeo)      stargz-snapshotter
//	annotations  io.github.containers.zstd-chunked.*       io.containers.zstd-chunked.*
//	footer       64 bytes, ends in "GNUlInUx"              40 bytes, ends in "GnUlInUx"
//	tar-split    a further frame                           none
//
// # What binds it
//
// The annotation ...manifest-checksum in the image manifest is the sha256 of the TOC as it is stored
// (packed), in both dialects; the TOC in turn has the digest of the packed tar-split.
// stargz-snapshotter adds an annotation with the digest of the JSON. A manifest that was
// found by its footer only is bound by nothing.
//
// # Exact or not
//
// tar-split holds all of the tar but the files' contents. With it the index is exact: the headers are
// read as in a pass, and every content has its place in the tar stream. Without it
// the stream is a stand-in, as that of eStargz, and times are what the TOC says: with
// nanoseconds in containers' dialect, whole seconds in the other.
//
// Source: containers/storage pkg/chunked; stargz-snapshotter estargz/zstdchunked.
package zstdchunked
