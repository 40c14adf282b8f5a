package zstdchunked

import (
	"bytes"
	"context"
	_ "crypto/sha256" // for the manifest's digest
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
	digest "github.com/opencontainers/go-digest"

	"github.com/shalefs/shalefs/index/foreign"
	"github.com/shalefs/shalefs/index/tarx"
)

// joined is how far apart TOC and tar-split may be for one request to bring both, in bytes.
const joined = 64 << 10

// Read reads the manifest of a blob of size bytes where p says: in one request where its parts
// are next to one another, as all known writers put them. Digests that p has are checked.
// Errors: foreign.ErrDigest, ErrInvalid, ErrTooLarge, ErrUnsupported; *tarx.Error; the blob's.
func Read(ctx context.Context, r tarx.ReaderAtCtx, size int64, p Position) (*foreign.Index, error) {
	toc, split := p.TOC, p.TarSplit
	if split.Len == 0 {
		b, err := foreign.ReadRange(ctx, r, size, toc.Off, toc.Len)
		if err != nil {
			return nil, err
		}
		return Parse(b, nil, p)
	}
	if gap := split.Off - toc.Off - toc.Len; gap >= 0 && gap <= joined && toc.Len <= foreign.MaxPacked && split.Len <= foreign.MaxPacked {
		b, err := foreign.ReadRange(ctx, r, size, toc.Off, split.Off+split.Len-toc.Off)
		if err == nil {
			return Parse(b[:toc.Len], b[toc.Len+gap:], p)
		}
		if !errors.Is(err, foreign.ErrTooLarge) {
			return nil, err
		}
	}
	a, err := foreign.ReadRange(ctx, r, size, toc.Off, toc.Len)
	if err != nil {
		return nil, err
	}
	b, err := foreign.ReadRange(ctx, r, size, split.Off, split.Len)
	if err != nil {
		return nil, err
	}
	return Parse(a, b, p)
}

// Parse makes an index of a packed TOC and a packed tar-split (nil if there is none).
// Errors as Read, but for the blob's.
func Parse(packed, split []byte, p Position) (*foreign.Index, error) {
	if err := check("manifest", packed, p.Checksum); err != nil {
		return nil, err
	}
	doc, err := unpack("manifest", packed, p.TOC.Unpacked)
	if err != nil {
		return nil, err
	}
	if err := check("TOC", doc, p.JSON); err != nil {
		return nil, err
	}
	// Contents come before the manifest's frame, whose header is 8 bytes long.
	toc, err := foreign.ParseTOC(doc, p.TOC.Off-8)
	if err != nil {
		return nil, err
	}
	if len(split) == 0 {
		return toc.Index()
	}
	want, err := checked(toc.TarSplitDigest)
	if err != nil {
		return nil, err
	}
	if want == "" { // an old writer: the TOC does not bind it, so it is worth no more than a guess
		return toc.Index()
	}
	if err := check("tar-split", split, want); err != nil {
		return nil, err
	}
	if split, err = unpack("tar-split", split, p.TarSplit.Unpacked); err != nil {
		return nil, err
	}
	return exact(toc, split)
}

func check(what string, b []byte, want digest.Digest) error {
	if want == "" {
		return nil
	}
	if got := want.Algorithm().FromBytes(b); got != want {
		return fmt.Errorf("%w: %s %s, want %s", foreign.ErrDigest, what, got, want)
	}
	return nil
}

// unpack decompresses a zstd stream that must be n bytes long.
func unpack(what string, b []byte, n int64) ([]byte, error) {
	if n < 0 || n > foreign.MaxUnpacked {
		return nil, fmt.Errorf("%w: %s of %d bytes, limit %d", foreign.ErrTooLarge, what, n, foreign.MaxUnpacked)
	}
	dec, err := zstd.NewReader(bytes.NewReader(b), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(128<<20))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	defer dec.Close()
	out, err := io.ReadAll(io.LimitReader(dec, n+1))
	if err != nil {
		return nil, foreign.Invalidf("%s: %v", what, err)
	}
	if int64(len(out)) != n {
		return nil, foreign.Invalidf("%s of %d bytes, want %d", what, len(out), n)
	}
	return out, nil
}
