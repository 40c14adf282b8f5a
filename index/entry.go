package index

import (
	"encoding/binary"
	"unsafe"

	"github.com/shalefs/shalefs/index/tarx"
)

// NumEntries is the number of entries, whiteouts included.
func (l *Layer) NumEntries() int { return int(l.h.entries) }

// Entry reads entry i, 0 <= i < NumEntries, in the order of the archive, into e.
// Strings and xattr values alias the index and are valid until Close. The digest is
// zero where it is not known, or not here yet.
// Errors: lazy.ErrCorrupt for a record that is damaged or that does not fit the
// layer, such as content outside the tar.
func (l *Layer) Entry(i int, e *tarx.Entry) error {
	if i < 0 || i >= l.NumEntries() {
		return corrupt("entries", int64(i), "no entry %d of %d", i, l.NumEntries())
	}
	return guard(func() error { return l.entry(i, e) })
}

func (l *Layer) entry(i int, e *tarx.Entry) error {
	sum, err := l.decodeEntry(i, e)
	if err != nil {
		return err
	}
	at := int64(i) * entryBytes
	if want := le.Uint32(l.section(secEntries)[at+44:]); sum != want {
		return corrupt("entries", at, "checksum %08x, bytes have %08x", want, sum)
	}
	return nil
}

// decodeEntry reads an entry and returns the checksum that its record should have.
func (l *Layer) decodeEntry(i int, e *tarx.Entry) (sum uint32, err error) {
	at := int64(i) * entryBytes
	rec := l.section(secEntries)[at : at+entryBytes]
	mode := le.Uint16(rec[12:])
	*e = tarx.Entry{
		Kind: tarx.Kind(mode >> 12), Mode: mode & 0o7777,
		MTime: getSigned48(rec[14:]), MTimeNano: le.Uint32(rec[20:]),
		UID: le.Uint32(rec[24:]), GID: le.Uint32(rec[28:]),
	}
	if e.Kind > tarx.Opaque || e.MTimeNano >= 1e9 {
		return 0, corrupt("entries", at, "kind %d, %d nanoseconds", e.Kind, e.MTimeNano)
	}
	var heaps [3][]byte
	var ok bool
	if e.Path, heaps[0], ok = l.str(le.Uint32(rec)); !ok {
		return 0, corrupt("entries", at, "path at %d of %d", le.Uint32(rec), l.h.sections[secPaths].len)
	}
	extra := le.Uint32(rec[4:])
	switch e.Kind {
	case tarx.Regular:
		e.Off, e.Stored = get48(rec[32:]), get48(rec[38:])
		e.Size = e.Stored
		if e.Off > l.h.tarSize || e.Stored > l.h.tarSize-e.Off {
			return 0, corrupt("entries", at, "%q has %d bytes at %d of a tar of %d", e.Path, e.Stored, e.Off, l.h.tarSize)
		}
		if extra != 0 {
			if heaps[1], ok = l.sparse(extra-1, e); !ok {
				return 0, corrupt("entries", at, "%q has a broken sparse map at %d", e.Path, extra-1)
			}
		}
		l.fileSum(i, e)
	case tarx.Symlink, tarx.Hardlink:
		if e.Link, heaps[1], ok = l.str(extra - 1); !ok {
			return 0, corrupt("entries", at, "%q has a broken link at %d", e.Path, extra-1)
		}
		if e.Kind == tarx.Symlink {
			e.Size = int64(len(e.Link))
		}
	case tarx.Char, tarx.Block:
		e.Major, e.Minor = le.Uint32(rec[32:]), le.Uint32(rec[38:])
	}
	if x := le.Uint32(rec[8:]); x != 0 {
		if heaps[2], ok = l.xattrs(x-1, e); !ok {
			return 0, corrupt("entries", at, "%q has broken xattrs at %d", e.Path, x-1)
		}
	}
	return recordSum(rec[:44], heaps[0], heaps[1], heaps[2]), nil
}

