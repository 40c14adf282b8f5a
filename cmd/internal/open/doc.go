// Package open turns a reference into an opened image: its store, its manifest,
// the index of each layer from wherever one is to be had, the loaders that fetch
// and check, and the merged tree. Every command and every other binary opens
// images here, so that all see the same tree and follow the same trust policy.
//
// The layer indexes come from the first of these that has one:
//
//  1. the cache, from an earlier time;
//  2. our own artifact beside the image (index/share);
//  3. a table of contents that the manifest itself names (eStargz, zstd:chunked);
//  4. a SOCI index;
//  5. a walk over the headers of a plain tar;
//  6. one pass over the layer, which also fills the cache.
//
// An index of 2, 4 or 5 is bound to its layer by nothing but a check of the whole layer;
// trust.go says when that check is made.
package open
