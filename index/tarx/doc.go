// Package tarx reads the tar streams of image layers and turns their records into
// entries, cleaned and checked as the project's conformance rules (ENT, MRG, FMT)
// say, so that nothing behind it needs to know the tar format.
//
// # What a layer's tar looks like
//
// A tar is a row of 512-byte blocks. A record is a header block and, for regular
// files, content that is padded to whole blocks. What does not fit the header is said
// by extra records in front of it: PAX records ("x": path, size, times, extended
// attributes), GNU long names ("L") and long link targets ("K"). Sparse files
// carry a map of the stretches that are stored, in one of four ways. Two zero
// blocks end the archive. Writers differ in small ways; the package takes what
// the writers of real layers have made: v7, ustar, PAX, GNU and star.
//
// # Two ways of reading
//
// A [Parser] is pushed the whole stream, in pieces of any size, and shows every
// content byte to its Handler: the pass that builds a layer index. Its state can be
// saved between two pieces and restored in another process. [Walk] reads the
// headers only, over ranged reads, and jumps over the contents: the way to list an
// uncompressed layer that was not fetched.
//
// Both bound their memory: the longest extra record, sparse map and the number of
// entries are limits in [Options]. Input is hostile; what breaks the format or
// is refused ends in an [*Error] that names the offset and, where known, the path.
package tarx
