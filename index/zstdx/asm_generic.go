//go:build !amd64 || noasm

package zstdx

// haveAsm tells whether the loops in assembly can be used.
const haveAsm = false

func unpackLoop(*unpackJob) { panic("zstdx: no assembly") }

func executeLoop(*executeJob) { panic("zstdx: no assembly") }