// str reads a string of the path heap; raw is all its bytes in the heap.
func (l *Layer) str(at uint32) (s string, raw []byte, ok bool) {
	heap := l.section(secPaths)
	if int64(at) >= int64(len(heap)) {
		return "", nil, false
	}
	n, w := binary.Uvarint(heap[at:])
	if w <= 0 || n > maxString || n > uint64(len(heap)-int(at)-w) {
		return "", nil, false
	}
	raw = heap[at : int(at)+w+int(n)]
	return alias(raw[w:]), raw, true
}

// alias is p as a string, without a copy.
func alias(p []byte) string { return unsafe.String(unsafe.SliceData(p), len(p)) }

// xattrs reads a list of the xattr heap into e.
func (l *Layer) xattrs(at uint32, e *tarx.Entry) (raw []byte, ok bool) {
	heap := l.section(secXattrs)
	if int64(at) >= int64(len(heap)) {
		return nil, false
	}
	rest := heap[at:]
	next := func() ([]byte, bool) {
		n, w := binary.Uvarint(rest)
		if w <= 0 || n > maxString || n > uint64(len(rest)-w) {
			return nil, false
		}
		p := rest[w : w+int(n) : w+int(n)]
		rest = rest[w+int(n):]
		return p, true
	}
	n, w := binary.Uvarint(rest)
	if w <= 0 || n > maxXattrs || n > uint64(len(rest)) {
		return nil, false
	}
	rest = rest[w:]
	e.Xattrs = make([]tarx.Xattr, n)
	for i := range e.Xattrs {
		name, ok := next()
		if !ok {
			return nil, false
		}
		value, ok := next()
		if !ok {
			return nil, false
		}
		e.Xattrs[i] = tarx.Xattr{Name: alias(name), Value: value}
	}
	return heap[at : len(heap)-len(rest)], true
}

// sparse reads a sparse map, which must have increasing runs inside the file that
// together are the stored bytes.
func (l *Layer) sparse(at uint32, e *tarx.Entry) (raw []byte, ok bool) {
	heap := l.section(secSparse)
	if int64(at)+16 > int64(len(heap)) {
		return nil, false
	}
	size, n := le.Uint64(heap[at:]), le.Uint64(heap[at+8:])
	if size >= 1<<63 || n > maxRuns || int64(n)*runBytes > int64(len(heap))-int64(at)-16 {
		return nil, false
	}
	raw = heap[at : int64(at)+16+int64(n)*runBytes]
	e.Size = int64(size)
	e.Sparse = make([]tarx.Run, n)
	var end, stored int64
	for i := range e.Sparse {
		off, length := int64(le.Uint64(raw[16+i*runBytes:])), int64(le.Uint64(raw[24+i*runBytes:]))
		if off < end || length < 0 || off > e.Size || length > e.Size-off {
			return nil, false
		}
		end = off + length
		stored += length
		e.Sparse[i] = tarx.Run{Off: off, Len: length}
	}
	return raw, stored == e.Stored
}

// fileSum reads the digest of an entry's content, if it is known, here and whole.
func (l *Layer) fileSum(i int, e *tarx.Entry) {
	if !l.digests() || l.fill != nil && !l.fill.HasFileSum(i) {
		return
	}
	rec := l.section(secFileSums)[i*fileSumBytes:]
	if crc(rec[:32]) == le.Uint32(rec[32:]) {
		copy(e.Digest[:], rec)
	}
}

// A Warning counts one kind of thing that was wrong with a layer but could be read
// (ERR-10).
type Warning struct {
	Kind  string // such as "xattr dropped"
	Count int
	First string // the path where it was seen first
}

// Warnings lists what was counted, in the order of the kinds' names.
func (l *Layer) Warnings() []Warning {
	var out []Warning
	_ = guard(func() error {
		rest := l.section(secWarnings)
		for len(rest) >= warningBytes {
			n, k, p := int(le.Uint32(rest)), int(le.Uint32(rest[4:])), int(le.Uint32(rest[8:]))
			rest = rest[warningBytes:]
			if k > maxString || p > maxString || k+p > len(rest) {
				return nil
			}
			out = append(out, Warning{Kind: string(rest[:k]), Count: n, First: string(rest[k : k+p])})
			rest = rest[k+p:]
		}
		return nil
	})
	return out
}
