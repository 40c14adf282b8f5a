package matrix

import (
	"bytes"
	"crypto/sha256"
	"math/rand/v2"
	"runtime"
	"testing"

	digest "github.com/opencontainers/go-digest"

	"github.com/shalefs/shalefs/index"
	"github.com/shalefs/shalefs/index/foreign/estargz"
	"github.com/shalefs/shalefs/index/tarx"
)

// TestMatrix (FMT-4, DIG-14): each layer, packed by each encoder, is read through its index
// and compared with the tar.
func TestMatrix(t *testing.T) {
	all := append(encoders(), programs(t)...)
	whole, _ := size(t)
	var res results
	cells := 0
	for _, l := range layers(t) {
		es := all
		if l.original != nil {
			format, err := index.Sniff(l.original[:512])
			check(t, err)
			es = append([]encoder{simple("original", format, format != "tar", func([]byte) ([]byte, error) { return l.original, nil })}, all...)
		}
		t.Run(l.name, func(t *testing.T) {
			short := l.head(t, slowCut)
			for _, e := range es {
				cells++
				place := cells
				in := l
				if e.slow && !whole {
					in = short
				}
				t.Run(e.name, func(t *testing.T) {
					if !whole {
						t.Parallel() // whole layers take turns, as they fill the memory
					}
					cell(t, in, e, place, &res)
				})
			}
		})
	}
	res.judge(t, cells)
}

// cell is one layer in one encoding.
func cell(t *testing.T, l *layer, e encoder, place int, res *results) {
	p := e.pack(t, l)
	if e.format != "tar" {
		if got := unpack(t, p.blob); !bytes.Equal(got, p.stream) {
			t.Fatalf("the encoder's %d bytes decode to %d other bytes with a stock decoder", len(p.blob), len(got))
		}
	}
	b := newBlob(p.blob)
	want := index.Want{DiffID: digest.FromBytes(p.stream)}
	file := build(t, b, want)
	ix := open(t, file)
	if ix.Format() != e.format || !ix.Bound() || !ix.HasDigests() {
		t.Errorf("format %s, bound %v, digests %v", ix.Format(), ix.Bound(), ix.HasDigests())
	}
	again(t, b, want, sha256.Sum256(file))

	m := &measured{layer: l, encoder: e, info: ix.Info(), place: place}
	rnd := rand.New(rand.NewPCG(uint64(len(p.blob)), 42))
	c := &checker{ix: ix, blob: b, want: p.stream, rnd: rnd}
	c.spans(t)
	c.probes(t, m)
	c.ranges(t, m)
	if testing.Verbose() && e.format != "tar" {
		m.speed = scanSpeed(t, e.format, p.blob)
	}
	res.add(m)
	if whole, _ := size(t); whole {
		t.Log(m) // it takes long until the table comes
	}
	if p.annotations != nil && !l.sparse() {
		contents(t, l, e, p, place, res)
	}
}

// contents reads the layer through its table of contents instead of a pass.
func contents(t *testing.T, l *layer, e encoder, p packed, place int, res *results) {
	b := newBlob(p.blob)
	file, bound, err := index.FromTOC(t.Context(), b, p.annotations)
	check(t, err)
	if !bound {
		t.Error("the annotations do not bind the table of contents")
	}
	ix := open(t, file)
	e.name, e.whole = e.name+" (TOC)", false
	m := &measured{layer: l, encoder: e, info: ix.Info(), place: place}
	c := &checker{ix: ix, blob: b, want: standIn(t, l, ix, p.toc), rnd: rand.New(rand.NewPCG(3, uint64(len(p.blob))))}
	c.spans(t)
	c.probes(t, m)
	c.ranges(t, m)
	res.add(m)
}

// standIn is the stream of an index that does not bring the tar's headers: zeros,
// and the contents of the files in their order. toc is the content of an eStargz layer's own file.
func standIn(t *testing.T, l *layer, ix *index.Layer, toc []byte) []byte {
	t.Helper()
	want := make([]byte, ix.Size())
	next := 0
	var e tarx.Entry
	for i := range ix.NumEntries() {
		check(t, ix.Entry(i, &e))
		if e.Kind != tarx.Regular || e.Stored == 0 {
			continue
		}
		if e.Path == estargz.TOCName {
			copy(want[e.Off:e.Off+e.Stored], toc)
			continue
		}
		for next < len(l.entries) && (l.entries[next].Kind != tarx.Regular || l.entries[next].Stored == 0) {
			next++
		}
		if next == len(l.entries) {
			t.Fatalf("%s: not in the tar", e.Path)
		}
		x := &l.entries[next]
		if x.Path != e.Path || x.Stored != e.Stored {
			t.Fatalf("%s of %d bytes, the tar has %s of %d", e.Path, e.Stored, x.Path, x.Stored)
		}
		copy(want[e.Off:e.Off+e.Stored], l.tar[x.Off:])
		next++
	}
	return want
}

func build(t *testing.T, b *blob, want index.Want) []byte {
	t.Helper()
	file, err := index.Build(t.Context(), b, want, index.BuildOptions{})
	check(t, err)
	return file
}

func open(t *testing.T, file []byte) *index.Layer {
	t.Helper()
	ix, err := index.OpenBytes(file)
	check(t, err)
	check(t, ix.Verify())
	return ix
}

// again builds the index with input in small pieces, and on one processor where no other
// cell is under way: it must be the same.
func again(t *testing.T, b *blob, want index.Want, sum [32]byte) {
	t.Helper()
	if whole, _ := size(t); whole {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	}
	other := &blob{b: b.b, d: b.d, piece: 4093}
	if sha256.Sum256(build(t, other, want)) != sum {
		t.Error("a second pass gave another index")
	}
}

// TestDeterminism: the index is the same for any number of processors and any pieces of
// input, down to single bytes.
func TestDeterminism(t *testing.T) {
	l := madeLayer(t)
	l.entries = parse(t, l.tar)
	chosen := map[string]bool{"go gzip 6": true, "pgzip": true, "bgzf": true, "klauspost zstd default": true, "zstd seekable": true, "estargz": true}
	procs := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(procs)
	for _, e := range encoders() {
		if !chosen[e.name] {
			continue
		}
		delete(chosen, e.name)
		t.Run(e.name, func(t *testing.T) {
			p := e.pack(t, l)
			b := newBlob(p.blob)
			runtime.GOMAXPROCS(procs)
			sum := sha256.Sum256(build(t, b, index.Want{}))
			for i, piece := range []int{1, 509, 1 << 20} {
				runtime.GOMAXPROCS([]int{1, 3, 8}[i])
				if sha256.Sum256(build(t, &blob{b: b.b, d: b.d, piece: piece}, index.Want{})) != sum {
					t.Errorf("pieces of %d bytes, %d processors: another index", piece, runtime.GOMAXPROCS(0))
				}
			}
		})
	}
	if len(chosen) > 0 {
		t.Errorf("no encoders %v", chosen)
	}
}
