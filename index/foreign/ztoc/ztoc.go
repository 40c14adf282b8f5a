package ztoc

import (
	"fmt"
	"strings"
	"time"

	digest "github.com/opencontainers/go-digest"

	"github.com/shalefs/shalefs/index/foreign"
)

// Version is the version of ztocs that is read.
const Version = "0.9"

// Formats of a layer, as a ztoc calls them.
const (
	Gzip         = "gzip"
	Uncompressed = "uncompressed"
)

// A Layer is what a ztoc says of a layer.
type Layer struct {
	// Index has the entries, with places in the tar, and, for gzip, the Seeks.
	foreign.Index
	// Format is Gzip or Uncompressed.
	Format string
	// Tool is the program that made the ztoc; foreign text.
	Tool string
	// Spans follow one another over the compressed layer.
	Spans []Span
}

// A Span is a run of compressed bytes with a digest: from one Seek to the byte in which
// the next one begins, which they may share.
type Span struct {
	In, InEnd int64
	Digest    digest.Digest
}

// Fields of the FlatBuffer's tables, by their number in the schema.
const (
	ztocVersion, ztocTool, ztocPacked, ztocUnpacked, ztocTOC, ztocInfo = 0, 1, 2, 3, 4, 5

	tocMetadata = 0

	fileName, fileType, fileOff, fileSize, fileLink, fileMode, fileUID, fileGID = 0, 1, 2, 3, 4, 5, 6, 7
	fileTime, fileMajor, fileMinor, fileXattrs                                  = 10, 11, 12, 13

	xattrKey, xattrValue = 0, 1

	infoAlgorithm, infoMaxSpan, infoDigests, infoCheckpoints = 0, 1, 2, 3
)

// Parse reads a ztoc of a layer whose blob has layerSize bytes; one of a layer of another size is
// refused (FMT-14). The caller has checked b against the digest of its descriptor.
// Errors: foreign.ErrInvalid, ErrUnsupported, ErrTooLarge; *tarx.Error.
func Parse(b []byte, layerSize int64) (*Layer, error) {
	if len(b) > foreign.MaxPacked {
		return nil, fmt.Errorf("%w: ztoc of %d bytes, limit %d", foreign.ErrTooLarge, len(b), foreign.MaxPacked)
	}
	f := &buffer{b: b, budget: foreign.MaxUnpacked}
	root := f.root()
	version, packed := f.string(root, ztocVersion), f.int64(root, ztocPacked)
	l := &Layer{Tool: f.string(root, ztocTool)}
	l.Exact, l.Size = true, f.int64(root, ztocUnpacked)
	switch {
	case f.err != nil:
		return nil, f.err
	case version != Version:
		return nil, foreign.Unsupportedf("ztoc of version %.20q", version)
	case packed != layerSize:
		return nil, foreign.Invalidf("ztoc of a layer of %d bytes, not %d", packed, layerSize)
	case l.Size < 0 || l.Size > 1<<62:
		return nil, foreign.Invalidf("ztoc of a tar of %d bytes", l.Size)
	}
	if err := l.entries(f, f.table(root, ztocTOC)); err != nil {
		return nil, err
	}
	if err := l.info(f, f.table(root, ztocInfo), layerSize); err != nil {
		return nil, err
	}
	return l, nil
}

// entries reads the table of contents.
func (l *Layer) entries(f *buffer, toc table) error {
	off, n := f.vector(toc, tocMetadata, 4)
	c := foreign.NewCollector(&l.Index)
	var end int64 // of the last content
	for k := range n {
		m := table(f.element(off, k))
		r, at, err := record(f, m)
		if err != nil {
			return err
		}
		e, err := c.Add(r)
		if err != nil {
			return err
		}
		if r.Type != "reg" {
			r.Size = 0
		}
		if at < end || r.Size > l.Size-at {
			return foreign.Invalidf("ztoc: %q at %d+%d", r.Name, at, r.Size)
		}
		end = at + r.Size
		if e != nil {
			e.Off = at
		}
	}
	return f.err
}

// record reads an entry, and the place of its content in the tar.
func record(f *buffer, m table) (r *foreign.Record, at int64, err error) {
	r = &foreign.Record{
		Name: f.string(m, fileName), Type: f.string(m, fileType), Link: f.string(m, fileLink),
		Mode: f.int64(m, fileMode), UID: f.int32(m, fileUID), GID: f.int32(m, fileGID),
		Size: f.int64(m, fileSize), Major: f.int64(m, fileMajor), Minor: f.int64(m, fileMinor),
	}
	at = f.int64(m, fileOff)
	when := f.string(m, fileTime)
	// What the ztoc calls xattrs are all PAX records of the entry.
	off, n := f.vector(m, fileXattrs, 4)
	for k := range n {
		x := table(f.element(off, k))
		key, value := f.string(x, xattrKey), f.string(x, xattrValue)
		if strings.HasPrefix(key, "GNU.sparse.") {
			return nil, 0, foreign.Unsupportedf("ztoc: %q is sparse", r.Name)
		}
		if name, ok := strings.CutPrefix(key, "SCHILY.xattr."); ok {
			if r.Xattrs == nil {
				r.Xattrs = map[string]string{}
			}
			r.Xattrs[name] = value
		}
	}
	if f.err != nil {
		return nil, 0, f.err
	}
	if r.Size < 0 || at < 0 {
		return nil, 0, foreign.Invalidf("ztoc: %q at %d+%d", r.Name, at, r.Size)
	}
	if when != "" {
		t, err := time.Parse(time.RFC3339Nano, when)
		if err != nil {
			return nil, 0, foreign.Invalidf("ztoc: %q: time %.40q", r.Name, when)
		}
		r.MTime, r.MTimeNano = t.Unix(), uint32(t.Nanosecond())
	}
	return r, at, nil
}
