package lazy

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Options are the limits of a Group. The zero value works.
type Options struct {
	// MemoryBytes bounds the decoded chunks that are kept in memory; 0 is 8 MiB.
	MemoryBytes int64
	// Connections is how many flights of read-ahead may be under way; 0 is 8. Readers
	// who wait get half as many more, lower classes fewer.
	Connections int
	// WindowBytes is how far read-ahead goes at most, in decoded bytes; 0 is 256 MiB.
	// Without a cache it is also bounded by half of MemoryBytes.
	WindowBytes int64
	// PieceBytes is about how much of a window one flight brings, in decoded bytes;
	// 0 is 8 MiB.
	PieceBytes int64
	// GapBytes is how many bytes of the blob may be fetched in vain to
	// save a request; 0 is 256 KiB, negative is none.
	GapBytes int64
	// SmallBytes is how much of a file is fetched at once when it is read for the first
	// time; 0 is 4 MiB, negative is no more than what is read.
	SmallBytes int64
	// Deadline bounds the time a read waits, and the time a flight may be
	// without any progress; 0 is 60 s.
	Deadline time.Duration
	// BadFor is how long a chunk that was wrong twice is not asked for again; 0 is 10 s.
	BadFor time.Duration
	// Logger hears about corrupt chunks and trouble; nil is silence.
	Logger *slog.Logger
}

func (o Options) withDefaults() Options {
	def := func(p *int64, v int64) {
		if *p == 0 {
			*p = v
		}
		*p = max(0, *p)
	}
	def(&o.MemoryBytes, 8<<20)
	def(&o.WindowBytes, 256<<20)
	def(&o.PieceBytes, 8<<20)
	def(&o.GapBytes, 256<<10)
	def(&o.SmallBytes, 4<<20)
	if o.Connections <= 0 {
		o.Connections = 8
	}
	if o.Deadline <= 0 {
		o.Deadline = 60 * time.Second
	}
	if o.BadFor <= 0 {
		o.BadFor = 10 * time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// A Group is what the loaders of one mount share. Its methods may be called from
// several goroutines.
type Group struct {
	opt    Options
	sched  *sched
	mem    *memory
	held   atomic.Int64    // bytes of chunks that assemblies hold
	ctx    context.Context // ends with the group; flights live in it
	cancel context.CancelCauseFunc

	mu      sync.Mutex // guards what follows
	loaders []*Loader
}

// NewGroup makes a group.
func NewGroup(opt Options) *Group {
	opt = opt.withDefaults()
	g := &Group{opt: opt, sched: newSched(opt.Connections), mem: newMemory(opt.MemoryBytes)}
	g.ctx, g.cancel = context.WithCancelCause(context.Background())
	return g
}

// Close ends all flights, waits for them, and lets go of the memory. Reads that are
// under way fail with ErrClosed.
func (g *Group) Close() error {
	g.cancel(ErrClosed)
	g.mu.Lock()
	loaders := g.loaders
	g.mu.Unlock()
	for _, l := range loaders {
		l.shut()
	}
	g.mem.clear()
	return nil
}

// Release lets go of the decoded chunks in memory: those that are wanted again come from
// the cache, or from the blob.
func (g *Group) Release() { g.mem.clear() }

// Stats adds up the counters of the group's loaders.
func (g *Group) Stats() Stats {
	g.mu.Lock()
	loaders := g.loaders
	g.mu.Unlock()
	var s Stats
	for _, l := range loaders {
		s.add(l.Stats())
	}
	return s
}
