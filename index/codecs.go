package index

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"

	digest "github.com/opencontainers/go-digest"

	"github.com/shalefs/shalefs/index/codec"
	"github.com/shalefs/shalefs/index/gzipx"
	"github.com/shalefs/shalefs/index/rawx"
	"github.com/shalefs/shalefs/index/zstdx"
	"github.com/shalefs/shalefs/lazy/cache"
)

// codecs are the compressed formats by their names.
var codecs = map[string]codec.Codec{
	"tar":  rawx.New(),
	"raw":  rawx.New(), // a blob that is one file
	"gzip": gzipx.New(),
	"zstd": zstdx.New(),
}

// A decodeFunc is codec.Codec.Decode.
type decodeFunc func(ctx context.Context, cp codec.Checkpoint, r io.Reader, n int64, emit func(p []byte) error) error

func decoderOf(name string) (decodeFunc, error) {
	if d := pieceDecoders[name]; d != nil {
		return d.decode, nil
	}
	c, err := codecOf(name)
	if err != nil {
		return nil, err
	}
	return c.Decode, nil
}

func codecOf(name string) (codec.Codec, error) {
	if c := codecs[name]; c != nil {
		return c, nil
	}
	return nil, fmt.Errorf("%w: format %.20q", ErrVersion, name)
}

// tarKey is the key of one part of a tar stream, given its diffID.
func tarKey(diffID digest.Digest, part int64) cache.Key {
	n := strconv.FormatInt(part, 10) // each chunk that is read asks for this
	return cache.Key{Kind: "tar", Name: strings.Replace(string(diffID), ":", "-", 1) + "-" + "00000"[min(5, len(n)):] + n}
}
