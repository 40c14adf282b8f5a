package index

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/shalefs/shalefs/lazy"
)

// The layout of an index file. FORMAT.md draws it; the two change together.
const (
	magic   = "shaleidx"
	version = 1

	headerFixed  = 128 // bytes before the header's strings
	sectionBytes = 24  // bytes of one row of the section table

	entryBytes   = 48
	segmentBytes = 48
	spanBytes    = 48
	fileSumBytes = 36
	sumBytes     = 32
	endBytes     = 4
	runBytes     = 16
	warningBytes = 12

	sectionAlign = 8

	// maxHeader bounds header, strings and section table.
	maxHeader = 64 << 10
	// maxEntries bounds the entries of a layer (ERR-6).
	maxEntries = 20_000_000
	// maxOffset is the first offset in a tar or a blob that has no place in a record.
	maxOffset = 1 << 48
	// maxXattrs and maxRuns bound what one entry may carry.
	maxXattrs = 1 << 16
	maxRuns   = 1 << 22
	// maxString bounds a path, a link target, an xattr's name or value.
	maxString = 1 << 20
	// maxWindow bounds a packed window, and maxState a decoder's state.
	maxWindow = 160 << 20
	maxState  = 1 << 20
)

// LargeBytes is the size from which a file is a segment of its own, and has a cache
// object of its own.
const LargeBytes = 1 << 20

// Flags of the header.
const (
	flagChecked = 1 << iota // the blob digest and the diffID were checked when the file was made
	flagRaw                 // the blob is the tar itself: each chunk is a span
	flagDigests             // digests of files and chunks are there
	flagFile                // the blob is one raw file, not a tar: the one entry is made up
	flagForeign             // made of another program's index, whose times may lack nanoseconds
	flagStandIn             // the stream is not the layer's tar: contents in order, headers unknown
	flagNeeds               // what files need is there: section secNeeds

	knownFlags = flagChecked | flagRaw | flagDigests | flagFile | flagForeign | flagStandIn | flagNeeds
)

// A section is a part of the file.
type section int

const (
	secEntries   section = iota + 1 // entryBytes each
	secPaths                        // heap: length, bytes
	secXattrs                       // heap: count, then names and values
	secSparse                       // heap: size, count, runs
	secSegments                     // segmentBytes each
	secSpans                        // spanBytes each
	secWarnings                     // heap
	secFileSums                     // fileSumBytes for each entry
	secChunkSums                    // sumBytes for each chunk
	secChunkEnds                    // endBytes for each chunk
	secWindows                      // heap: states and windows
	secNeeds                        // heap: records of package needs; only with flagNeeds
	numSections  = iota
)

var sectionNames = [...]string{
	secEntries: "entries", secPaths: "paths", secXattrs: "xattrs", secSparse: "sparse",
	secSegments: "segments", secSpans: "spans", secWarnings: "warnings", secFileSums: "file digests",
	secChunkSums: "chunk digests", secChunkEnds: "chunk ends", secWindows: "windows",
	secNeeds: "needs",
}

func (s section) String() string { return sectionNames[s] }

var (
	le       = binary.LittleEndian
	crcTable = crc32.MakeTable(crc32.Castagnoli)
)

func crc(p []byte) uint32 { return crc32.Checksum(p, crcTable) }

// A place is where a section lies in the file.
type place struct {
	off, len int64
	crc      uint32
}

// A header is the first part of an index file.
type header struct {
	flags              uint32
	fileSize           int64
	blobSize, tarSize  int64
	entries, chunks    int64
	spans, segments    int64
	spanParam          int64 // ScanOptions.SpanBytes
	maxSpanParam       int64 // ScanOptions.MaxSpanBytes
	overhang           int64 // ScanOptions.Overhang
	largestSpanIn      int64 // compressed bytes of the largest span, overhang included
	blob, diff, format string
	sections           [numSections + 1]place
}

// last is the last section.
func (h *header) last() section {
	if h.flags&flagNeeds == 0 {
		return secWindows
	}
	return secNeeds
}

// len is the length of the encoded header.
func (h *header) len() int {
	n := headerFixed + 6 + len(h.blob) + len(h.diff) + len(h.format)
	return (n+7)&^7 + int(h.last())*sectionBytes
}

func (h *header) encode() []byte {
	b := make([]byte, h.len())
	copy(b, magic)
	le.PutUint32(b[8:], version)
	le.PutUint32(b[12:], uint32(len(b)))
	le.PutUint32(b[20:], h.flags)
	for i, p := range h.numbers() {
		le.PutUint64(b[24+8*i:], uint64(*p))
	}
	at := headerFixed
	for _, s := range []string{h.blob, h.diff, h.format} {
		le.PutUint16(b[at:], uint16(len(s)))
		copy(b[at+2:], s)
		at += 2 + len(s)
	}
	at = (at + 7) &^ 7
	for s := secEntries; s <= h.last(); s++ {
		p := h.sections[s]
		le.PutUint32(b[at:], uint32(s))
		le.PutUint32(b[at+4:], p.crc)
		le.PutUint64(b[at+8:], uint64(p.off))
		le.PutUint64(b[at+16:], uint64(p.len))
		at += sectionBytes
	}
	le.PutUint32(b[16:], crc(b))
	return b
}

// numbers are the 64-bit fields in the order of the file, from byte 24 on.
func (h *header) numbers() []*int64 {
	return []*int64{&h.fileSize, &h.blobSize, &h.tarSize, &h.entries, &h.chunks, &h.spans,
		&h.segments, &h.spanParam, &h.maxSpanParam, &h.overhang, &h.largestSpanIn}
}

