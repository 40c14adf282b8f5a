package index

import (
	"github.com/shalefs/shalefs/index/tarx"
)

// This file takes an index apart and puts it together, for package index/share: the
// tree, which is needed at once, and the parts that belong to spans and to entries.

// treeSections are the sections of the tree after the header; secEntries is among
// them, in columns.
var treeSections = [...]section{secPaths, secXattrs, secSparse, secSegments, secSpans, secWarnings, secNeeds}

// A column is a field of the entry records, as bytes [at, at+len) of a record.
var columns = [...]struct{ at, len int }{
	{0, 4}, {4, 4}, {8, 4}, {12, 2}, {14, 6}, {20, 4}, {24, 4}, {28, 4}, {32, 6}, {38, 6},
}

// Tree returns all that the tree needs: header, entries and what they refer to,
// segments, spans and warnings, in a form that compresses well. OpenTree is its inverse.
func (l *Layer) Tree() (b []byte, err error) {
	err = guard(func() error {
		b = append(b, l.b[:l.h.len()]...)
		b = l.packEntries(b)
		for _, s := range treeSections {
			b = append(b, l.section(s)...)
		}
		return nil
	})
	return b, err
}

// packEntries appends the entries by columns, each value as the difference from what
// the record before lets expect, each byte of the differences apart. The checksums are
// left out: they follow from the rest.
func (l *Layer) packEntries(b []byte) []byte {
	recs := l.section(secEntries)
	n := l.NumEntries()
	for _, c := range columns {
		at := len(b)
		b = append(b, make([]byte, n*c.len)...)
		plane := b[at:]
		var before []byte
		for i := range n {
			rec := recs[i*entryBytes:][:entryBytes]
			d := field(rec, c.at, c.len) - expect(before, c.at)
			for k := range c.len {
				plane[k*n+i] = byte(d >> (8 * k))
			}
			before = rec
		}
	}
	return b
}

// unpackEntries is the inverse of packEntries, but for the checksums.
func unpackEntries(recs, b []byte, n int) {
	for _, c := range columns {
		plane := b[:n*c.len]
		b = b[n*c.len:]
		var before []byte
		for i := range n {
			rec := recs[i*entryBytes:][:entryBytes]
			var d uint64
			for k := range c.len {
				d |= uint64(plane[k*n+i]) << (8 * k)
			}
			v := d + expect(before, c.at)
			for k := range c.len {
				rec[c.at+k] = byte(v >> (8 * k))
			}
			before = rec
		}
	}
}

// field reads a field of a record.
func field(rec []byte, at, n int) (v uint64) {
	for k := range n {
		v |= uint64(rec[at+k]) << (8 * k)
	}
	return v
}

// expect guesses a field from the same one of the record before, where that helps.
func expect(before []byte, at int) uint64 {
	switch {
	case before == nil, at == 4, at == 8, at == 38: // heaps that few entries use, the size
		return 0
	case at == 14, at == 32:
		return field(before, at, 6)
	case at == 12:
		return field(before, at, 2)
	}
	return field(before, at, 4)
}

// TreeHeader tells from the beginning of a tree how long the index file is that it
// belongs to. Errors: as Open.
func TreeHeader(tree []byte) (fileSize int64, err error) {
	h, err := decodeHeader(tree)
	if err != nil {
		return 0, err
	}
	// Windows and digests are a small share of a layer; more is not honest.
	if h.fileSize > 1<<30+h.blobSize/4 {
		return 0, corrupt("header", 24, "file of %d bytes for a layer of %d", h.fileSize, h.blobSize)
	}
	return h.fileSize, nil
}

