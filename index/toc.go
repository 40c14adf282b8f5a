package index

import (
	"context"
	"errors"

	digest "github.com/opencontainers/go-digest"

	"github.com/shalefs/shalefs/index/foreign"
	"github.com/shalefs/shalefs/index/foreign/estargz"
	"github.com/shalefs/shalefs/index/foreign/zstdchunked"
	"github.com/shalefs/shalefs/layout"
)

// FromTOC makes an index of the table of contents inside a layer, if the annotations
// of the layer's descriptor name one: zstd:chunked of both dialects, or eStargz. bound says
// that they have its digest, so that the manifest binds it (DIG-14). It costs one
// or two requests. A layer whose annotations name none is not looked at.
// Errors: foreign.ErrNone if there is none; those of the readers and of FromForeign;
// those of the blob.
func FromTOC(ctx context.Context, blob layout.Blob, annotations map[string]string) (b []byte, bound bool, err error) {
	x, format, bound, err := readTOC(ctx, blob, annotations)
	if err != nil {
		return nil, false, err
	}
	b, err = FromForeign(blob, format, x)
	return b, bound, err
}

func readTOC(ctx context.Context, blob layout.Blob, annotations map[string]string) (x *foreign.Index, format string, bound bool, err error) {
	pos, err := zstdchunked.FromAnnotations(annotations)
	if err == nil {
		x, err = zstdchunked.Read(ctx, blob, blob.Size(), pos)
		return x, "zstd", pos.Bound(), err
	}
	if !errors.Is(err, foreign.ErrNone) {
		return nil, "", false, err
	}
	want := digest.Digest(annotations[estargz.DigestAnnotation])
	if want == "" {
		return nil, "", false, foreign.ErrNone
	}
	x, err = estargz.Read(ctx, blob, blob.Size(), want)
	return x, "gzip", true, err
}
