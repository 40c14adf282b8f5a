// Package gzipx is the codec of gzip streams: an inflate decoder that can say
// where it is, and start from there again.
//
// # What a decoder must know in the middle of a stream
//
// Deflate has little state. Between two symbols a decoder is given by the
// position of the next bit, the kind of block it is in, that block's code, and up
// to 32 KiB of the output before, since matches refer back that far. The code of a
// dynamic block is described by the first 75 to 120 bytes of the block, so a
// checkpoint in the middle of a block keeps a copy of these bits: a checkpoint may
// sit at any symbol, and no block is too long. Members (a file may be several gzip
// files one after another) begin with nothing: a checkpoint there has no window.
//
// # Sparse windows
//
// Only matches in the first 32 KiB after a checkpoint can reach before it, and
// they touch a tenth of the window. The scan notes which bytes are touched, keeps
// these and lets all others be zero. It has to watch for 32 KiB after each
// checkpoint only, and it does so without cost for the other matches: the check
// that a distance does not reach before the start of the member is there anyway,
// and while a window is open the scan moves that start to the checkpoint, so that
// matches into the window take the path of the error, which sorts them out.
//
// A window made so holds for all that follows, not only for the span, so an
// overhang costs nothing.
//
// # Proof
//
// Before a checkpoint is handed out, the 32 KiB after it are decoded again from
// its packed form, with the compressed bytes that the scan declared sufficient and
// no others, and compared with what the scan produced. A checkpoint that cannot be
// proven is dropped: a longer span is better than a wrong byte.
//
// # Determinism
//
// The scan stops for data and checkpoints at the first symbol boundary at or after
// fixed offsets of the output. Nothing depends on how the reader cuts the stream,
// so equal streams and options give equal calls of the sink.
package gzipx
