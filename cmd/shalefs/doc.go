// Shalefs mounts OCI images, read-only, lazily, unchanged and verified, and reads
// them without a mount.
//
// One file holds one command. The commands only parse flags and print: what they
// do is in cmd/internal/open and below. Everything an image or a registry gave is
// quoted before it reaches a terminal (ERR-11).
package main
