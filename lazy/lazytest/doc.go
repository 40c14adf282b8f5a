// Package lazytest has what tests of the loader, and of those who use it, need: a layer
// without an index, whose bytes follow from a number, and a blob that counts, delays,
// fails and lies on demand.
//
// The made-up compression halves: byte k of the blob stands for the bytes 2k and 2k+1 of
// the tar stream. Decoding can start anywhere, so spans can be placed as a
// test likes, and chunks run over their borders as those of real layers do.
package lazytest
