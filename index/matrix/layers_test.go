package matrix

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/shalefs/shalefs/index"
	"github.com/shalefs/shalefs/index/tarx"
)

// A layer is a row of the matrix.
type layer struct {
	image    string // where it comes from
	name     string // of the subtest
	tar      []byte
	entries  []tarx.Entry
	original []byte // the blob of the image, where the whole layer is used
	real     bool   // of an image
}

const (
	defaultCut = 6 << 20 // bytes of a tar
	slowCut    = 2 << 20 // the same for slow encoders
	// leastLayer is the shortest tar of an image that is looked at, in bytes.
	leastLayer = 1 << 20
)

// size says whether whole layers were asked for, or how many bytes of each at most.
func size(t *testing.T) (full bool, cut int) {
	switch s := os.Getenv("SHALEFS_MATRIX"); s {
	case "":
		return false, defaultCut
	case "full":
		return true, 0
	default:
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			t.Fatalf("SHALEFS_MATRIX=%s: neither full nor a number of MiB", s)
		}
		return false, n << 20
	}
}

// layers are the rows: those of the tests, and of the images there are.
func layers(t *testing.T) []*layer {
	t.Helper()
	full, cut := size(t)
	ls := []*layer{madeLayer(t), treeLayer(t, defaultCut)}
	dir := os.Getenv("SHALEFS_IMAGES")
	if dir == "" {
		t.Log("SHALEFS_IMAGES names no images: only layers made here")
	}
	indexes, err := filepath.Glob(filepath.Join(dir, "*", "index.json"))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[digest.Digest]bool{}
	for _, path := range indexes {
		if dir == "" {
			break
		}
		image := imageLayers(t, filepath.Dir(path), full, seen)
		for _, l := range image {
			if !full {
				l.cut(t, cut)
			}
		}
		ls = append(ls, image...)
	}
	if dir != "" && len(seen) == 0 {
		t.Logf("no images in %s", dir)
	}
	for _, l := range ls {
		l.entries = parse(t, l.tar)
	}
	return ls
}

// imageLayers reads the layers of an OCI layout with one image, but for small ones and those seen:
// all of them or the largest.
func imageLayers(t *testing.T, dir string, all bool, seen map[digest.Digest]bool) (ls []*layer) {
	t.Helper()
	read := func(path string, v any) {
		t.Helper()
		b, err := os.ReadFile(filepath.Join(dir, path))
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(b, v); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
	}
	blobPath := func(d digest.Digest) string {
		return filepath.Join("blobs", d.Algorithm().String(), d.Encoded())
	}
	var list ocispec.Index
	var manifest ocispec.Manifest
	read("index.json", &list)
	if len(list.Manifests) == 0 {
		t.Fatalf("%s: no image", dir)
	}
	read(blobPath(list.Manifests[0].Digest), &manifest)
	largest := int64(0)
	for _, desc := range manifest.Layers {
		largest = max(largest, desc.Size)
	}
	for i, desc := range manifest.Layers {
		if !all && desc.Size < largest {
			continue
		}
		b, err := os.ReadFile(filepath.Join(dir, blobPath(desc.Digest)))
		if err != nil {
			t.Fatal(err)
		}
		stream := unpack(t, b)
		d := digest.FromBytes(stream)
		if len(stream) < leastLayer || seen[d] {
			continue
		}
		seen[d] = true
		image := filepath.Base(dir)
		ls = append(ls, &layer{image: image, name: fmt.Sprintf("%s.%d", image, i), tar: stream, original: b, real: true})
	}
	return ls
}

// unpack decodes a blob with stock decoders.
func unpack(t testing.TB, b []byte) []byte {
	t.Helper()
	format, err := index.Sniff(b[:min(len(b), 512)])
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	out.Grow(4 * len(b))
	if err := stockDecode(format, b, &out); err != nil {
		t.Fatalf("%s: %v", format, err)
	}
	return out.Bytes()
}

// stockDecode decodes a blob of a format with klauspost's decoder on the calling goroutine.
func stockDecode(format string, b []byte, w io.Writer) error {
	switch format {
	case "gzip":
		r, err := gzip.NewReader(bytes.NewReader(b))
		if err != nil {
			return err
		}
		_, err = r.WriteTo(w)
		return err
	case "zstd":
		r, err := zstd.NewReader(bytes.NewReader(b), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(1<<28))
		if err != nil {
			return err
		}
		defer r.Close()
		_, err = r.WriteTo(w)
		return err
	}
	_, err := w.Write(b)
	return err
}

// cut leaves a run of whole entries of at most n bytes: of an image's layer from a third of it on.
func (l *layer) cut(t *testing.T, n int) {
	t.Helper()
	if len(l.tar) <= n {
		return
	}
	l.original = nil
	var out []byte
	at, start := int64(0), int64(0)
	if l.real {
		start = int64(len(l.tar) / 3)
	}
	for _, e := range parse(t, l.tar) {
		end := e.Off + (e.Stored+511)&^511
		if at >= start || len(out) > 0 {
			if len(out)+int(end-at)+1024 > n && len(out) > n/2 {
				break
			}
			if len(out)+int(end-at)+1024 <= n {
				out = append(out, l.tar[at:end]...)
			}
		}
		at = end
	}
	l.tar = append(out, make([]byte, 1024)...)
}

// head returns the layer, or a shorter one for slow encoders.
func (l *layer) head(t *testing.T, n int) *layer {
	t.Helper()
	short := *l
	short.cut(t, n)
	short.entries = parse(t, short.tar)
	return &short
}

// parse lists the entries of a tar.
func parse(t testing.TB, stream []byte) []tarx.Entry {
	t.Helper()
	var c collector
	p := tarx.NewParser(tarx.Options{}, &c)
	if _, err := p.Write(stream); err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	return c.entries
}

type collector struct{ entries []tarx.Entry }

var _ tarx.Handler = (*collector)(nil)

func (c *collector) Entry(e *tarx.Entry) error {
	c.entries = append(c.entries, *e)
	return nil
}
func (c *collector) Content([]byte) error             { return nil }
func (c *collector) EndContent() error                { return nil }
func (c *collector) Warning(tarx.WarningKind, string) {}

// sparse says whether the tar has sparse files, which tables of contents cannot say.
func (l *layer) sparse() bool {
	for i := range l.entries {
		if l.entries[i].Sparse != nil {
			return true
		}
	}
	return false
}
