package index

import (
	"fmt"
	"sort"

	"github.com/shalefs/shalefs/index/codec"
	"github.com/shalefs/shalefs/index/foreign"
	"github.com/shalefs/shalefs/index/gzipx"
	"github.com/shalefs/shalefs/index/tarx"
	"github.com/shalefs/shalefs/layout"
	"github.com/shalefs/shalefs/lazy"
)

// FromForeign makes an index of what another program's index says of a blob: an
// eStargz or zstd:chunked table of contents, or a SOCI ztoc (package foreign). format is
// the blob's compression: "gzip", "zstd" or "tar". The index has no digests of ours:
// pieces that have one of theirs are checked as they are decoded, nothing is
// kept in the cache, and it is not bound to the layer unless the caller says so (Bind),
// who knows whether the manifest binds the foreign index.
// Errors: layout.ErrUnsupported, layout.ErrInvalid.
func FromForeign(blob layout.Blob, format string, x *foreign.Index) ([]byte, error) {
	f := &foreignBuilder{x: x, size: blob.Size(), end: 1}
	h := header{flags: flagForeign, blobSize: blob.Size(), blob: blob.Digest().String(), format: format, overhang: lazy.ChunkBytes}
	if !x.Exact {
		h.flags |= flagStandIn
	}
	if x.Size < 0 || x.Size >= maxOffset {
		return nil, fmt.Errorf("%w: stream of %d bytes", layout.ErrInvalid, x.Size)
	}
	f.t.TarSize = x.Size
	for i := range x.Entries {
		e := x.Entries[i]
		e.Digest = [32]byte{}
		if _, err := f.t.addEntry(&e); err != nil {
			return nil, err
		}
	}
	for _, w := range x.Warnings {
		f.t.warn(string(w.Kind), w.Path, 1)
	}
	var err error
	switch {
	case len(x.Pieces) > 0 || !x.Exact:
		h.format += piecesSuffix
		err = f.pieces()
	case format == "tar":
		h.flags |= flagRaw
		if x.Size > blob.Size() {
			return nil, fmt.Errorf("%w: tar of %d bytes in a blob of %d", layout.ErrInvalid, x.Size, blob.Size())
		}
		f.t.TarSize = blob.Size() // what follows the tar's end is its too
		f.cut(func(off, end int64) { f.segment(off, end, 0) })
	case format == "gzip":
		err = f.seeks()
	default:
		err = fmt.Errorf("%w: foreign index of %.20q without pieces", layout.ErrUnsupported, format)
	}
	if err != nil {
		return nil, err
	}
	b, err := f.t.finish(h)
	if err != nil {
		return nil, err
	}
	if _, err := OpenBytes(b); err != nil { // what it says may contradict itself
		return nil, fmt.Errorf("%w: %w", layout.ErrInvalid, err)
	}
	return b, nil
}

type foreignBuilder struct {
	t    tables
	x    *foreign.Index
	size int64 // of the blob
	in   int64 // of the last span
	end  int64 // how far the spans up to the last one need the blob; at least 1, for loaders ask for no empty range
}

// segment adds the stream's bytes [off, end) as a segment whose chunks need the blob's bytes up to in.
func (f *foreignBuilder) segment(off, end, in int64) {
	if off == end {
		return
	}
	f.t.addSegment(off, noEntry)
	for ; off < end; off += lazy.ChunkBytes {
		f.t.Chunks++
		f.t.ChunkIns = le.AppendUint64(f.t.ChunkIns, uint64(in))
	}
}

// pieces makes each piece a segment and a span, and what lies between two, which
// are headers of nobody's making, a span of zeros.
func (f *foreignBuilder) pieces() error {
	at := int64(0)
	for i := range f.x.Pieces {
		p := &f.x.Pieces[i]
		switch {
		case p.Off < at || p.Len < 0 || p.Len > f.x.Size-p.Off || p.In < 0 || p.InEnd < p.In || p.InEnd == p.In && p.Len > 0 || p.InEnd > f.size || p.Skip < 0:
			return fmt.Errorf("%w: piece of %d bytes at %d, compressed [%d, %d)", layout.ErrInvalid, p.Len, p.Off, p.In, p.InEnd)
		case p.In < f.in:
			return fmt.Errorf("%w: piece at %d lies before one that comes before it", layout.ErrUnsupported, p.Off)
		case p.Known && p.Len > maxPiece || p.Skip > maxSkip:
			return fmt.Errorf("%w: piece of %d bytes after %d", layout.ErrUnsupported, p.Len, p.Skip)
		case p.Len == 0:
			continue
		}
		if err := f.gap(at, p.Off); err != nil {
			return err
		}
		f.in = p.In
		if err := f.t.addCheckpoint(pieceCheckpoint(p)); err != nil {
			return err
		}
		f.end = max(f.end, p.InEnd)
		f.segment(p.Off, p.Off+p.Len, f.end)
		at = p.Off + p.Len
	}
	return f.gap(at, f.x.Size)
}

func (f *foreignBuilder) gap(off, end int64) error {
	if off == end {
		return nil
	}
	if err := f.t.addCheckpoint(gapCheckpoint(off, f.in)); err != nil {
		return err
	}
	f.segment(off, end, f.end)
	return nil
}

// seeks makes spans of the places in a deflate stream.
func (f *foreignBuilder) seeks() error {
	seeks := f.x.Seeks
	if len(seeks) == 0 || seeks[0].Out != 0 || seeks[0].Bit != 0 {
		return fmt.Errorf("%w: no place at the start", layout.ErrInvalid)
	}
	for _, s := range seeks {
		cp, err := placeAt(s)
		if err != nil {
			return fmt.Errorf("%w: place at %d: %w", layout.ErrInvalid, s.Out, err)
		}
		if err := f.t.addCheckpoint(cp); err != nil {
			return err
		}
	}
	f.cut(func(off, end int64) {
		f.t.addSegment(off, noEntry)
		for ; off < end; off += lazy.ChunkBytes {
			last := min(off+lazy.ChunkBytes, end)
			// The byte in which the next place begins belongs to what is before it too.
			in := f.size
			if i := sort.Search(len(seeks), func(i int) bool { return seeks[i].Out >= last }); i < len(seeks) {
				in = min(in, seeks[i].In+1)
			}
			f.t.Chunks++
			f.t.ChunkIns = le.AppendUint64(f.t.ChunkIns, uint64(in))
		}
	})
	return nil
}

// placeAt makes a checkpoint of a place. The layer's first byte is the header of a gzip member, any
// other place that of a block.
func placeAt(s foreign.Seek) (codec.Checkpoint, error) {
	if s.In > 0 {
		return gzipx.BlockAt(s.Out, s.In, s.Bit, s.Window)
	}
	state, err := pieceDecoders["gzip"+piecesSuffix].start()
	return codec.Checkpoint{State: state}, err
}

// cut yields segments as a pass would make them.
func (f *foreignBuilder) cut(segment func(off, end int64)) {
	at := int64(0)
	for i := range f.x.Entries {
		e := &f.x.Entries[i]
		if e.Kind != tarx.Regular || e.Stored < LargeBytes || e.Off < at {
			continue
		}
		if e.Off > at {
			segment(at, e.Off)
		}
		segment(e.Off, e.Off+e.Stored)
		at = e.Off + e.Stored
	}
	if at < f.t.TarSize {
		segment(at, f.t.TarSize)
	}
}
