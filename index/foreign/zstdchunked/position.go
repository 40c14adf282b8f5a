package zstdchunked

import (
	"encoding/binary"
	"strconv"
	"strings"

	digest "github.com/opencontainers/go-digest"

	"github.com/shalefs/shalefs/index/foreign"
)

// Annotations of a layer's descriptor.
const (
	annContainers = "io.github.containers.zstd-chunked."
	annStargz     = "io.containers.zstd-chunked."
	annChecksum   = "manifest-checksum"
	annPosition   = "manifest-position"
	annTarSplit   = "tarsplit-position"
	annTOCDigest  = "containerd.io/snapshot/stargz/toc.digest"
)

// FooterBytes is the length of the longest footer, with its frame header.
const FooterBytes = 8 + 64

const (
	skippableMagic = 0x184d2a50
	typeCRFS       = 1
	magicContainer = "GNUlInUx"
	magicStargz    = "GnUlInUx"
)

// A Span is a run of the blob, the content of a skippable frame.
type Span struct {
	Off, Len int64
	Unpacked int64 // length after decompression
}

// A Position says where a layer's manifest is and what binds it.
type Position struct {
	TOC      Span
	TarSplit Span // Len 0 if there is none
	// Checksum is the digest of the packed TOC, JSON that of the unpacked one; empty
	// if unknown.
	Checksum, JSON digest.Digest
}

// Bound says that the descriptor's annotations bind the manifest.
func (p *Position) Bound() bool { return p.Checksum != "" || p.JSON != "" }

// FromAnnotations finds the position in a layer descriptor's annotations.
// Errors: foreign.ErrNone if they have none, ErrInvalid, ErrUnsupported.
func FromAnnotations(ann map[string]string) (Position, error) {
	for _, prefix := range []string{annContainers, annStargz} {
		pos, ok := ann[prefix+annPosition]
		if !ok {
			continue
		}
		var p Position
		n, err := numbers(pos, 4)
		if err != nil {
			return p, err
		}
		if n[3] != typeCRFS {
			return p, foreign.Unsupportedf("zstd:chunked manifest of type %d", n[3])
		}
		p.TOC = Span{n[0], n[1], n[2]}
		if s := ann[annContainers+annTarSplit]; s != "" && prefix == annContainers {
			if n, err = numbers(s, 3); err != nil {
				return p, err
			}
			p.TarSplit = Span{n[0], n[1], n[2]}
		}
		if p.Checksum, err = checked(ann[prefix+annChecksum]); err != nil {
			return p, err
		}
		if prefix == annStargz {
			if p.JSON, err = checked(ann[annTOCDigest]); err != nil {
				return p, err
			}
		}
		return p, nil
	}
	return Position{}, foreign.ErrNone
}

func checked(s string) (digest.Digest, error) {
	d := digest.Digest(s)
	if s != "" && d.Validate() != nil {
		return "", foreign.Invalidf("digest %.80q", s)
	}
	return d, nil
}

// numbers reads n numbers with colons between them.
func numbers(s string, n int) ([]int64, error) {
	parts := strings.Split(s, ":")
	if len(parts) != n {
		return nil, foreign.Invalidf("position %.80q", s)
	}
	out := make([]int64, n)
	for i, part := range parts {
		v, err := strconv.ParseUint(part, 10, 63)
		if err != nil {
			return nil, foreign.Invalidf("position %.80q", s)
		}
		out[i] = int64(v)
	}
	return out, nil
}

// ParseFooter reads the footer at the end of tail, which is the end of a blob; tail should have
// FooterBytes or more. Such a position is bound by nothing.
// Errors: foreign.ErrNone if there is none, ErrInvalid, ErrUnsupported.
func ParseFooter(tail []byte) (Position, error) {
	for _, form := range []struct {
		words int
		magic string
	}{{7, magicContainer}, {4, magicStargz}} {
		n := form.words*8 + len(form.magic)
		if len(tail) < 8+n {
			continue
		}
		b := tail[len(tail)-8-n:]
		if binary.LittleEndian.Uint32(b) != skippableMagic || binary.LittleEndian.Uint32(b[4:]) != uint32(n) ||
			string(b[8+form.words*8:]) != form.magic {
			continue
		}
		var w [7]int64
		for i := range form.words {
			v := binary.LittleEndian.Uint64(b[8+8*i:])
			if v > 1<<62 {
				return Position{}, foreign.Invalidf("footer")
			}
			w[i] = int64(v)
		}
		if w[3] != typeCRFS {
			return Position{}, foreign.Unsupportedf("zstd:chunked manifest of type %d", w[3])
		}
		return Position{TOC: Span{w[0], w[1], w[2]}, TarSplit: Span{w[4], w[5], w[6]}}, nil
	}
	return Position{}, foreign.ErrNone
}
