package estargz

import (
	"bytes"
	"compress/gzip"
	"context"
	_ "crypto/sha256" // for the TOC's digest
	"fmt"
	"io"

	digest "github.com/opencontainers/go-digest"

	"github.com/shalefs/shalefs/index/foreign"
	"github.com/shalefs/shalefs/index/tarx"
)

// DigestAnnotation is the annotation of the layer's descriptor that binds the TOC: the
// digest of its JSON.
const DigestAnnotation = "containerd.io/snapshot/stargz/toc.digest"

// TOCName is the name of the TOC's own file in the tar.
const TOCName = "stargz.index.json"

// firstRead is how much of the blob's end is read at once: the footer and, for most layers, all
// of the TOC.
const firstRead = 256 << 10

// Read finds and reads the TOC of a blob of size bytes, in one request or two. want is the digest
// from DigestAnnotation; with "" the index is bound by nothing.
// Errors: foreign.ErrNone (no footer, or an external TOC), ErrDigest, ErrInvalid,
// ErrTooLarge, ErrUnsupported; *tarx.Error; the blob's.
func Read(ctx context.Context, r tarx.ReaderAtCtx, size int64, want digest.Digest) (*foreign.Index, error) {
	n := min(size, firstRead)
	tail, err := foreign.ReadRange(ctx, r, size, size-n, n)
	if err != nil {
		return nil, err
	}
	f, err := ParseFooter(tail)
	if err != nil {
		return nil, err
	}
	if f.External {
		return nil, fmt.Errorf("%w: the TOC is not in the layer", foreign.ErrNone)
	}
	end := size - f.Len
	if f.TOCOffset >= end {
		return nil, foreign.Invalidf("TOC at %d, after the end %d", f.TOCOffset, end)
	}
	var packed []byte
	if start := size - n; f.TOCOffset >= start {
		packed = tail[f.TOCOffset-start : end-start]
	} else {
		head, err := foreign.ReadRange(ctx, r, size, f.TOCOffset, end-f.TOCOffset)
		if err != nil {
			return nil, err
		}
		packed = head
	}
	return Parse(packed, f.TOCOffset, end, want)
}

// Parse makes an index of a TOC as it is stored: the blob's bytes [off, end), one gzip member with
// a tar with one file. Errors as Read, but for the blob's.
func Parse(packed []byte, off, end int64, want digest.Digest) (*foreign.Index, error) {
	doc, skip, err := unpack(packed)
	if err != nil {
		return nil, err
	}
	if want != "" {
		if err := want.Validate(); err != nil {
			return nil, foreign.Invalidf("annotation %s: %v", DigestAnnotation, err)
		}
		if got := want.Algorithm().FromBytes(doc); got != want {
			return nil, fmt.Errorf("%w: TOC %s, annotation %s", foreign.ErrDigest, got, want)
		}
	}
	toc, err := foreign.ParseTOC(doc, off)
	if err != nil {
		return nil, err
	}
	// The TOC cannot list itself, but unpackers make a file of it.
	toc.Files = append(toc.Files, foreign.File{
		Record: foreign.Record{Name: TOCName, Type: "reg", Size: int64(len(doc))},
		Pieces: []foreign.Piece{{Len: int64(len(doc)), In: off, InEnd: end, Skip: skip}},
	})
	return toc.Index()
}

// unpack returns the JSON in the TOC's member, and where in the member it begins.
func unpack(packed []byte) (doc []byte, skip int64, err error) {
	if len(packed) > foreign.MaxPacked {
		return nil, 0, fmt.Errorf("%w: TOC of %d bytes, limit %d", foreign.ErrTooLarge, len(packed), foreign.MaxPacked)
	}
	gz, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, 0, foreign.Invalidf("TOC: %v", err)
	}
	gz.Multistream(false)
	var t tocTar
	p := tarx.NewParser(tarx.Options{MaxEntries: 1}, &t)
	// The tar is the TOC, a header and an end; a member that goes on is not read on.
	if _, err := io.Copy(p, io.LimitReader(gz, foreign.MaxUnpacked+1<<20)); err != nil {
		return nil, 0, fmt.Errorf("TOC: %w", invalid(err))
	}
	if err := p.Close(); err != nil {
		return nil, 0, fmt.Errorf("TOC: %w", invalid(err))
	}
	if !t.found {
		return nil, 0, foreign.Invalidf("no %s where the footer says", TOCName)
	}
	return t.doc, t.off, nil
}

func invalid(err error) error { return fmt.Errorf("%w: %w", foreign.ErrInvalid, err) }

// A tocTar takes the one file of the TOC's tar.
type tocTar struct {
	doc   []byte
	off   int64
	found bool
}

func (t *tocTar) Entry(e *tarx.Entry) error {
	if e.Path != TOCName || e.Kind != tarx.Regular || e.Sparse != nil {
		return foreign.Invalidf("%q instead of the TOC", e.Path)
	}
	if e.Stored > foreign.MaxUnpacked {
		return fmt.Errorf("%w: TOC of %d bytes, limit %d", foreign.ErrTooLarge, e.Stored, foreign.MaxUnpacked)
	}
	t.off, t.found = e.Off, true
	return nil
}

func (t *tocTar) Content(p []byte) error {
	t.doc = append(t.doc, p...)
	return nil
}

func (t *tocTar) EndContent() error                { return nil }
func (t *tocTar) Warning(tarx.WarningKind, string) {}
