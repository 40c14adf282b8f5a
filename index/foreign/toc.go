package foreign

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/shalefs/shalefs/index/tarx"
)

// A TOC is the table of contents that eStargz and zstd:chunked share, up to a few fields.
type TOC struct {
	// Files are its entries in archive order.
	Files []File
	// TarSplitDigest is the digest of the packed tar-split data, or "" (containers' zstd:chunked).
	TarSplitDigest string
}

// A File is an entry of a TOC. Pieces cover a reg's bytes in order, with Off counted
// from the file's start.
type File struct {
	Record
	Pieces []Piece
}

// tocEntry is an entry as JSON has it. An entry of the type chunk goes on with
// the reg before it.
type tocEntry struct {
	Type        string            `json:"type"`
	Name        string            `json:"name"`
	LinkName    string            `json:"linkName"`
	Mode        int64             `json:"mode"`
	Size        int64             `json:"size"`
	UID         int64             `json:"uid"`
	GID         int64             `json:"gid"`
	ModTime     string            `json:"modtime"`
	DevMajor    int64             `json:"devMajor"`
	DevMinor    int64             `json:"devMinor"`
	Xattrs      map[string][]byte `json:"xattrs"`
	Digest      string            `json:"digest"`
	Offset      int64             `json:"offset"`
	InnerOffset int64             `json:"innerOffset"`
	ChunkOffset int64             `json:"chunkOffset"`
	ChunkSize   int64             `json:"chunkSize"`
	ChunkDigest string            `json:"chunkDigest"`
}

// ParseTOC reads a TOC. end is the offset in the blob before which all pieces must begin: where
// the TOC itself is stored.
// Errors: ErrInvalid, ErrUnsupported, ErrTooLarge.
func ParseTOC(b []byte, end int64) (*TOC, error) {
	if len(b) > MaxUnpacked {
		return nil, ErrTooLarge
	}
	var doc struct {
		Version        int        `json:"version"`
		Entries        []tocEntry `json:"entries"`
		TarSplitDigest string     `json:"tarSplitDigest"`
	}
	if err := json.NewDecoder(bytes.NewReader(b)).Decode(&doc); err != nil {
		return nil, Invalidf("table of contents: %v", err)
	}
	if doc.Version != 1 {
		return nil, Unsupportedf("table of contents of version %d", doc.Version)
	}
	toc := &TOC{TarSplitDigest: doc.TarSplitDigest}
	for i := 0; i < len(doc.Entries); {
		first := &doc.Entries[i]
		n := 1
		for i+n < len(doc.Entries) && doc.Entries[i+n].Type == "chunk" {
			n++
		}
		f, err := newFile(first, doc.Entries[i:i+n], end)
		if err != nil {
			return nil, err
		}
		toc.Files = append(toc.Files, f)
		i += n
	}
	toc.close(end)
	return toc, nil
}

func newFile(e *tocEntry, parts []tocEntry, end int64) (File, error) {
	f := File{Record: Record{
		Name: e.Name, Link: e.LinkName, Type: e.Type, Mode: e.Mode, UID: e.UID, GID: e.GID,
		Major: e.DevMajor, Minor: e.DevMinor,
	}}
	if e.ModTime != "" {
		t, err := time.Parse(time.RFC3339Nano, e.ModTime)
		if err != nil {
			return f, Invalidf("%q: time %.40q", e.Name, e.ModTime)
		}
		f.MTime, f.MTimeNano = t.Unix(), uint32(t.Nanosecond())
	}
	if len(e.Xattrs) > 0 {
		f.Xattrs = make(map[string]string, len(e.Xattrs))
		for k, v := range e.Xattrs {
			f.Xattrs[k] = string(v)
		}
	}
	if e.Type != "reg" {
		if len(parts) > 1 {
			return f, Invalidf("%q: chunks of a %.20s", e.Name, e.Type)
		}
		return f, nil
	}
	f.Size = e.Size
	if e.Size < 0 || e.Size == 0 && len(parts) > 1 {
		return f, Invalidf("%q: size %d", e.Name, e.Size)
	}
	var at int64
	for k := range parts {
		if e.Size == 0 {
			break
		}
		p, err := newPiece(e, &parts[k], at, end)
		if err != nil {
			return f, err
		}
		if len(parts) == 1 && !p.Known {
			if p.Digest, p.Known, err = parseDigest(e.Digest); err != nil {
				return f, err
			}
		}
		f.Pieces = append(f.Pieces, p)
		at += p.Len
	}
	if at != e.Size {
		return f, Invalidf("%q: chunks of %d bytes for %d", e.Name, at, e.Size)
	}
	return f, nil
}

// newPiece makes a piece of one part of the file e, at the offset at of it.
func newPiece(e, part *tocEntry, at, end int64) (Piece, error) {
	p := Piece{Off: at, Len: part.ChunkSize, In: part.Offset, Skip: part.InnerOffset}
	if p.Len == 0 {
		p.Len = e.Size - at
	}
	if part.Name != e.Name && !SameName(part.Name, e.Name) {
		return p, Invalidf("%q: a chunk of %q", e.Name, part.Name)
	}
	if part.ChunkOffset != at || p.Len <= 0 || p.Len > e.Size-at {
		return p, Invalidf("%q: chunk of %d bytes at %d", e.Name, p.Len, part.ChunkOffset)
	}
	if p.In < 0 || p.In >= end || p.Skip < 0 {
		return p, Invalidf("%q: chunk in the layer at %d+%d", e.Name, p.In, p.Skip)
	}
	var err error
	p.Digest, p.Known, err = parseDigest(part.ChunkDigest)
	return p, err
}

// parseDigest reads a sha256 digest; "" is none.
func parseDigest(s string) (d [32]byte, known bool, err error) {
	if s == "" {
		return d, false, nil
	}
	enc, ok := strings.CutPrefix(s, "sha256:")
	if !ok || len(enc) != 64 {
		return d, false, Invalidf("digest %.80q", s)
	}
	if _, err := hex.Decode(d[:], []byte(enc)); err != nil {
		return d, false, Invalidf("digest %.80q", s)
	}
	return d, true, nil
}

// close sets each piece's InEnd: the next place where a piece begins, or end.
func (t *TOC) close(end int64) {
	starts := []int64{end}
	for i := range t.Files {
		for _, p := range t.Files[i].Pieces {
			starts = append(starts, p.In)
		}
	}
	slices.Sort(starts)
	starts = slices.Compact(starts)
	for i := range t.Files {
		for k := range t.Files[i].Pieces {
			p := &t.Files[i].Pieces[k]
			n, found := slices.BinarySearch(starts, p.In)
			if found {
				n++
			}
			p.InEnd = starts[n]
		}
	}
}

// Index makes an index of the TOC alone, in a stand-in stream.
// Errors: *tarx.Error, ErrInvalid, ErrUnsupported.
func (t *TOC) Index() (*Index, error) {
	idx := &Index{}
	c := NewCollector(idx)
	for i := range t.Files {
		f := &t.Files[i]
		e, err := c.Add(&f.Record)
		if err != nil {
			return nil, err
		}
		if e != nil && e.Kind == tarx.Regular {
			idx.AddPieces(e.Off, f.Pieces)
		}
	}
	idx.Size = c.Size()
	return idx, nil
}

// AddPieces appends the pieces of a file whose content is at off of the stream.
func (x *Index) AddPieces(off int64, pieces []Piece) {
	for _, p := range pieces {
		p.Off += off
		x.Pieces = append(x.Pieces, p)
	}
}
