// Package dynlink tells from the first bytes of a program or shared library what will be read of it
// next, and which other files: a dynamic linker asks for its parts one after the other, in
// an order that the file itself lays down.
//
// When a program starts, the kernel maps it and its interpreter; the interpreter reads the dynamic
// section, opens each library that is named there, maps it, and then relocates all of
// them, which reads their symbol and relocation tables from end to end and touches every page
// of the writable segments. Over a network each of these steps costs a round trip, and none of them is
// in doubt once the header has been seen.
//
// Read is pure: it knows an io.ReaderAt and no file system. It trusts nothing: what does not
// fit is an error, and the sizes are bounded.
package dynlink
