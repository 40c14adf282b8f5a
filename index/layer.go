package index

import (
	"bytes"
	"context"
	"fmt"
	"hash/crc32"
	"os"
	"runtime"
	"runtime/debug"
	"sort"
	"sync/atomic"

	digest "github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"

	"github.com/shalefs/shalefs/lazy"
)

// A Layer is an open layer index. It is immutable, but for being bound, and safe for concurrent use.
// It implements lazy.Source.
type Layer struct {
	h header
	b []byte // the file
	// The small tables are copies: chunks and spans are looked up often, and by
	// methods that cannot return an error if the map is gone.
	segments, spans []byte
	decode          decodeFunc
	fill            Filler // nil when all of the file is here
	bound           atomic.Bool
	ours            atomic.Pointer[Layer] // lends its digests, see BindTo
	witness         witness
	needs           needList
	close           func() error
	mapped          bool // b is a map of a file
}

var _ lazy.Source = (*Layer)(nil)

// A Filler brings the parts of an index file that are not here yet (package
// index/share). Its methods may be called from several goroutines.
type Filler interface {
	// Fill makes the windows, digests and ends of the spans [first, last) present
	// in the bytes that were given to OpenPartial.
	Fill(ctx context.Context, first, last int) error
	// HasSpan says whether Fill has done so for a span.
	HasSpan(span int) bool
	// HasFileSum says whether the digest of an entry's content is present.
	HasFileSum(entry int) bool
}

// Info is what "index info" tells about an index.
type Info struct {
	Blob       digest.Digest // the layer
	DiffID     digest.Digest // empty for a tar that was only walked
	Format     string        // "gzip", "zstd", "tar", "raw"
	BlobSize   int64         // bytes
	TarSize    int64         // bytes
	IndexBytes int64
	// CheckpointBytes is the size of windows and decoder states.
	CheckpointBytes int64
	Entries         int
	Chunks          int
	Spans           int
	MedianSpan      int64 // decoded bytes
	MaxSpan         int64 // decoded bytes
	Digests         bool  // content is checked against digests
	Bound           bool  // the index was checked against the layer
	Complete        bool  // no part is missing
}

// Open maps an index file. The file must not be changed while it is open, as our own
// are not: they are renamed into place. One that is cut or damaged nevertheless
// gives errors that wrap lazy.ErrCorrupt, never wrong names or bytes.
// Errors: lazy.ErrCorrupt, ErrVersion, those of the file system.
func Open(path string) (*Layer, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if st.Size() < headerFixed || st.Size() >= maxOffset || !st.Mode().IsRegular() {
		return nil, corrupt("header", 0, "file of %d bytes", st.Size())
	}
	b, err := unix.Mmap(int(f.Fd()), 0, int(st.Size()), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map %s: %w", path, err)
	}
	l, err := OpenBytes(b)
	if err != nil {
		_ = unix.Munmap(b)
		return nil, err
	}
	l.close, l.mapped = func() error { return unix.Munmap(b) }, true
	return l, nil
}

// Release takes the pages of a mapped index file out of this process's resident memory. What
// is read later comes back from the system's page cache, so it costs nothing but
// speed, and may be called at any time. It does nothing for an index that is in memory.
func (l *Layer) Release() {
	if l.mapped {
		_ = unix.Madvise(l.b, unix.MADV_DONTNEED) // advice
	}
}

// OpenBytes opens an index that is in memory. The bytes become the layer's.
// Errors: as Open.
func OpenBytes(b []byte) (*Layer, error) { return open(b, nil) }

// OpenPartial opens an index of which only the tree (all sections but file digests,
// chunk digests, chunk ends and windows) is here; fill writes the rest into b when
// it is wanted. Such a layer is not bound. Errors: as Open.
func OpenPartial(b []byte, fill Filler) (*Layer, error) { return open(b, fill) }

func open(b []byte, fill Filler) (l *Layer, err error) {
	l = &Layer{b: b, fill: fill}
	err = guard(func() error {
		if l.h, err = decodeHeader(b); err != nil {
			return err
		}
		if l.h.fileSize != int64(len(b)) {
			return corrupt("header", 24, "file of %d bytes has %d", l.h.fileSize, len(b))
		}
		l.segments = bytes.Clone(l.section(secSegments))
		l.spans = bytes.Clone(l.section(secSpans))
		return l.checkTables()
	})
	if err != nil {
		return nil, err
	}
	if l.decode, err = decoderOf(l.h.format); err != nil {
		return nil, err
	}
	l.bound.Store(fill == nil && l.h.flags&flagChecked != 0)
	return l, nil
}

