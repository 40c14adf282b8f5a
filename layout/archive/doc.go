// Package archive reads images out of tar archives: an image layout in a tar
// (oci-archive), and what "docker save" writes (docker-archive), old and new.
//
// An archive is scanned once, header by header, into a table of names and offsets;
// contents are skipped. Blobs are then read in place. A compressed archive is
// unpacked once into a temporary file that has no name, so nothing stays behind.
//
// What an archive holds is seen by looking: one with an oci-layout file is a layout,
// whatever else is in it (LAY-4); one with a manifest.json is a docker archive, for
// which the package makes up the manifest that the archive lacks.
package archive
