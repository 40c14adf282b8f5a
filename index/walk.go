package index

import (
	"context"
	"fmt"

	"github.com/shalefs/shalefs/index/tarx"
	"github.com/shalefs/shalefs/layout"
	"github.com/shalefs/shalefs/lazy"
)

// FromWalk makes an index of a plain tar without reading its contents: it walks the
// headers by ranged reads. Such an index has no digests, so nothing of what is read
// through it is checked or kept, and it is not bound to the layer.
// Errors: ErrLayer, tarx.ErrBudget, those of the blob, ctx.Err().
func FromWalk(ctx context.Context, blob layout.Blob, opt tarx.WalkOptions) ([]byte, tarx.WalkStats, error) {
	w := &walked{}
	stats, err := tarx.Walk(ctx, blob, blob.Size(), opt, w)
	if err == nil {
		var b []byte
		if b, err = w.finish(blob, 0); err == nil {
			return b, stats, nil
		}
	}
	return nil, stats, fmt.Errorf("layer %s: %w", blob.Digest(), (&pass{blob: blob}).explain(err))
}

// FromFile makes an index of a blob that is one file, without reading it. It has one
// entry, with an empty path, and no digests, as that of FromWalk.
func FromFile(blob layout.Blob) ([]byte, error) {
	w := &walked{}
	e := &tarx.Entry{Kind: tarx.Regular, Mode: 0o444, Size: blob.Size(), Stored: blob.Size()}
	if err := w.Entry(e); err != nil {
		return nil, err
	}
	return w.finish(blob, flagFile)
}

// A walked collects entries, and makes segments of the large ones.
type walked struct {
	t   tables
	end int64 // of the last large file
}

var _ tarx.Handler = (*walked)(nil)

func (w *walked) Entry(e *tarx.Entry) error {
	i, err := w.t.addEntry(e)
	if err != nil || e.Kind != tarx.Regular || e.Stored < LargeBytes {
		return err
	}
	if e.Off < w.end {
		return fmt.Errorf("%w: %q begins at %d, before %d", ErrLayer, e.Path, e.Off, w.end)
	}
	w.segment(e.Off, noEntry)
	w.segment(e.Off+e.Stored, uint32(i))
	return nil
}

// segment ends the segment that began at w.end.
func (w *walked) segment(end int64, entry uint32) {
	if end > w.end {
		w.t.addSegment(w.end, entry)
		w.t.Chunks += (end - w.end + lazy.ChunkBytes - 1) / lazy.ChunkBytes
		w.end = end
	}
}

func (w *walked) finish(blob layout.Blob, flags uint32) ([]byte, error) {
	if w.end > blob.Size() {
		return nil, fmt.Errorf("%w: content up to %d in a tar of %d bytes", ErrLayer, w.end, blob.Size())
	}
	w.segment(blob.Size(), noEntry)
	w.t.TarSize = blob.Size()
	format := "tar"
	if flags&flagFile != 0 {
		format = "raw"
	}
	return w.t.finish(header{flags: flagRaw | flags, blobSize: blob.Size(), blob: blob.Digest().String(),
		format: format, overhang: lazy.ChunkBytes})
}

func (w *walked) Content([]byte) error { return nil }
func (w *walked) EndContent() error    { return nil }

func (w *walked) Warning(kind tarx.WarningKind, path string) { w.t.warn(string(kind), path, 1) }
