// Package foreign holds what the readers of other programs' layer indexes have in
// common: eStargz (subpackage estargz), zstd:chunked (zstdchunked) and SOCI (ztoc).
//
// # Two coordinates
//
// Some of these indexes say where in the tar stream a file's bytes are, some only where in the
// blob they can be decoded. An [Index] always places entries in a stream: the
// layer's own tar where its offsets are known (Exact), else a stand-in that has the
// same entries and contents in the same order, but headers of our making. Nobody may read
// the headers of a stand-in, and its bytes have no diffID: what a cache keeps of
// them must be named after the blob or the content, not after the tar.
//
// # Two ways to the bytes
//
// A [Piece] is a run of one file's bytes that can be decoded from a place in the blob without
// anything before it, with a digest of its own (eStargz, zstd:chunked). A [Seek] is a
// place inside a deflate stream from which decoding can go on with a window (SOCI).
//
// # Trust
//
// None of these formats proves that its names, modes and times are what the layer's tar
// says; the digests in them prove contents only. An index is as good as what binds it:
// the subpackages say what that is. A reader must take an index that nothing binds
// under the trust policy for such (DIG-14).
//
// Entries go through package tarx, so names, whiteouts, owners and attributes follow the
// same rules as in a tar that was read (FMT-12: the same tree with and without).
package foreign
