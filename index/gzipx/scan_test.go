package gzipx

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"reflect"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"github.com/shalefs/shalefs/index/codec"
	"pgregory.net/rapid"
)

const overhang = 64 << 10

// check scans a stream and holds everything that comes out of it against what
// it must be.
func check(t testing.TB, s stream, opt codec.ScanOptions) *record {
	t.Helper()
	rec, res := scan(t, s.comp, opt)
	if !bytes.Equal(rec.out.Bytes(), s.plain) {
		t.Fatalf("the data differs: got %d bytes, want %d", rec.out.Len(), len(s.plain))
	}
	if want := (codec.Result{In: int64(len(s.comp)), Out: int64(len(s.plain))}); res != want {
		t.Fatalf("result: got %+v, want %+v", res, want)
	}
	checkCheckpoints(t, s, rec)
	checkSpans(t, int64(len(s.plain)), opt.SpanBytes, rec)
	checkIn(t, s, rec)
	return rec
}

// checkCheckpoints decodes each span with its overhang, by our decoder and by the
// oracle.
func checkCheckpoints(t testing.TB, s stream, rec *record) {
	t.Helper()
	if len(rec.cps) == 0 || rec.cps[0].Out != 0 || rec.cps[0].In != 0 {
		t.Fatalf("no checkpoint at 0: %+v", rec.cps)
	}
	size := int64(len(s.plain))
	for i, cp := range rec.cps {
		end := size
		if i+1 < len(rec.cps) {
			end = rec.cps[i+1].Out
			if end <= cp.Out || rec.cps[i+1].In <= cp.In {
				t.Fatalf("checkpoints %d and %d do not increase: %+v", i, i+1, rec.cps[i:i+2])
			}
		}
		if i > 0 && end == cp.Out {
			t.Errorf("checkpoint %d has an empty span", i)
		}
		n := min(size, end+overhang) - cp.Out
		want := s.plain[cp.Out : cp.Out+n]
		got, err := decode(cp, bytes.NewReader(s.comp[cp.In:]), n)
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("span %d of kind %d: our decoder: %v, %d bytes, want %d", i, cp.State[0]&7, err, len(got), n)
		}
		got, err = stock(cp, s.comp, n)
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("span %d of kind %d: the stock decoder: %v, %d bytes, want %d", i, cp.State[0]&7, err, len(got), n)
		}
	}
}

// checkSpans holds the lengths of the spans against the wanted one.
func checkSpans(t testing.TB, size, span int64, rec *record) {
	t.Helper()
	for i, cp := range rec.cps {
		end := size
		if i+1 < len(rec.cps) {
			end = rec.cps[i+1].Out
		}
		if span >= MinSpanBytes && end-cp.Out > span+maxMatch {
			t.Errorf("span %d is %d bytes long, want about %d", i, end-cp.Out, span)
		}
	}
}

// checkIn decodes up to the end of every piece of data with only as many compressed
// bytes as the scan said are needed, from its checkpoint or from the one before.
func checkIn(t testing.TB, s stream, rec *record) {
	t.Helper()
	i := 0
	lastIn := int64(0)
	for j, d := range rec.data {
		if d.in < lastIn || d.in > int64(len(s.comp)) {
			t.Fatalf("in goes from %d to %d of %d", lastIn, d.in, len(s.comp))
		}
		lastIn = d.in
		for i+1 < len(rec.cps) && rec.cps[i+1].Out < d.out {
			i++
		}
		if j%5 != 0 && j != len(rec.data)-1 {
			continue // to save time
		}
		for _, cp := range rec.cps[max(0, i-1) : i+1] {
			got, err := decode(cp, bytes.NewReader(s.comp[cp.In:d.in]), d.out-cp.Out)
			if err != nil || !bytes.Equal(got, s.plain[cp.Out:d.out]) {
				t.Fatalf("checkpoint at %d, data to %d, %d compressed bytes: %v", cp.Out, d.out, d.in-cp.In, err)
			}
		}
	}
}

// FMT-5
func TestScan(t *testing.T) {
	for _, s := range streams(t) {
		t.Run(s.name, func(t *testing.T) {
			check(t, s, codec.ScanOptions{SpanBytes: MinSpanBytes, Overhang: overhang})
		})
	}
}

// Every kind of place must be among those that the examples test.
func TestCheckpointKinds(t *testing.T) {
	seen := map[kind]int{}
	last := map[kind]int{}
	for _, s := range streams(t) {
		rec, _ := scan(t, s.comp, codec.ScanOptions{SpanBytes: MinSpanBytes})
		for _, cp := range rec.cps {
			seen[kind(cp.State[0]&7)]++
			last[kind(cp.State[0]&7)] += int(cp.State[0] >> 3 & 1)
		}
	}
	for _, k := range []kind{atMember, inDyn, inFixed, inStored} {
		if seen[k] == 0 {
			t.Errorf("no checkpoint of kind %d", k)
		}
	}
	for _, k := range []kind{inDyn, inFixed, inStored} {
		if last[k] == 0 {
			t.Errorf("no checkpoint of kind %d in the last block of a member", k)
		}
	}
}

