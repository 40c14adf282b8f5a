package lazy

import "context"

// ReadPresent is ReadStream for bytes that are here, in memory or in the cache: it fetches nothing
// that p needs. It fills p with [off, off+len(p)) of the stream, checked, and counts as
// a read of the file for read-ahead. ok is false when something is missing, fails its
// check or lies past the end; then p holds nothing of use. While reads are recorded nothing
// is present, so that only what somebody asks for is on record.
func (l *Loader) ReadPresent(ctx context.Context, key uint64, p []byte, off, fileEnd int64) (ok bool) {
	if len(p) == 0 || off < 0 || off+int64(len(p)) > l.src.Size() || l.record.active() {
		return false
	}
	first, last := l.src.ChunkAt(off), l.src.ChunkAt(off+int64(len(p))-1)
	for c := first; c <= last; c++ {
		if ok, err := l.serve(ctx, c, p, off); !ok || err != nil {
			clear(p)
			return false
		}
	}
	l.count.reads.Add(1)
	l.count.served.Add(int64(len(p)))
	l.watch(key, off, len(p), fileEnd)
	return true
}

// active tells whether reads are recorded.
func (r *recorder) active() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.on
}