// checkTables checks the small sections whole: their checksums, and that segments
// and spans follow one another and stay inside the tar and the blob.
func (l *Layer) checkTables() error {
	for s, b := range map[section][]byte{secSegments: l.segments, secSpans: l.spans, secWarnings: l.section(secWarnings)} {
		if got := crc(b); got != l.h.sections[s].crc {
			return corrupt(s.String(), 0, "checksum %08x, bytes have %08x", l.h.sections[s].crc, got)
		}
	}
	if err := checkDigest(l.h.blob); err != nil {
		return err
	}
	if l.h.diff != "" {
		if err := checkDigest(l.h.diff); err != nil {
			return err
		}
	}
	if err := l.checkSegments(); err != nil {
		return err
	}
	return l.checkSpans()
}

func (l *Layer) checkSegments() error {
	chunk := int64(0)
	for i := range int(l.h.segments) {
		at := int64(i) * segmentBytes
		s := l.segment(i)
		end := l.segmentEnd(i)
		switch {
		case i == 0 && s.off != 0 || s.off >= end || end > l.h.tarSize:
			return corrupt("segments", at, "segment [%d, %d) of a tar of %d bytes", s.off, end, l.h.tarSize)
		case int64(s.chunk) != chunk:
			return corrupt("segments", at, "first chunk %d, not %d", s.chunk, chunk)
		case s.entry != noEntry && (int64(s.entry) >= l.h.entries || end-s.off < LargeBytes):
			return corrupt("segments", at, "entry %d with %d bytes", s.entry, end-s.off)
		}
		chunk += (end - s.off + lazy.ChunkBytes - 1) / lazy.ChunkBytes
	}
	if chunk != l.h.chunks {
		return corrupt("segments", 0, "%d chunks, not %d", chunk, l.h.chunks)
	}
	return nil
}

func (l *Layer) checkSpans() error {
	heap := l.h.sections[secWindows].len
	var next, lastIn, lastOut int64
	for i := range int(l.h.spans) {
		at := int64(i) * spanBytes
		s := l.span(i)
		last := l.spanLast(i)
		switch {
		case i == 0 && s.first != 0 || s.first >= last || int64(last) > l.h.chunks:
			return corrupt("spans", at, "chunks [%d, %d) of %d", s.first, last, l.h.chunks)
		case s.out < lastOut || s.in < lastIn || i > 0 && s.out == lastOut:
			return corrupt("spans", at, "out %d, in %d after out %d, in %d", s.out, s.in, lastOut, lastIn)
		case s.out > l.Chunk(s.first).Off || s.in > s.inMax || s.inMax > l.h.blobSize || s.inMax-s.in > 1<<32-1:
			return corrupt("spans", at, "out %d, in %d to %d of %d", s.out, s.in, s.inMax, l.h.blobSize)
		case s.heap != next || int64(s.state)+int64(s.window) > heap-next || s.state > maxState || s.window > maxWindow:
			return corrupt("spans", at, "window of %d and state of %d bytes at %d of %d", s.window, s.state, s.heap, heap)
		}
		next += int64(s.state) + int64(s.window)
		lastIn, lastOut = s.in, s.out
	}
	if next != heap {
		return corrupt("windows", next, "%d bytes too many", heap-next)
	}
	return nil
}

func checkDigest(s string) error {
	if err := digest.Digest(s).Validate(); err != nil {
		return corrupt("header", headerFixed, "digest %.80q: %v", s, err)
	}
	return nil
}

// Close ends the use of the index. Entries' strings are invalid from then on.
func (l *Layer) Close() error {
	if l.close == nil {
		return nil
	}
	return l.close()
}

// Blob is the digest of the layer's compressed bytes.
func (l *Layer) Blob() digest.Digest { return digest.Digest(l.h.blob) }

// DiffID is the digest of the tar; empty where the tar was only walked.
func (l *Layer) DiffID() digest.Digest { return digest.Digest(l.h.diff) }

// BlobSize is the number of compressed bytes.
func (l *Layer) BlobSize() int64 { return l.h.blobSize }

// Format is the short name of the compression: "gzip", "zstd"; "tar" for none;
// "raw" for a blob that is one file.
func (l *Layer) Format() string { return trimFormat(l.h.format) }

// Foreign says whether the index was made of another program's (FromForeign).
func (l *Layer) Foreign() bool { return l.h.flags&flagForeign != 0 }

// Bytes is the index file. It aliases the map, and has holes while parts are missing.
func (l *Layer) Bytes() []byte { return l.b }

// Bound says whether the index was checked against the layer's digest and diffID:
// by the pass that built it here, or by a later check (Bind).
func (l *Layer) Bound() bool { return l.bound.Load() }

// Bind records that the index was compared with the layer, or pinned by its digest.
func (l *Layer) Bind() { l.bound.Store(true) }

// BindTo records that the index was compared (Compare) with one that was built here
// from the layer. If it has no digests, as one from a walk or a ztoc, and cuts the same
// chunks, it uses those of ours from now on, which must stay open, and what was read through it
// before is compared with them. Errors: ErrDiffer if that was something else; the
// layer is not bound then.
func (l *Layer) BindTo(ours *Layer) error {
	if !l.HasDigests() && ours.HasDigests() && sameChunks(l, ours) {
		if err := l.lend(ours); err != nil {
			return err
		}
	}
	l.Bind()
	return nil
}