// decodeHeader reads a header. b is the file, or at least its header; the places of
// the sections are checked against fileSize, not against b.
func decodeHeader(b []byte) (h header, err error) {
	if len(b) < headerFixed || string(b[:8]) != magic {
		return h, corrupt("header", 0, "not a layer index")
	}
	if v := le.Uint32(b[8:]); v != version {
		return h, fmt.Errorf("%w: layer index of version %d, this program reads version %d", ErrVersion, v, version)
	}
	n := int(le.Uint32(b[12:]))
	if n < headerFixed || n > maxHeader || n > len(b) {
		return h, corrupt("header", 12, "length %d of %d", n, len(b))
	}
	b = b[:n]
	var zero [4]byte
	sum := crc32.Update(0, crcTable, b[:16])
	sum = crc32.Update(sum, crcTable, zero[:])
	sum = crc32.Update(sum, crcTable, b[20:])
	if got := le.Uint32(b[16:]); got != sum {
		return h, corrupt("header", 16, "checksum %08x, bytes have %08x", got, sum)
	}
	h.flags = le.Uint32(b[20:])
	if h.flags&^uint32(knownFlags) != 0 {
		return h, fmt.Errorf("%w: layer index with unknown flags %#x", ErrVersion, h.flags)
	}
	for i, p := range h.numbers() {
		v := le.Uint64(b[24+8*i:])
		if v >= maxOffset {
			return h, corrupt("header", int64(24+8*i), "value %d", v)
		}
		*p = int64(v)
	}
	at := headerFixed
	for _, s := range []*string{&h.blob, &h.diff, &h.format} {
		if at+2 > n {
			return h, corrupt("header", int64(at), "cut")
		}
		l := int(le.Uint16(b[at:]))
		if at+2+l > n {
			return h, corrupt("header", int64(at), "string of %d bytes", l)
		}
		*s = string(b[at+2 : at+2+l])
		at += 2 + l
	}
	at = (at + 7) &^ 7
	if at+int(h.last())*sectionBytes != n {
		return h, corrupt("header", int64(at), "section table of %d bytes", n-at)
	}
	next := int64(n)
	for s := secEntries; s <= h.last(); s++ {
		row := b[at:]
		p := place{off: int64(le.Uint64(row[8:])), len: int64(le.Uint64(row[16:])), crc: le.Uint32(row[4:])}
		if le.Uint32(row) != uint32(s) {
			return h, corrupt("header", int64(at), "section %d where %d belongs", le.Uint32(row), s)
		}
		// Sections follow one another without gap but for alignment.
		if p.off != align(next) || p.len < 0 || p.len > h.fileSize-p.off {
			return h, corrupt("header", int64(at), "section %v at %d, %d bytes", s, p.off, p.len)
		}
		next = p.off + p.len
		h.sections[s] = p
		at += sectionBytes
	}
	if align(next) != h.fileSize {
		return h, corrupt("header", 24, "file of %d bytes, sections end at %d", h.fileSize, next)
	}
	return h, h.check()
}

// check compares the counts with the sizes of their sections.
func (h *header) check() error {
	digests := h.flags&flagDigests != 0
	raw := h.flags&flagRaw != 0
	want := map[section]int64{
		secEntries:  h.entries * entryBytes,
		secSegments: h.segments * segmentBytes,
		secSpans:    h.spans * spanBytes,
	}
	if digests {
		want[secFileSums] = h.entries * fileSumBytes
		want[secChunkSums] = h.chunks * sumBytes
	} else {
		want[secFileSums], want[secChunkSums] = 0, 0
	}
	if raw {
		want[secChunkEnds], want[secWindows] = 0, 0
	} else {
		want[secChunkEnds] = h.chunks * endBytes
	}
	switch {
	case h.entries > maxEntries:
		return corrupt("header", 48, "%d entries, the limit is %d", h.entries, maxEntries)
	case h.chunks > 1<<32-1 || h.spans > h.chunks || h.segments > h.chunks:
		return corrupt("header", 56, "%d chunks, %d spans, %d segments", h.chunks, h.spans, h.segments)
	case (h.tarSize == 0) != (h.chunks == 0) || h.chunks > 0 && h.segments == 0 || !raw && h.chunks > 0 && h.spans == 0:
		return corrupt("header", 56, "%d chunks, %d spans, %d segments for %d bytes", h.chunks, h.spans, h.segments, h.tarSize)
	case raw && (h.tarSize != h.blobSize || h.spans != 0):
		return corrupt("header", 32, "raw blob of %d bytes with a tar of %d", h.blobSize, h.tarSize)
	case !raw && h.overhang < lazy.ChunkBytes:
		return corrupt("header", 96, "overhang %d, a chunk has %d", h.overhang, lazy.ChunkBytes)
	}
	for s, n := range want {
		if h.sections[s].len != n {
			return corrupt("header", 0, "section %v has %d bytes, not %d", s, h.sections[s].len, n)
		}
	}
	return nil
}

func align(n int64) int64 { return (n + sectionAlign - 1) &^ (sectionAlign - 1) }

// put48 and get48 write and read the six-byte integers of records.
func put48(b []byte, v int64) {
	le.PutUint32(b, uint32(v))
	le.PutUint16(b[4:], uint16(v>>32))
}

func get48(b []byte) int64 {
	return int64(le.Uint32(b)) | int64(le.Uint16(b[4:]))<<32
}

// getSigned48 reads a six-byte integer in two's complement.
func getSigned48(b []byte) int64 { return get48(b) << 16 >> 16 }
