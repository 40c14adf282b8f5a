// Package control lets commands talk to running mounts. Each mount keeps two
// files in a directory of its user: a record that says what is mounted where, by
// which process and as which FUSE connection, and a socket that serves the
// mount's status as JSON over HTTP. Records outlive a killed daemon, which is how
// "mount" and "umount" recognise a dead mount without touching it (a stat of a
// dead mount can hang).
package control
