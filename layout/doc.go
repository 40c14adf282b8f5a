// Package layout holds the OCI model: references, descriptors, manifests, image
// indexes, the choice of a platform, and the two interfaces that everything else
// reads images through, Store and Blob.
//
// A reference names a Store and something in it. The Store resolves it to a
// descriptor; documents (manifests, image indexes, configs) are read whole and
// checked; layers open as Blobs, which are read by ranges and never whole.
//
// The package reads layout directories itself; layout/archive and
// layout/registry are the other Stores.
package layout
