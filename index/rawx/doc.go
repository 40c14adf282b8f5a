// Package rawx is the codec of layers that are not compressed: the decoded stream is the
// stored stream, so every byte is a checkpoint, and one is reported for each span. Zeros
// after a tar's end are part of the stream, as they are part of its digest.
package rawx