// OpenTree lays a tree out in file, which has the length that TreeHeader told and is
// zero, and opens it; fill brings the rest. Errors: as Open.
func OpenTree(file, tree []byte, fill Filler) (*Layer, error) {
	h, err := decodeHeader(tree)
	if err != nil {
		return nil, err
	}
	if h.fileSize != int64(len(file)) {
		return nil, corrupt("header", 24, "file of %d bytes has %d", h.fileSize, len(file))
	}
	copy(file, tree[:h.len()])
	rest := tree[h.len():]
	packed := int64(0)
	for _, c := range columns {
		packed += int64(c.len) * h.entries
	}
	for _, s := range treeSections {
		packed += h.sections[s].len
	}
	if packed != int64(len(rest)) {
		return nil, corrupt("tree", 0, "%d bytes, not %d", len(rest), packed)
	}
	n := int(h.entries)
	entries := h.sections[secEntries]
	recs := file[entries.off:][:entries.len]
	unpackEntries(recs, rest, n)
	for _, c := range columns {
		rest = rest[c.len*n:]
	}
	for _, s := range treeSections {
		p := h.sections[s]
		copy(file[p.off:], rest[:p.len])
		rest = rest[p.len:]
	}
	l, err := open(file, fill)
	if err != nil {
		return nil, err
	}
	var e tarx.Entry
	for i := range n {
		sum, err := l.decodeEntry(i, &e)
		if err != nil {
			return nil, err
		}
		le.PutUint32(recs[i*entryBytes+44:], sum)
	}
	if got := crc(recs); got != entries.crc {
		return nil, corrupt("entries", 0, "checksum %08x, bytes have %08x", entries.crc, got)
	}
	return l, nil
}

// SpanPart returns what belongs to the spans [first, last): windows, chunk digests and
// chunk ends. PutSpanPart is its inverse.
func (l *Layer) SpanPart(first, last int) (b []byte, err error) {
	err = guard(func() error {
		for _, r := range l.spanRanges(first, last) {
			b = append(b, l.b[r.off:r.off+r.len]...)
		}
		return nil
	})
	return b, err
}

// SpanPartBytes is the length of a part.
func (l *Layer) SpanPartBytes(first, last int) int64 {
	var n int64
	for _, r := range l.spanRanges(first, last) {
		n += r.len
	}
	return n
}

// PutSpanPart writes a part to its places in the file that OpenTree was given. The
// caller has checked its digest, and lets Filler.HasSpan tell of it afterwards.
func (l *Layer) PutSpanPart(first, last int, part []byte) error {
	if int64(len(part)) != l.SpanPartBytes(first, last) {
		return corrupt("spans", int64(first), "part of %d bytes, not %d", len(part), l.SpanPartBytes(first, last))
	}
	for _, r := range l.spanRanges(first, last) {
		copy(l.b[r.off:], part[:r.len])
		part = part[r.len:]
	}
	return nil
}

// spanRanges are the ranges of the file that belong to spans.
func (l *Layer) spanRanges(first, last int) [3]place {
	c0, c1 := l.Span(first).First, l.Span(last-1).Last
	var w, sums, ends place
	if !l.raw() {
		a, b := l.span(first), l.span(last-1)
		w = place{off: l.h.sections[secWindows].off + a.heap, len: b.heap + int64(b.state+b.window) - a.heap}
		ends = place{off: l.h.sections[secChunkEnds].off + int64(c0)*endBytes, len: int64(c1-c0) * endBytes}
	}
	if l.digests() {
		sums = place{off: l.h.sections[secChunkSums].off + int64(c0)*sumBytes, len: int64(c1-c0) * sumBytes}
	}
	return [3]place{w, sums, ends}
}

// FileSumPart returns the digests of the contents of the entries [first, last).
func (l *Layer) FileSumPart(first, last int) (b []byte, err error) {
	err = guard(func() error {
		b = append(b, l.section(secFileSums)[first*fileSumBytes:last*fileSumBytes]...)
		return nil
	})
	return b, err
}

// PutFileSumPart writes digests to their places, as PutSpanPart does.
func (l *Layer) PutFileSumPart(first, last int, part []byte) error {
	if len(part) != (last-first)*fileSumBytes {
		return corrupt("file digests", int64(first), "part of %d bytes", len(part))
	}
	copy(l.section(secFileSums)[first*fileSumBytes:], part)
	return nil
}
