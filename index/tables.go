package index

import (
	"encoding/binary"
	"fmt"
	"slices"
	"sort"

	"github.com/shalefs/shalefs/index/codec"
	"github.com/shalefs/shalefs/index/tarx"
	"github.com/shalefs/shalefs/lazy"
)

// tables collects the content of an index file. What grows with the layer is kept in
// the bytes of the file, not in structs: 84 bytes and a path an entry, 36 a chunk.
// The fields are exported to encoding/gob, which saves an interrupted build.
type tables struct {
	Entries, Paths, Xattrs, Sparse []byte
	FileSums                       []byte
	Segments                       []byte
	ChunkSums                      []byte
	ChunkIns                       []byte // 8 bytes a chunk: compressed bytes needed, absolute
	Spans                          []byte // spanBytes each; first and inMax are filled in at the end
	Windows                        []byte
	Warnings                       map[string]*Warning
	Needs                          needed

	NumEntries int
	Chunks     int64
	TarSize    int64
	Digests    bool

	XattrAt map[string]uint32 // lists of xattrs that are in the heap already
}

// maxShared bounds the lists of xattrs that are kept to be shared.
const maxShared = 1 << 12

// addEntry appends a record. The checksum is final, the digest of the content may
// follow (setFileSum).
func (t *tables) addEntry(e *tarx.Entry) (int, error) {
	i := t.NumEntries
	if i >= maxEntries {
		return 0, fmt.Errorf("%w: more than %d entries", ErrLayer, maxEntries)
	}
	var rec [entryBytes]byte
	var heaps [3][]byte
	var err error
	put := func(at int, heap *[]byte, add []byte, used int, plus uint32) {
		if int64(len(*heap))+int64(len(add)) >= 1<<32-1 {
			err = fmt.Errorf("%w: more than 4 GiB of names or xattrs", ErrLayer)
			return
		}
		le.PutUint32(rec[at:], uint32(len(*heap))+plus)
		*heap = append(*heap, add...)
		heaps[used] = add
	}
	put(0, &t.Paths, heapString(e.Path), 0, 0)
	switch e.Kind {
	case tarx.Regular:
		if e.Off < 0 || e.Stored < 0 || e.Off >= maxOffset || e.Stored >= maxOffset {
			return 0, fmt.Errorf("%w: %q has %d bytes at %d", ErrLayer, e.Path, e.Stored, e.Off)
		}
		put48(rec[32:], e.Off)
		put48(rec[38:], e.Stored)
		if e.Sparse != nil {
			put(4, &t.Sparse, sparseMap(e), 1, 1)
		}
	case tarx.Symlink, tarx.Hardlink:
		put(4, &t.Paths, heapString(e.Link), 1, 1)
	case tarx.Char, tarx.Block:
		le.PutUint32(rec[32:], e.Major)
		le.PutUint32(rec[38:], e.Minor)
	}
	if len(e.Xattrs) > 0 {
		list := xattrList(e.Xattrs)
		if at, ok := t.XattrAt[string(list)]; ok {
			le.PutUint32(rec[8:], at)
			heaps[2] = list
		} else {
			put(8, &t.Xattrs, list, 2, 1)
			t.share(list, le.Uint32(rec[8:]))
		}
	}
	if err != nil {
		return 0, err
	}
	le.PutUint16(rec[12:], uint16(e.Kind)<<12|e.Mode&0o7777)
	put48(rec[14:], min(max(e.MTime, -1<<47), 1<<47-1))
	le.PutUint32(rec[20:], e.MTimeNano)
	le.PutUint32(rec[24:], e.UID)
	le.PutUint32(rec[28:], e.GID)
	le.PutUint32(rec[44:], recordSum(rec[:44], heaps[:]...))
	t.Entries = append(t.Entries, rec[:]...)
	if t.Digests {
		t.FileSums = append(t.FileSums, make([]byte, fileSumBytes)...)
		t.setFileSum(i, e.Digest)
	}
	t.NumEntries++
	return i, nil
}

func (t *tables) share(list []byte, at uint32) {
	if t.XattrAt == nil {
		t.XattrAt = map[string]uint32{}
	}
	if len(t.XattrAt) < maxShared && len(list) < 4096 {
		t.XattrAt[string(list)] = at
	}
}

