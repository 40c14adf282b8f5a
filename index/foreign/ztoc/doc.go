// Package ztoc reads what SOCI (soci-snapshotter) writes about an image: the SOCI index, an
// OCI manifest that lists a ztoc for each larger layer, and the ztoc, a FlatBuffer with the layer's
// entries, their places in the tar, and checkpoints of its gzip stream as zran
// makes them, about every 4 MiB of output, with 32 KiB of window each.
//
// # What binds it
//
// Version 1 of the SOCI index refers to the image (subject), version 2 is named by an annotation of the
// image manifest inside an image index made for it. A v2 index that was found that way is
// bound to the digest of the image index, but its maker is whoever converted the image; v1 is bound by nothing.
// A ztoc is bound to its SOCI index by its digest, and to a layer by the annotation with the
// layer's digest and by the layer's size, which is no proof. So all but a pinned index is
// taken under the policy for unbound ones.
//
// # What it lacks
//
// There are digests of compressed spans (Layer.Spans), none of files or of decoded bytes, so
// chunks cannot be checked one by one against the tar, and a span must be fetched whole to be
// checked at all. Sparse files are not described, and are refused. The stated size of the tar
// may leave out zeros at its end. Layers under 10 MiB usually have no ztoc.
//
// Checkpoints of version 1 leave out the first and take the gzip header as 10 bytes,
// which is wrong for headers with a name; Parse replaces it by the start of the member.
//
// Source: soci-snapshotter ztoc/fbs/ztoc.fbs, ztoc/compression/gzip_zinfo.h, soci/soci_index.go.
package ztoc
