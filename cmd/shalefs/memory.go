package main

import (
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// What a mount holds for long is the tree and tables: some MiB, for a million files some
// 70. What it needs while it decodes comes and goes, and the runtime would keep room for
// the peak. So the heap may grow by memoryRoom over what it held when the mount appeared before
// the collector works harder (it must be more than what decoders need at a time: with less the
// collector never rests, and empties the pools as fast as they are filled), and when a mount falls idle, free memory goes back to
// the system, and so do decoded chunks and the pages of mapped layer indexes.
const (
	memoryRoom = 64 << 20 // bytes
	idleCheck  = 500 * time.Millisecond
)

// keepSmall bounds the process's memory until stop is closed. busy counts operations: an
// interval without a change is idle. release gives back what comes again by itself.
func keepSmall(busy func() int64, release func(), stop <-chan struct{}) {
	debug.FreeOSMemory()
	debug.SetGCPercent(50)
	debug.SetMemoryLimit(inUse() + memoryRoom)
	ticker := time.NewTicker(idleCheck)
	defer ticker.Stop()
	last, trimmed := busy(), true
	for {
		select {
		case <-stop:
			return
		case <-ticker.C:
		}
		if n := busy(); n != last {
			last, trimmed = n, false
			continue
		}
		if trimmed {
			continue
		}
		trimmed = true
		release()
		// Pools give up their content at the second collection.
		debug.FreeOSMemory()
		debug.FreeOSMemory()
	}
}

func readMetric(name string) int64 {
	s := []metrics.Sample{{Name: name}}
	metrics.Read(s)
	if s[0].Value.Kind() != metrics.KindUint64 {
		return 0
	}
	return int64(s[0].Value.Uint64())
}

// inUse is the memory that the runtime took from the system and has not given back.
func inUse() int64 {
	return readMetric("/memory/classes/total:bytes") - readMetric("/memory/classes/heap/released:bytes")
}
