package lazy

import "sync"

// The bounds of what is remembered about readers.
const (
	maxStreams = 64      // of a layer
	perKey     = 4       // of one file
	walkKey    = 1 << 63 // the key of the readers of the layer as a whole, xored in

	backChunks = 16 // readers come out of order, by so much
	skipChunks = 4  // readers skip so much and are still the same

	fileRun = 4  // chunks in sequence after which a file's reader is sequential
	walkRun = 12 // and one of the whole layer, who also
	walkOf  = 6  // must have read so many files
)

// A stream is a reader who reads chunks one after the other.
type stream struct {
	key     uint64
	next    int // the chunk expected next
	run     int // how many were read in sequence
	reads   int
	file    uint64 // the file read last
	files   int    // how often that changed
	ahead   int    // chunks before this one were asked for
	flights []*flight
}

// streams are the readers of a layer, the latest first.
type streams struct {
	mu      sync.Mutex // guards what follows; taken before Loader.mu
	all     []*stream
	orphans stream // the flights of streams that are over, which were under way already
}

// find returns the stream that a read of the chunks [first, last] belongs to, moved to the
// front; a new one if there is none. old are streams that are over.
func (ss *streams) find(key uint64, first, last int) (s *stream, old []*stream) {
	same := 0
	for i := 0; i < len(ss.all); i++ {
		x := ss.all[i]
		if x.key != key {
			continue
		}
		if s == nil && first >= x.next-backChunks && first <= x.next+skipChunks {
			s = x
			copy(ss.all[1:i+1], ss.all[:i])
			ss.all[0] = s
			continue
		}
		if same++; same >= perKey {
			old = append(old, x)
			ss.all = append(ss.all[:i], ss.all[i+1:]...)
			i--
		}
	}
	if s != nil {
		return s, old
	}
	s = &stream{key: key, next: first}
	ss.all = append([]*stream{s}, ss.all...)
	for len(ss.all) > maxStreams {
		old = append(old, ss.all[len(ss.all)-1])
		ss.all = ss.all[:len(ss.all)-1]
	}
	return s, old
}

// known says whether a file was read lately.
func (ss *streams) known(key uint64) bool {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	for _, s := range ss.all {
		if s.key == key&^walkKey {
			return true
		}
	}
	return false
}

// advance notes a read of the chunks [first, last] of a file.
func (s *stream) advance(file uint64, first, last int) {
	s.reads++
	if s.file != file {
		s.file = file
		s.files++
	}
	if skipped := first - s.next; skipped > 0 {
		s.run = max(0, s.run-4*skipped)
	}
	if last >= s.next {
		s.run += last + 1 - max(first, s.next)
		s.next = last + 1
	}
}

// watch learns from a read of a file, which was served, and reads ahead; but not behind one that was
// foreseen, for who foresaw it knows what comes after it.
func (l *Loader) watch(key uint64, off int64, n int, fileEnd int64) {
	first, last := l.src.ChunkAt(off), l.src.ChunkAt(off+int64(n)-1)
	fileEnd = min(fileEnd, l.src.Size())
	l.mu.Lock()
	foreseen := has(l.foreseen, first) && has(l.foreseen, last)
	l.mu.Unlock()
	l.streams.mu.Lock()
	defer l.streams.mu.Unlock()
	if fileEnd > off {
		l.follow(key&^walkKey, key, first, last, fileRun, l.src.ChunkAt(fileEnd-1)+1, foreseen)
	}
	l.follow(walkKey, key, first, last, walkRun, l.src.Chunks(), foreseen)
}

