//go:build amd64 && !noasm

package zstdx

import "golang.org/x/sys/cpu"

// haveAsm tells whether the loops in assembly can be used.
var haveAsm = cpu.X86.HasBMI2 && cpu.X86.HasSSSE3

// unpackLoop does the work of unpackJob.loop.
//
// It checks no more than that: where it reads and writes follows from what unpackJob,
// fseTable and unpack say. A state is below 1<<log of its table, so entries are inside it; the
// lowest load is 89 bits and a word below floor, the highest ends with the byte of bit left.
//
//go:noescape
func unpackLoop(j *unpackJob)

// executeLoop does the work of executeJob.loop: it runs sequences until the list is over, or up
// to the match of one whose source begins before the front of the history.
//
// It copies in steps of up to 32 bytes, so it reads and writes up to 31 bytes more than it has
// to, which slack covers.
//
//go:noescape
func executeLoop(j *executeJob)
