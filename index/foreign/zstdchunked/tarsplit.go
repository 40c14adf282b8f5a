package zstdchunked

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"

	"github.com/shalefs/shalefs/index/foreign"
	"github.com/shalefs/shalefs/index/tarx"
)

// tar-split is a row of JSON objects. A segment is raw bytes of the tar: headers, extra
// records, padding, the end. A file stands for the content of the entry whose header came last,
// also for one without content.
const (
	splitFile    = 1
	splitSegment = 2
)

type splitEntry struct {
	Type    int    `json:"type"`
	Name    string `json:"name"`
	NameRaw []byte `json:"name_raw"`
	Size    int64  `json:"size"`
	Payload []byte `json:"payload"` // of a file: its checksum
}

// exact makes an index of a tar-split: the parser reads the segments and skips the contents, and
// the TOC says where these are in the blob.
func exact(toc *foreign.TOC, split []byte) (*foreign.Index, error) {
	s := &splitting{idx: &foreign.Index{Exact: true}}
	p := tarx.NewParser(tarx.Options{}, s)
	files := toc.Files
	dec := json.NewDecoder(bytes.NewReader(split))
	for {
		var e splitEntry
		if err := dec.Decode(&e); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, foreign.Invalidf("tar-split: %v", err)
		}
		switch e.Type {
		case splitSegment:
			if _, err := p.Write(e.Payload); err != nil {
				return nil, err
			}
			continue
		case splitFile:
		default:
			return nil, foreign.Unsupportedf("tar-split entry of type %d", e.Type)
		}
		if len(e.NameRaw) > 0 {
			e.Name = string(e.NameRaw)
		}
		if e.Size == 0 {
			continue
		}
		at, regular := p.Offset(), s.regular
		if e.Size < 0 || p.Skippable() < e.Size || regular && (s.off != at || s.stored != e.Size) {
			return nil, foreign.Invalidf("tar-split: %q has %d bytes, but not in the tar", e.Name, e.Size)
		}
		if err := p.Skip(e.Size); err != nil {
			return nil, err
		}
		// Contents come in the order of the TOC's regular files.
		for len(files) > 0 && len(files[0].Pieces) == 0 {
			files = files[1:]
		}
		if len(files) == 0 || files[0].Size != e.Size || !foreign.SameName(files[0].Name, e.Name) {
			return nil, foreign.Invalidf("tar-split and TOC differ at %q", e.Name)
		}
		if regular {
			s.idx.AddPieces(at, files[0].Pieces)
		}
		files = files[1:]
	}
	if err := p.Close(); err != nil {
		return nil, err
	}
	for _, f := range files {
		if len(f.Pieces) > 0 {
			return nil, foreign.Invalidf("tar-split lacks %q", f.Name)
		}
	}
	s.idx.Size = p.Offset()
	return s.idx, nil
}

// A splitting is the Handler of the parser that reads the segments.
type splitting struct {
	idx         *foreign.Index
	regular     bool  // a regular file's content is not over
	off, stored int64 // place and length of it
}

func (s *splitting) Entry(e *tarx.Entry) error {
	s.idx.Entries = append(s.idx.Entries, *e)
	s.regular, s.off, s.stored = e.Kind == tarx.Regular, e.Off, e.Stored
	return nil
}

// Content is called for what is not skipped: bytes of a segment.
func (s *splitting) Content([]byte) error {
	return foreign.Invalidf("tar-split: a file's content in a segment")
}

func (s *splitting) EndContent() error {
	s.regular = false
	return nil
}

func (s *splitting) Warning(kind tarx.WarningKind, path string) {
	s.idx.Warnings = append(s.idx.Warnings, foreign.Warning{Kind: kind, Path: path})
}