// follow advances one stream, and unless the read was foreseen sends flights for what its window has new. The window
// is as wide as what was read in sequence, and later four times as wide, so what is
// fetched in vain is in proportion to what was of use. The caller holds l.streams.mu.
func (l *Loader) follow(key, file uint64, first, last, minRun, end int, foreseen bool) {
	s, old := l.streams.find(key, first, last)
	for _, o := range old {
		l.drop(o, true)
	}
	s.advance(file, first, last)
	l.drop(s, false)
	l.drop(&l.streams.orphans, false)
	if foreseen || s.reads < 2 || s.run < minRun || key == walkKey && s.files < walkOf {
		return
	}
	window := s.run
	if s.run >= 4*minRun {
		window *= 4
	}
	window = int(min(int64(window), l.window(last)/ChunkBytes))
	from, to := max(s.next, s.ahead), min(s.next+window, end)
	// Ask for more when there is room for one more flight in the window, so that flights
	// start, and end, one after the other and the line never falls idle.
	if to <= from || to < end && to-from < min(window/2, int(l.g.opt.PieceBytes/ChunkBytes)) {
		return
	}
	if e := l.src.Span(l.src.SpanOf(to - 1)).Last; e-to <= window {
		to = min(e, end)
	}
	s.ahead = to
	for from < to {
		piece := l.piece(from, to)
		var chunks []int
		for c := from; c < piece; c++ {
			if !l.here(c) {
				chunks = append(chunks, c)
			}
		}
		from = piece
		fs := l.send(chunks, ReadAhead)
		l.count.readAhead.Add(int64(len(fs)))
		s.flights = append(s.flights, fs...)
	}
}

// A Range is the bytes [Off, End) of a tar stream.
type Range struct{ Off, End int64 }

// Ahead fetches what is not here of these ranges of the tar stream, of each as much as
// read-ahead may go, before anybody asks for it: all that will be read for now, that which is wanted first
// at the front. Those that lie close together come together. It does not wait, and reports nothing.
func (l *Loader) Ahead(ranges ...Range) {
	var wanted, missing []int
	for _, r := range ranges {
		off, end := max(r.Off, 0), min(r.End, l.src.Size())
		if off >= end {
			continue
		}
		first := l.src.ChunkAt(off)
		last := l.src.ChunkAt(min(end, off+l.window(first)) - 1)
		for c := first; c <= last; c++ {
			wanted = append(wanted, c)
			if !l.here(c) {
				missing = append(missing, c)
			}
		}
	}
	l.expect(wanted)
	if len(missing) == 0 {
		return
	}
	runs := l.runs(missing, foreseenGap)
	l.streams.mu.Lock()
	defer l.streams.mu.Unlock()
	l.drop(&l.streams.orphans, false)
	for _, r := range runs {
		fs := l.send(r.chunks, ReadAhead)
		l.count.readAhead.Add(int64(len(fs)))
		l.streams.orphans.flights = append(l.streams.orphans.flights, fs...)
	}
}

// piece is where a flight that begins at chunk from ends, at most at to: at the end
// of a span if possible, so that no span is decoded twice.
func (l *Loader) piece(from, to int) int {
	n := int(max(1, l.g.opt.PieceBytes/ChunkBytes))
	if to-from <= n+n/4 {
		return to
	}
	return min(to, l.src.Span(l.src.SpanOf(from+n-1)).Last)
}

// window is how far read-ahead may go, in bytes: without a cache it must fit into memory.
func (l *Loader) window(chunk int) int64 {
	if _, _, _, ok := l.src.Object(chunk); !ok || l.cache == nil {
		return min(l.g.opt.WindowBytes, l.g.opt.MemoryBytes/2)
	}
	return l.g.opt.WindowBytes
}

// drop gives up the flights of a stream that are over, or, if the stream is, all of them but those
// that are under way: what they were asked for is coming, and readers who come out
// of order may only look as if they were gone.
func (l *Loader) drop(s *stream, all bool) {
	rest := s.flights[:0]
	for _, f := range s.flights {
		over := false
		select {
		case <-f.done:
			over = true
		default:
		}
		if all && !over && l.g.sched.underway(f.t) {
			l.streams.orphans.flights = append(l.streams.orphans.flights, f)
		} else if over || all {
			l.disown(f)
		} else {
			rest = append(rest, f)
		}
	}
	clear(s.flights[len(rest):])
	s.flights = rest
}
