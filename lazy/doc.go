// Package lazy serves the tar stream of a layer from a blob that is somewhere else,
// fetching only what is read.
//
// A Loader is one layer, a Group all layers of one mount, which share memory,
// connections and priorities. What is read is looked for in memory, then in the cache
// on disk, then fetched. Nothing leaves a Loader that was not checked against the
// layer index (Source), wherever it came from.
//
// # Flights
//
// What is missing is fetched in flights. A flight is one range of the blob, decoded while
// it arrives; it covers the spans of neighbouring missing chunks, and ends with the last
// byte that the last wanted chunk needs. Every chunk that it decodes is checked, kept,
// and handed at once to whoever waits for it; those on the way to one that somebody waits
// for come after it. There is never more than one
// flight that is to bring a chunk: later readers join it. A flight does not belong to
// the reader who started it: it ends early only when its last reader has left.
//
// # Reading ahead
//
// Readers are recognised by what they read, not by who they are. A reader that goes on
// where it stopped gets a window that grows with what it has read; the same
// is looked for over the whole layer, since a walk through a tree reads
// many files in the order of the tar. What a caller knows will be read he asks for himself (Loader.Ahead,
// Loader.Prefetch), and then nothing is read ahead behind it. Random readers get what they ask for, and a little
// more where they come back to the same place.
//
// # Priorities
//
// Readers that wait come first, then read-ahead, then prefetching of a profile, then the
// completion of whole layers in the background, which stops while anybody waits.
package lazy
