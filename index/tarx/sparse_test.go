package tarx

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func oct(n int64) string {
	const digits = "01234567"
	b := []byte("00000000000\x00")
	for i := 10; i >= 0; i-- {
		b[i] = digits[n&7]
		n >>= 3
	}
	return string(b)
}

// gnuSparse is a type S record: the first four runs in the header, the rest in continuation
// blocks, which the size does not count.
func gnuSparse(name string, real int64, content string, runs ...int64) rec {
	r := rec{typ: 'S', name: name, magic: magicGNU, size: oct(int64(len(content)))}
	r.edit = func(b []byte) {
		copy(b[483:], oct(real))
		for i, n := range runs[:min(8, len(runs))] {
			copy(b[386+12*i:], oct(n))
		}
		if len(runs) > 8 {
			b[482] = 1
		}
	}
	for rest := runs[min(8, len(runs)):]; len(rest) > 0; {
		blk := make([]byte, BlockBytes)
		k := min(42, len(rest))
		for i, n := range rest[:k] {
			copy(blk[12*i:], oct(n))
		}
		if rest = rest[k:]; len(rest) > 0 {
			blk[504] = 1
		}
		r.body += string(blk)
	}
	r.body += content
	return r
}

func TestSparse(t *testing.T) {
	// 30 runs of one byte each, two apart: more than a header and one block hold.
	var many []int64
	for i := range int64(30) {
		many = append(many, 2*i, 1)
	}
	many = append(many, 100, 0)
	inline := func(m, data string) string {
		return m + strings.Repeat("\x00", int(padding(int64(len(m))))) + data
	}
	v1 := []string{"GNU.sparse.major=1", "GNU.sparse.minor=0", "GNU.sparse.name=f", "GNU.sparse.realsize=20"}
	for _, c := range []struct {
		name string
		recs []rec
		want string
		data string
		err  string
	}{
		{name: "ENT-8 GNU", recs: []rec{gnuSparse("f", 20, "abcde", 2, 3, 10, 2, 20, 0)}, data: "abcde", want: `file "f" 644 0:0 0.000000000 size 20 stored 5 [{2 3} {10 2}]`},
		{name: "ENT-8 GNU continued", recs: []rec{gnuSparse("f", 100, strings.Repeat("x", 30), many...)}, data: strings.Repeat("x", 30), want: "30 runs"},
		{name: "ENT-8 GNU all hole", recs: []rec{gnuSparse("f", 1<<32, "", 1<<32, 0)}, want: `file "f" 644 0:0 0.000000000 size 4294967296 stored 0 []`},
		{name: "ENT-8 PAX 0.0", recs: []rec{pax("GNU.sparse.size=20", "GNU.sparse.numblocks=2", "GNU.sparse.offset=2", "GNU.sparse.numbytes=3", "GNU.sparse.offset=10", "GNU.sparse.numbytes=2"), {typ: '0', name: "f", body: "abcde"}},
			data: "abcde", want: `file "f" 644 0:0 0.000000000 size 20 stored 5 [{2 3} {10 2}]`},
		{name: "ENT-8 PAX 0.1", recs: []rec{pax("GNU.sparse.size=20", "GNU.sparse.numblocks=2", "GNU.sparse.map=0,3,3,1,10,1", "GNU.sparse.name=f"), {typ: '0', name: "GNUSparseFile.0/f", body: "abcde"}},
			data: "abcde", want: `file "f" 644 0:0 0.000000000 size 20 stored 5 [{0 4} {10 1}]`},
		{name: "ENT-8 PAX 1.0", recs: []rec{pax(v1...), {typ: '0', name: "GNUSparseFile.0/f", body: inline("2\n2\n3\n10\n2\n", "abcde")}},
			data: "abcde", want: `file "f" 644 0:0 0.000000000 size 20 stored 5 [{2 3} {10 2}]`},
		{name: "ENT-8 PAX 1.0 over two blocks", recs: []rec{pax(v1...), {typ: '0', name: "x", body: inline("200\n"+strings.Repeat("0\n0\n", 198)+"2\n3\n10\n2\n", "abcde")}},
			data: "abcde", want: `file "f" 644 0:0 0.000000000 size 20 stored 5 [{2 3} {10 2}]`},
		{name: "ENT-8 PAX 1.0 all hole", recs: []rec{pax(v1...), {typ: '0', name: "x", body: inline("0\n", "")}}, want: `file "f" 644 0:0 0.000000000 size 20 stored 0 []`},
		{name: "whiteout that is sparse", recs: []rec{gnuSparse(".wh.f", 20, "abcde", 2, 3, 10, 2)}, want: `whiteout "f"`},

		{name: "overlap", recs: []rec{gnuSparse("f", 20, "abcde", 2, 3, 4, 2)}, err: `tar offset 0, "f": broken tar: sparse map`},
		{name: "past the end", recs: []rec{gnuSparse("f", 20, "abcde", 2, 3, 19, 2)}, err: `tar offset 0, "f": broken tar: sparse map`},
		{name: "too little stored", recs: []rec{gnuSparse("f", 20, "abcde", 2, 3, 10, 3)}, err: `tar offset 512, "f": broken tar: sparse map of 6 bytes for 5 stored`},
		{name: "PAX odd", recs: []rec{pax("GNU.sparse.size=20", "GNU.sparse.map=0,3,3"), file("f")}, err: `tar offset 1024, "f": broken tar: sparse map of odd length`},
		{name: "PAX order", recs: []rec{pax("GNU.sparse.numbytes=3"), file("f")}, err: `tar offset 0: broken tar: sparse map records out of order`},
		{name: "PAX without size", recs: []rec{pax("GNU.sparse.map=0,3"), file("f")}, err: `tar offset 1024, "f": broken tar: sparse file without a size`},
		{name: "PAX 2.0", recs: []rec{pax("GNU.sparse.major=2", "GNU.sparse.minor=0"), file("f")}, err: `tar offset 1024, "f": unsupported tar entry: sparse format "2"."0"`},
		{name: "inline junk", recs: []rec{pax(v1...), {typ: '0', name: "x", body: inline("1\nx\n", "")}}, err: `tar offset 1536, "f": broken tar: sparse map`},
		{name: "inline longer than the content", recs: []rec{pax(v1...), {typ: '0', name: "x", body: "9\n0\n"}, file("y")}, err: `tar offset 1536, "f": broken tar: sparse map longer than the content`},
		{name: "S without GNU's magic", recs: []rec{{typ: 'S', name: "f"}}, err: `tar offset 0, "f": unsupported tar entry: sparse file that is not GNU's`},
		{name: "empty continuation", recs: []rec{{typ: 'S', name: "f", magic: magicGNU, size: oct(0), body: strings.Repeat("\x00", 504) + "\x01", edit: func(b []byte) {
			b[482] = 1
			copy(b[483:], oct(9))
		}}}, err: `tar offset 512, "f": broken tar: empty sparse map block`},
	} {
		t.Run(c.name, func(t *testing.T) {
			// The file after it shows that the place in the stream is kept (ENT-9).
			s, err := parse(archive(append(c.recs, rec{typ: '0', name: "after", body: "after"})...), Options{})
			if err != nil || c.err != "" {
				if err == nil || err.Error() != c.err {
					t.Errorf("error %v\nwant  %s", err, c.err)
				}
				return
			}
			if len(s.Entries) != 2 || string(s.Contents[1]) != "after" {
				t.Fatalf("entries %q, contents %v", lines(s), s.Contents)
			}
			e := &s.Entries[0]
			if c.want == "30 runs" {
				if len(e.Sparse) != 30 || e.Sparse[29] != (Run{58, 1}) {
					t.Errorf("runs %v", e.Sparse)
				}
			} else if diff := cmp.Diff(c.want, line(e)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if got := string(s.Contents[0]); got != c.data {
				t.Errorf("content %q, want %q", got, c.data)
			}
		})
	}
}
