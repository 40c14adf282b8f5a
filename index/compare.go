package index

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"github.com/shalefs/shalefs/index/tarx"
	"github.com/shalefs/shalefs/layout"
)

// Compare says whether an index that came from elsewhere tells the truth, given the one
// that was built here from the same layer: it may know less (no digests) and cut spans in
// its own way, but each entry, each digest it has and the layout of the tar must be the same.
// It returns nil, or an error that wraps ErrDiffer and names the first difference.
// For two indexes of this version made by Build with the same options, equal bytes are
// the shorter way.
func Compare(theirs, ours *Layer) error {
	if bytes.Equal(theirs.b, ours.b) {
		return nil
	}
	standIn := theirs.h.flags&flagStandIn != 0
	// Another program's index may leave out what follows the tar's end, where no content is.
	shorter := theirs.Foreign() && theirs.h.tarSize < ours.h.tarSize
	switch {
	case theirs.h.blob != ours.h.blob || theirs.h.blobSize != ours.h.blobSize:
		return fmt.Errorf("%w: it is of %s", ErrDiffer, theirs.h.blob)
	case theirs.h.diff != "" && theirs.h.diff != ours.h.diff:
		return fmt.Errorf("%w: diffID %s, the layer's is %s", ErrDiffer, theirs.h.diff, ours.h.diff)
	case theirs.h.tarSize != ours.h.tarSize && !standIn && !shorter:
		return fmt.Errorf("%w: tar of %d bytes, the layer's has %d", ErrDiffer, theirs.h.tarSize, ours.h.tarSize)
	case theirs.NumEntries() != ours.NumEntries():
		return fmt.Errorf("%w: %d entries, the layer has %d", ErrDiffer, theirs.NumEntries(), ours.NumEntries())
	}
	var a, b tarx.Entry
	for i := range ours.NumEntries() {
		if err := ours.Entry(i, &b); err != nil {
			return err
		}
		if err := theirs.Entry(i, &a); err != nil {
			return fmt.Errorf("%w: %w", ErrDiffer, err)
		}
		if standIn {
			a.Off = b.Off
		}
		if theirs.Foreign() && a.MTimeNano == 0 && a.MTime == b.MTime+int64(b.MTimeNano/5e8) {
			a.MTime = b.MTime // rounded, as eStargz has it
		}
		if theirs.Foreign() && a.MTimeNano == 0 {
			a.MTimeNano = b.MTimeNano
		}
		if what := differ(&a, &b); what != "" {
			return fmt.Errorf("%w: entry %d, %q: %s", ErrDiffer, i, b.Path, what)
		}
	}
	return compareChunks(theirs, ours)
}

func compareChunks(theirs, ours *Layer) error {
	if !theirs.digests() && ours.digests() && !strings.HasSuffix(theirs.h.format, piecesSuffix) && !sameChunks(theirs, ours) {
		return fmt.Errorf("%w: it cuts the tar in another way", ErrDiffer)
	}
	if !theirs.digests() || !ours.digests() {
		return nil
	}
	if theirs.Chunks() != ours.Chunks() {
		return fmt.Errorf("%w: %d chunks, the layer has %d", ErrDiffer, theirs.Chunks(), ours.Chunks())
	}
	return guard(func() error {
		for i := range ours.Chunks() {
			if theirs.Chunk(i) != ours.Chunk(i) {
				return fmt.Errorf("%w: chunk %d is %+v, not %+v", ErrDiffer, i, theirs.Chunk(i), ours.Chunk(i))
			}
			if !theirs.has(theirs.SpanOf(i)) {
				continue
			}
			if got, want := theirs.sum(i), ours.sum(i); !bytes.Equal(got, want) {
				return fmt.Errorf("%w: tar offset %d: digest %x, the layer's is %x", ErrDiffer, ours.Chunk(i).Off, got, want)
			}
		}
		for i := range ours.h.segments {
			a, b := theirs.segment(int(i)), ours.segment(int(i))
			if a.entry != b.entry || !bytes.Equal(a.sum, b.sum) {
				return fmt.Errorf("%w: large file at %d: digest %x, the layer's is %x", ErrDiffer, b.off, a.sum, b.sum)
			}
		}
		return nil
	})
}

// sum is the digest of a chunk, as it stands in the file.
func (l *Layer) sum(chunk int) []byte { return l.section(secChunkSums)[chunk*sumBytes:][:sumBytes] }

// differ names what two entries differ in, but for digests that are not known.
func differ(a, b *tarx.Entry) string {
	switch {
	case a.Path != b.Path:
		return fmt.Sprintf("path %q", a.Path)
	case a.Kind != b.Kind:
		return fmt.Sprintf("kind %d, not %d", a.Kind, b.Kind)
	case a.Mode != b.Mode || a.UID != b.UID || a.GID != b.GID:
		return fmt.Sprintf("mode %o of %d:%d, not %o of %d:%d", a.Mode, a.UID, a.GID, b.Mode, b.UID, b.GID)
	case a.MTime != b.MTime || a.MTimeNano != b.MTimeNano:
		return fmt.Sprintf("time %d.%09d, not %d.%09d", a.MTime, a.MTimeNano, b.MTime, b.MTimeNano)
	case a.Size != b.Size || a.Stored != b.Stored || a.Off != b.Off:
		return fmt.Sprintf("%d bytes (%d stored at %d), not %d (%d at %d)", a.Size, a.Stored, a.Off, b.Size, b.Stored, b.Off)
	case a.Link != b.Link:
		return fmt.Sprintf("link to %q, not %q", a.Link, b.Link)
	case a.Major != b.Major || a.Minor != b.Minor:
		return fmt.Sprintf("device %d:%d, not %d:%d", a.Major, a.Minor, b.Major, b.Minor)
	case !sameXattrs(a.Xattrs, b.Xattrs):
		return "extended attributes"
	case !sameRuns(a, b):
		return "sparse map"
	case a.Digest != [32]byte{} && b.Digest != [32]byte{} && a.Digest != b.Digest:
		return fmt.Sprintf("digest %x, not %x", a.Digest, b.Digest)
	}
	return ""
}

func sameXattrs(a, b []tarx.Xattr) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].Name != b[i].Name || !bytes.Equal(a[i].Value, b[i].Value) {
			return false
		}
	}
	return true
}

func sameRuns(a, b *tarx.Entry) bool {
	if len(a.Sparse) != len(b.Sparse) || (a.Sparse == nil) != (b.Sparse == nil) {
		return false
	}
	for i := range a.Sparse {
		if a.Sparse[i] != b.Sparse[i] {
			return false
		}
	}
	return true
}

// Rebuild builds the index of the blob anew, and compares l with it: the check that
// binds an index that came from elsewhere. It returns the new index file, also when
// l differs from it. Errors: ErrDiffer; those of Build.
func Rebuild(ctx context.Context, l *Layer, blob layout.Blob, want Want, opt BuildOptions) ([]byte, error) {
	b, err := Build(ctx, blob, want, opt)
	if err != nil {
		return nil, err
	}
	ours, err := OpenBytes(b)
	if err != nil {
		return nil, err
	}
	return b, Compare(l, ours)
}