func TestDefaultSpan(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	words := text(rng, 100<<10)
	var plain []byte
	for len(plain) < 3<<20 {
		from := rng.IntN(len(words) - 5000)
		plain = append(plain, words[from:from+rng.IntN(5000)]...)
	}
	plain = plain[:3<<20]
	comp := gz(t, plain, 1)
	rec, _ := scan(t, comp, codec.ScanOptions{})
	checkCheckpoints(t, stream{comp: comp, plain: plain}, rec)
	checkSpans(t, int64(len(plain)), DefaultSpanBytes, rec)
	if got, want := len(rec.cps), (3<<20+DefaultSpanBytes-1)/DefaultSpanBytes; got != want {
		t.Errorf("got %d checkpoints, want %d", got, want)
	}
	for _, cp := range rec.cps {
		if n := len(cp.State); n > 600 {
			t.Errorf("a state of %d bytes", n)
		}
	}
}

// Streams of random structure.
func TestScanProperty(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 0))
		var s stream
		for range rapid.IntRange(1, 4).Draw(rt, "members") {
			p := mixed(rng, rng.IntN(1+rng.IntN(100<<10)))
			s.plain = append(s.plain, p...)
			switch rapid.IntRange(0, 2).Draw(rt, "writer") {
			case 0:
				s.comp = append(s.comp, gz(t, p, rapid.IntRange(-2, 9).Draw(rt, "level"))...)
			case 1:
				s.comp = append(s.comp, kgz(t, p, rapid.IntRange(-3, 9).Draw(rt, "level"))...)
			default:
				s.comp = append(s.comp, synced(t, p, rapid.IntRange(50, 100000).Draw(rt, "flush"))...)
			}
		}
		check(t, s, codec.ScanOptions{SpanBytes: rapid.Int64Range(MinSpanBytes, 200<<10).Draw(rt, "span")})
	})
}

// What a scan reports does not depend on how the reader cuts the stream.
func TestScanDeterminism(t *testing.T) {
	for _, s := range streams(t) {
		t.Run(s.name, func(t *testing.T) {
			opt := codec.ScanOptions{SpanBytes: 90000}
			want, _ := scan(t, s.comp, opt)
			for name, r := range map[string]io.Reader{
				"byte by byte":  iotest.OneByteReader(bytes.NewReader(s.comp)),
				"end with data": iotest.DataErrReader(bytes.NewReader(s.comp)),
				"random pieces": &pieces{b: s.comp, rng: rand.New(rand.NewPCG(5, 6))},
			} {
				got := &record{snap: true}
				if _, err := New().Scan(context.Background(), r, opt, got); err != nil {
					t.Fatal(name, err)
				}
				same(t, name+": checkpoints", want.cps, got.cps)
				same(t, name+": data", want.data, got.data)
			}
		})
	}
}

// pieces is a reader of random pieces, some empty.
type pieces struct {
	b   []byte
	rng *rand.Rand
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.b) == 0 {
		return 0, io.EOF
	}
	n := copy(b[:min(len(b), p.rng.IntN(3000))], p.b)
	p.b = p.b[n:]
	return n, nil
}

// A scan that goes on from a snapshot reports what is missing, and the same.
func TestResume(t *testing.T) {
	for _, s := range streams(t) {
		t.Run(s.name, func(t *testing.T) {
			opt := codec.ScanOptions{SpanBytes: MinSpanBytes}
			want, res := scan(t, s.comp, opt)
			if len(want.snaps) < len(s.plain)/200000 {
				t.Errorf("only %d pauses for %d bytes", len(want.snaps), len(s.plain))
			}
			for i, snap := range want.snaps {
				if snap.Out != int64(want.outAt[i]) {
					t.Fatalf("snapshot %d is at %d, want %d", i, snap.Out, want.outAt[i])
				}
				got := &record{}
				r, err := New().Resume(context.Background(), bytes.NewReader(s.comp[snap.In:]), snap, opt, got)
				if err != nil || r != res {
					t.Fatalf("snapshot %d: got %+v, %v, want %+v", i, r, err, res)
				}
				if !bytes.Equal(got.out.Bytes(), s.plain[snap.Out:]) {
					t.Fatalf("snapshot %d: the data differs", i)
				}
				same(t, "checkpoints", want.cps[want.cpsAt[i]:], got.cps)
				for j := range got.data {
					got.data[j].out += snap.Out
				}
				same(t, "data", want.data[want.dataAt[i]:], got.data)
			}
		})
	}
}

// same compares two lists; an empty one and none are equal.
func same[T any](t testing.TB, what string, want, got []T) {
	t.Helper()
	if len(want) == 0 && len(got) == 0 || reflect.DeepEqual(want, got) {
		return
	}
	t.Errorf("%s: %s", what, cmp.Diff(want, got, cmp.AllowUnexported(datum{})))
}

// A scan pauses often enough where it makes no checkpoints.
func TestPauses(t *testing.T) {
	const size = 40 << 20
	comp := gz(t, make([]byte, size), 1)
	rec := &record{noOut: true, snap: true}
	_, err := New().Scan(context.Background(), bytes.NewReader(comp), codec.ScanOptions{SpanBytes: 1 << 30}, rec)
	if err != nil {
		t.Fatal(err)
	}
	last := int64(0)
	for _, snap := range rec.snaps {
		if snap.Out-last > 32<<20 {
			t.Errorf("no pause between %d and %d", last, snap.Out)
		}
		last = snap.Out
	}
	if size-last > 32<<20 {
		t.Errorf("no pause after %d", last)
	}
	if len(rec.cps) != 1 {
		t.Errorf("got %d checkpoints", len(rec.cps))
	}
}