// sameChunks says whether two layers have the same chunks at the same places. Another program's
// index may leave out what follows the tar's end (zeros, up to a record's length), and so
// the end of the last chunk, and more chunks.
func sameChunks(a, b *Layer) bool {
	shorter := a.Foreign() && a.h.tarSize < b.h.tarSize
	if a.h.flags&flagStandIn != 0 || !shorter && (a.h.tarSize != b.h.tarSize || a.h.segments != b.h.segments) || a.h.segments > b.h.segments {
		return false
	}
	for i := range int(b.h.segments) {
		switch off := b.segment(i).off; {
		case i >= int(a.h.segments):
			if off < a.h.tarSize {
				return false
			}
		case off != a.segment(i).off:
			return false
		}
	}
	return true
}

// Unbind records that the index came from elsewhere, whatever it says of itself.
func (l *Layer) Unbind() { l.bound.Store(false) }

// HasDigests says whether content is checked against digests of the index.
func (l *Layer) HasDigests() bool { return l.digests() || l.ours.Load() != nil }

// digests says whether the file itself has them.
func (l *Layer) digests() bool { return l.h.flags&flagDigests != 0 }

func (l *Layer) raw() bool { return l.h.flags&flagRaw != 0 }

// For returns an error that wraps ErrMismatch unless the index says that it is of
// the blob, and, where both are known, of the diffID.
func (l *Layer) For(blob digest.Digest, size int64, diffID digest.Digest) error {
	switch {
	case l.h.blob != blob.String():
		return fmt.Errorf("%w: it is of %s, not of %s", ErrMismatch, l.h.blob, blob)
	case l.h.blobSize != size:
		return fmt.Errorf("%w: it is of a blob of %d bytes, not of %d", ErrMismatch, l.h.blobSize, size)
	case l.h.diff != "" && diffID != "" && l.h.diff != diffID.String():
		return fmt.Errorf("%w: its diffID is %s, not %s", ErrMismatch, l.h.diff, diffID)
	}
	return nil
}

// Info tells about the index.
func (l *Layer) Info() Info {
	in := Info{
		Blob: l.Blob(), DiffID: l.DiffID(), Format: l.Format(), BlobSize: l.h.blobSize, TarSize: l.h.tarSize,
		IndexBytes: l.h.fileSize, CheckpointBytes: l.h.sections[secWindows].len,
		Entries: l.NumEntries(), Chunks: l.Chunks(), Spans: l.Spans(),
		Digests: l.HasDigests(), Bound: l.Bound(), Complete: l.fill == nil,
	}
	if l.raw() {
		in.MedianSpan = min(lazy.ChunkBytes, l.h.tarSize)
		in.MaxSpan = in.MedianSpan
		return in
	}
	lens := make([]int64, l.Spans())
	for i := range lens {
		end := l.h.tarSize
		if i+1 < len(lens) {
			end = l.span(i + 1).out
		}
		lens[i] = end - l.span(i).out
		in.MaxSpan = max(in.MaxSpan, lens[i])
	}
	sort.Slice(lens, func(i, j int) bool { return lens[i] < lens[j] })
	if len(lens) > 0 {
		in.MedianSpan = lens[len(lens)/2]
	}
	return in
}

// Verify checks all checksums of the file, for "index verify" and tests.
func (l *Layer) Verify() error {
	return guard(func() error {
		for s := secEntries; s <= l.h.last(); s++ {
			if got := crc(l.section(s)); got != l.h.sections[s].crc {
				return corrupt(s.String(), 0, "checksum %08x, bytes have %08x", l.h.sections[s].crc, got)
			}
		}
		return nil
	})
}

// section returns the bytes of a section.
func (l *Layer) section(s section) []byte {
	p := l.h.sections[s]
	return l.b[p.off : p.off+p.len : p.off+p.len]
}

// guard runs f, which touches mapped memory: a file that was cut under the map gives
// an error instead of the end of the process.
func guard(f func() error) (err error) {
	old := debug.SetPanicOnFault(true)
	defer func() {
		debug.SetPanicOnFault(old)
		r := recover()
		if r == nil {
			return
		}
		fault, ok := r.(interface {
			runtime.Error
			Addr() uintptr
		})
		if !ok {
			panic(r)
		}
		err = corrupt("file", 0, "cut while it was open: %v", fault)
	}()
	return f()
}

// recordSum is the checksum of a record and of the heap bytes that belong to it.
func recordSum(record []byte, heaps ...[]byte) uint32 {
	sum := crc(record)
	for _, h := range heaps {
		sum = crc32.Update(sum, crcTable, h)
	}
	return sum
}
