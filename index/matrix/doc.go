// Package matrix holds no code of its own: its tests pack layers with every encoder
// that images are packed with, and read them back through the layer index.
//
// # What is crossed
//
// The rows are layers: tars that the tests make themselves, and those of the images
// that SHALEFS_IMAGES names (a directory of OCI layouts, as testdata/images makes them).
// The columns are encoders: the libraries that image tools link, programs that are
// installed, and the formats with seek points of their own, which small writers
// of the tests make. In each cell the layer is indexed, and
//
//   - every span, in random order, decodes to the bytes of the tar, and so do random ranges
//     through the loader;
//   - a read of 4 KiB decodes no more than its span up to the end of its chunk, and
//     fetches no more of the blob than the index says;
//   - a second pass with other parallelism and other pieces of input gives the
//     same index file;
//   - checkpoints are a small share of the layer.
//
// # Settings
//
//	SHALEFS_IMAGES         a directory of OCI layouts; without it only the tests' own layers
//	SHALEFS_MATRIX         the most MiB of a layer that are used, or "full" for all of it
//	SHALEFS_REQUIRE_TOOLS  not empty: a program that is not installed is a failure
//
// With -v a table of the measurements follows. One cell is chosen by its name:
//
//	go test -v -run 'TestMatrix/numpy.*/^zstd_-3$' ./index/matrix
package matrix
