// Package fstest makes layers and trees for tests: layers from a short text, by way of
// a real tar, and a text of a tree to compare. It is imported by tests only.
//
// A layer's text has one entry a line, in the order of the archive:
//
//	TYPE PATH [-> TARGET] [MODE] [KEY=VALUE ...]
//
// TYPE is dir, file, link, sym, chr, blk, fifo, or a quoted type flag such as "V". Words
// may be quoted as in Go. Keys: uid, gid, mtime (seconds, also with a fraction), dev
// (MAJOR:MINOR), data (content), fill (content of so many bytes), x.NAME (an xattr),
// pax.NAME (any PAX record), gnu (any value: GNU format), raw (a ustar header
// made by hand, which says that the content has so many bytes, or as many as it has if empty). Empty lines and lines that start with # are skipped.
package fstest