func (t *tables) setFileSum(i int, sum [32]byte) {
	rec := t.FileSums[i*fileSumBytes:][:fileSumBytes]
	copy(rec, sum[:])
	le.PutUint32(rec[32:], crc(rec[:32]))
}

// addSegment begins a segment at the tar offset off with the next chunk.
func (t *tables) addSegment(off int64, entry uint32) {
	var row [segmentBytes]byte
	put48(row[:], off)
	le.PutUint32(row[8:], uint32(t.Chunks))
	le.PutUint32(row[12:], entry)
	t.Segments = append(t.Segments, row[:]...)
}

// setSegmentSum sets the digest of the last segment, a large file.
func (t *tables) setSegmentSum(sum [32]byte) {
	copy(t.Segments[len(t.Segments)-segmentBytes+16:], sum[:])
}

// addChunk appends a chunk's digest and the number of compressed bytes up to its end.
func (t *tables) addChunk(sum [32]byte, in int64) {
	t.ChunkSums = append(t.ChunkSums, sum[:]...)
	t.ChunkIns = le.AppendUint64(t.ChunkIns, uint64(in))
	t.Chunks++
}

// addCheckpoint appends a checkpoint.
func (t *tables) addCheckpoint(cp codec.Checkpoint) error {
	if cp.Out < 0 || cp.In < 0 || cp.Out >= maxOffset || cp.In >= maxOffset || len(cp.State) > maxState || len(cp.Window) > maxWindow {
		return fmt.Errorf("checkpoint at %d: state of %d and window of %d bytes", cp.Out, len(cp.State), len(cp.Window))
	}
	var row [spanBytes]byte
	put48(row[8:], cp.Out)
	put48(row[16:], cp.In)
	put48(row[32:], int64(len(t.Windows)))
	le.PutUint32(row[40:], uint32(len(cp.State)))
	le.PutUint32(row[44:], uint32(len(cp.Window)))
	le.PutUint32(row[4:], recordSum(cp.State, cp.Window))
	t.Spans = append(t.Spans, row[:]...)
	t.Windows = append(append(t.Windows, cp.State...), cp.Window...)
	return nil
}

func (t *tables) warn(kind, path string, n int) {
	if t.Warnings == nil {
		t.Warnings = map[string]*Warning{}
	}
	w := t.Warnings[kind]
	if w == nil {
		w = &Warning{Kind: kind, First: path[:min(len(path), 4096)]}
		t.Warnings[kind] = w
	}
	w.Count = min(w.Count+n, 1<<31-1)
}

func (t *tables) warnings() []byte {
	var b []byte
	for _, w := range sortedWarnings(t.Warnings) {
		b = le.AppendUint32(b, uint32(w.Count))
		b = le.AppendUint32(b, uint32(len(w.Kind)))
		b = le.AppendUint32(b, uint32(len(w.First)))
		b = append(append(b, w.Kind...), w.First...)
	}
	return b
}

func sortedWarnings(m map[string]*Warning) []*Warning {
	var ws []*Warning
	for _, w := range m {
		ws = append(ws, w)
	}
	sort.Slice(ws, func(i, j int) bool { return ws[i].Kind < ws[j].Kind })
	return ws
}

