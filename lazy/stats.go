package lazy

import (
	"sync"
	"sync/atomic"
	"time"
)

// Stats are the counters of a loader, or of all loaders of a group, since it was made.
type Stats struct {
	Requests     int64 `json:"requests"`      // ranges asked of the blob
	BytesFetched int64 `json:"bytes_fetched"` // compressed bytes that came
	BytesDecoded int64 `json:"bytes_decoded"` // bytes of chunks that were decoded and checked
	BytesServed  int64 `json:"bytes_served"`  // bytes given to readers
	Reads        int64 `json:"reads"`
	MemoryHits   int64 `json:"memory_hits"` // chunks
	CacheHits    int64 `json:"cache_hits"`  // chunks
	Misses       int64 `json:"misses"`      // chunks
	ReadAhead    int64 `json:"read_ahead"`  // flights
	Corrupt      int64 `json:"corrupt"`     // chunks from the network that failed their check
	CacheCorrupt int64 `json:"cache_corrupt"`
	CacheErrors  int64 `json:"cache_errors"` // chunks that could not be kept
	Errors       int64 `json:"errors"`       // reads that failed, but for interrupts
	Chunks       int64 `json:"chunks"`       // of the layer
	Present      int64 `json:"present"`      // of these, in the cache
	Fallbacks    int64 `json:"fallbacks"`    // as the blob counts them

	LastError     string    `json:"last_error,omitempty"`
	LastErrorTime time.Time `json:"last_error_time,omitzero"`
}

func (s *Stats) add(o Stats) {
	s.Requests += o.Requests
	s.BytesFetched += o.BytesFetched
	s.BytesDecoded += o.BytesDecoded
	s.BytesServed += o.BytesServed
	s.Reads += o.Reads
	s.MemoryHits += o.MemoryHits
	s.CacheHits += o.CacheHits
	s.Misses += o.Misses
	s.ReadAhead += o.ReadAhead
	s.Corrupt += o.Corrupt
	s.CacheCorrupt += o.CacheCorrupt
	s.CacheErrors += o.CacheErrors
	s.Errors += o.Errors
	s.Chunks += o.Chunks
	s.Present += o.Present
	s.Fallbacks += o.Fallbacks
	if o.LastErrorTime.After(s.LastErrorTime) {
		s.LastError, s.LastErrorTime = o.LastError, o.LastErrorTime
	}
}

// counters are a loader's own.
type counters struct {
	requests, fetched, decoded, served, reads      atomic.Int64
	memoryHits, cacheHits, misses, readAhead       atomic.Int64
	corrupt, cacheCorrupt, cacheErrors, errorCount atomic.Int64

	mu     sync.Mutex // guards what follows
	last   string
	lastAt time.Time
}

func (c *counters) failed(err error) {
	c.errorCount.Add(1)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last, c.lastAt = err.Error(), time.Now()
}

// Stats reads the counters. It may look into the cache, to count what is present.
func (l *Loader) Stats() Stats {
	c := &l.count
	s := Stats{
		Requests: c.requests.Load(), BytesFetched: c.fetched.Load(), BytesDecoded: c.decoded.Load(),
		BytesServed: c.served.Load(), Reads: c.reads.Load(), MemoryHits: c.memoryHits.Load(),
		CacheHits: c.cacheHits.Load(), Misses: c.misses.Load(), ReadAhead: c.readAhead.Load(),
		Corrupt: c.corrupt.Load(), CacheCorrupt: c.cacheCorrupt.Load(), CacheErrors: c.cacheErrors.Load(),
		Errors: c.errorCount.Load(), Chunks: int64(l.src.Chunks()), Present: l.present(),
	}
	if f, ok := l.blob.(interface{ Fallbacks() int64 }); ok {
		s.Fallbacks = f.Fallbacks()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s.LastError, s.LastErrorTime = c.last, c.lastAt
	return s
}
