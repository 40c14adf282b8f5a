// Package zstdx is the zstd codec of the layer index: a decoder for zstd streams
// (RFC 8878) that can start again in the middle of a frame.
//
// # What a decoder remembers
//
// Between two blocks of a frame a zstd decoder remembers four tables (one Huffman
// tree for literals; literal lengths, offsets and match lengths for sequences),
// three repeat offsets, and the window: the output that matches may copy from.
// Tables travel as short descriptions inside the blocks, so a checkpoint can
// carry copies of the newest descriptions, and only of those that the blocks after it
// use before they define new ones. The window is large (8 MiB at the default
// level of the encoder that most builders use), but one span refers to a small
// part of it; a checkpoint keeps only the referenced runs, packed. Such a
// checkpoint serves its own span and the overhang, nothing beyond.
//
// # Where checkpoints go
//
// A window is cheap where few matches reach over the boundary. The scan therefore
// looks ahead: it keeps the newest decoded groups of blocks, counts for every pair
// (group, earlier boundary) the bytes that matches of the group copy from before the
// boundary, and plans the next spans by dynamic programming: least window bytes
// plus a price for long spans. The price follows a budget, so that a difficult stream
// gets longer spans (up to ScanOptions.MaxSpanBytes) and not a large index. The
// start of a frame needs neither window nor tables and is a free checkpoint.
//
// # Proof
//
// Before a checkpoint goes to the sink it is unpacked again, the first blocks of
// its span are decoded from it and compared with the scan's output, until nothing
// of the recorded state is left in use, and every reference of the span
// is looked up in the unpacked window.
//
// # Two passes over a block
//
// Sequences are first decoded into a list, with all their sums and offsets checked, and
// then executed without further checks by wide copies; execute.go states what the copies rely
// on, and is with the assembly the only place with unsafe writes.
//
// Both loops exist in Go and, for amd64 with BMI2, in assembly (unpack_amd64.s,
// execute_amd64.s), which the build tag noasm leaves out. The assembly decides nothing: what it
// may touch follows from checks made in Go before it, described in unpack.go and execute.go, and
// tests run both on memory with fences.
//
// External dictionaries are refused. Seekable-format tables and other skippable
// frames are skipped: the frames themselves are the seek points.
package zstdx