// finish lays the file out. The header has all but counts, sizes and places.
func (t *tables) finish(h header) ([]byte, error) {
	h.tarSize, h.entries, h.chunks = t.TarSize, int64(t.NumEntries), t.Chunks
	h.segments = int64(len(t.Segments) / segmentBytes)
	if t.Chunks >= 1<<32-1 {
		return nil, fmt.Errorf("%w: %d chunks", ErrLayer, t.Chunks)
	}
	var spans, windows, ends []byte
	if h.flags&flagRaw == 0 {
		var err error
		if spans, windows, ends, err = t.spans(h.blobSize); err != nil {
			return nil, err
		}
		for i := 0; i < len(spans); i += spanBytes {
			h.largestSpanIn = max(h.largestSpanIn, get48(spans[i+24:])-get48(spans[i+16:]))
		}
	}
	h.spans = int64(len(spans) / spanBytes)
	content := [numSections + 1][]byte{
		secEntries: t.Entries, secPaths: t.Paths, secXattrs: t.Xattrs, secSparse: t.Sparse,
		secSegments: t.Segments, secSpans: spans, secWarnings: t.warnings(),
		secFileSums: t.FileSums, secChunkSums: t.ChunkSums, secChunkEnds: ends, secWindows: windows,
		secNeeds: t.Needs.Heap,
	}
	if len(t.Needs.Heap) > 0 {
		h.flags |= flagNeeds
	}
	if !t.Digests {
		content[secFileSums], content[secChunkSums] = nil, nil
	}
	next := int64(h.len())
	for s := secEntries; s <= h.last(); s++ {
		h.sections[s] = place{off: align(next), len: int64(len(content[s])), crc: crc(content[s])}
		next = align(next) + int64(len(content[s]))
	}
	h.fileSize = align(next)
	b := make([]byte, h.fileSize)
	for s := secEntries; s <= h.last(); s++ {
		copy(b[h.sections[s].off:], content[s])
	}
	copy(b, h.encode())
	return b, nil
}

// chunkOffs walks the offsets of all chunks in order.
func (t *tables) chunkOffs(yield func(off int64)) {
	for i := 0; i < len(t.Segments); i += segmentBytes {
		off, end := get48(t.Segments[i:]), t.TarSize
		if i+segmentBytes < len(t.Segments) {
			end = get48(t.Segments[i+segmentBytes:])
		}
		for ; off < end; off += lazy.ChunkBytes {
			yield(off)
		}
	}
}

// spans gives each checkpoint the chunks that start in its span, drops those that
// have none, and makes the ends of chunks relative to their spans.
func (t *tables) spans(blobSize int64) (spans, windows, ends []byte, err error) {
	rows := slices.Collect(slices.Chunk(t.Spans, spanBytes))
	if t.Chunks == 0 {
		return nil, nil, nil, nil
	}
	if len(rows) == 0 || get48(rows[0][8:]) != 0 {
		return nil, nil, nil, fmt.Errorf("%w: no checkpoint at the start", ErrLayer)
	}
	chunk, row := 0, 0
	cur := -1 // the row that the current span was made of
	add := func(row int) {
		r := append([]byte(nil), rows[row]...)
		at, n := get48(r[32:]), int64(le.Uint32(r[40:]))+int64(le.Uint32(r[44:]))
		le.PutUint32(r, uint32(chunk))
		put48(r[32:], int64(len(windows)))
		windows = append(windows, t.Windows[at:at+n]...)
		spans = append(spans, r...)
		cur = row
	}
	ends = make([]byte, 0, t.Chunks*endBytes)
	t.chunkOffs(func(off int64) {
		for row+1 < len(rows) && get48(rows[row+1][8:]) <= off {
			row++
		}
		if row != cur {
			add(row)
		}
		last := spans[len(spans)-spanBytes:]
		in := min(int64(le.Uint64(t.ChunkIns[chunk*8:])), blobSize)
		start := get48(last[16:])
		if in < start || in-start > 1<<32-1 {
			err = fmt.Errorf("%w: a span of %d compressed bytes at %d", ErrLayer, in-start, start)
			in = start
		}
		put48(last[24:], max(get48(last[24:]), in))
		ends = le.AppendUint32(ends, uint32(in-start))
		chunk++
	})
	return spans, windows, ends, err
}

func heapString(s string) []byte {
	return append(binary.AppendUvarint(make([]byte, 0, len(s)+3), uint64(len(s))), s...)
}

func xattrList(xs []tarx.Xattr) []byte {
	b := binary.AppendUvarint(nil, uint64(len(xs)))
	for _, x := range xs {
		b = append(b, heapString(x.Name)...)
		b = binary.AppendUvarint(b, uint64(len(x.Value)))
		b = append(b, x.Value...)
	}
	return b
}

func sparseMap(e *tarx.Entry) []byte {
	b := le.AppendUint64(nil, uint64(e.Size))
	b = le.AppendUint64(b, uint64(len(e.Sparse)))
	for _, r := range e.Sparse {
		b = le.AppendUint64(b, uint64(r.Off))
		b = le.AppendUint64(b, uint64(r.Len))
	}
	return b
}
