// Package share is the pushed form of layer indexes: how "shalefs index push" stores
// the indexes of an image beside the image, and how a mount finds and reads them.
//
// # The artifact
//
// The indexes of all layers of an image are one artifact: a manifest with the type
// [ArtifactType], whose subject is the image's manifest, so that the referrers API, the
// fallback tag or a scan of a layout directory finds it. It has one blob, the pack.
// What a mount wants to know of the pack (digest, size, and length and digest of its
// head) stands in the manifest's annotations, which a registry repeats in its list
// of referrers: one request less.
//
// # The pack
//
//	head    | pieces of layer 0 | pieces of layer 1 | ...
//
// The head holds what the trees of all layers need, in one request; and for each
// piece its length and digest. A piece holds windows, chunk digests and chunk ends of a
// run of spans, or file digests of a run of entries. It is fetched when a read
// touches one of its spans, neighbours in one request, or when somebody wants the index
// whole. FORMAT.md in package index has the bytes.
//
// # Trust
//
// Nothing binds a pack to the image until its layers were checked (package index, and
// design of the trust policies), so layers from a pack are not bound, except where the user
// pins the digest of the artifact's manifest: it covers the head, which covers the pieces.
package share
