// Package rawx is the codec of streams that are not compressed: a plain tar. Each
// offset is a checkpoint without window or state, so the scan sets one every
// SpanBytes and Decode copies.
package rawx
