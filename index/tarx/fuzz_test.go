package tarx

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// FuzzParser: any bytes end without a panic and in the same way however they are cut, and what
// both the parser and archive/tar take, they understand alike.
func FuzzParser(f *testing.F) {
	for _, b := range samples() {
		f.Add(b, uint16(700))
	}
	f.Fuzz(func(t *testing.T, b []byte, cut uint16) {
		if len(b) > 1<<20 {
			return
		}
		// Fuzzing cannot guess checksums, so each block that could be a header gets its own.
		for i := 0; i+BlockBytes <= len(b); i += BlockBytes {
			if cut&1 == 1 && !isZero(b[i:i+BlockBytes]) {
				seal(b[i : i+BlockBytes])
			}
		}
		opt := Options{MaxSparseRuns: 1000}
		whole, err := parse(b, opt)

		var s seen
		p := NewParser(opt, &s)
		piece := int(cut)%2000 + 1
		var splitErr error
		for i := 0; i < len(b) && splitErr == nil; i += piece {
			if _, splitErr = p.Write(b[i:min(i+piece, len(b))]); splitErr == nil {
				state, err := p.MarshalBinary()
				if err != nil {
					t.Fatal(err)
				}
				p = NewParser(opt, &s)
				if err := p.UnmarshalBinary(state); err != nil {
					t.Fatal(err)
				}
			}
		}
		if splitErr == nil {
			splitErr = p.Close()
		}
		if fmt.Sprint(err) != fmt.Sprint(splitErr) {
			t.Fatalf("whole: %v, split: %v", err, splitErr)
		}
		if diff := cmp.Diff(whole, &s); diff != "" {
			t.Fatalf("-whole +split:\n%s", diff)
		}
		for i := range whole.Entries {
			checkEntry(t, &whole.Entries[i], int64(len(b)))
		}
	})
}

// checkEntry holds an entry against what tarx promises of every entry.
func checkEntry(t *testing.T, e *Entry, end int64) {
	t.Helper()
	if Clean(e.Path) != e.Path || e.Off > end || e.Stored < 0 || e.Size < 0 || e.MTimeNano >= 1e9 {
		t.Fatalf("entry %+v", *e)
	}
	var last, sum int64
	for _, r := range e.Sparse {
		if r.Off < last || r.Len <= 0 || r.Off+r.Len > e.Size {
			t.Fatalf("sparse map %v of %d bytes", e.Sparse, e.Size)
		}
		last, sum = r.Off+r.Len, sum+r.Len
	}
	if e.Sparse != nil && sum != e.Stored || e.Sparse == nil && e.Kind == Regular && e.Stored != e.Size {
		t.Fatalf("%d bytes stored of %d, map %v", e.Stored, e.Size, e.Sparse)
	}
}

// FuzzAgainstGo makes archives of a few records from the fuzzer's choice, which archive/tar
// and the parser must read alike.
func FuzzAgainstGo(f *testing.F) {
	f.Add("a/b", "target", "SCHILY.xattr.user.a=b", "mtime=1.5", byte('0'), uint8(0), []byte("content"))
	f.Add("d/", "x", "path=p", "size=3", byte(0), uint8(1), []byte("abc"))
	f.Add("s", "/etc", "linkpath=q", "uid=", byte('2'), uint8(2), []byte{})
	f.Fuzz(func(t *testing.T, name, link, kv1, kv2 string, typ byte, form uint8, body []byte) {
		if len(name) > 100 || len(link) > 100 || len(body) > 1<<16 {
			return
		}
		r := rec{typ: typ, name: name, link: link, body: string(body), magic: []string{"", magicGNU, magicV7}[form%3]}
		b := archive(pax(kv1, kv2), r, rec{typ: '0', name: "after", body: "after"})
		want, contents, err := viaGo(b)
		if err != nil {
			return
		}
		s, err := parse(b, Options{})
		if err != nil || len(s.Warnings) > 0 || len(s.Entries) != len(want) {
			return // the parser has more rules
		}
		for i := range s.Entries {
			e := &s.Entries[i]
			if e.Kind == Whiteout || e.Kind == Opaque {
				return
			}
			if e.Kind == Regular && string(logical(e, s.Contents[i])) != string(contents[i]) {
				t.Fatalf("%q: contents differ", e.Path)
			}
			e.Sparse = nil
			if got := line(e); got != want[i] {
				t.Fatalf("archive/tar: %s\ntarx:        %s", want[i], got)
			}
		}
	})
}

// FuzzUnmarshal: a state from anywhere gives an error or a parser that does not panic.
func FuzzUnmarshal(f *testing.F) {
	for _, n := range []int{0, 100, 600, 2600, 4100, 5900} {
		p := NewParser(Options{}, &seen{})
		if _, err := p.Write(samples()[0][:n]); err != nil {
			f.Fatal(err)
		}
		state, err := p.MarshalBinary()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(state, samples()[0][n:])
	}
	f.Fuzz(func(t *testing.T, state, b []byte) {
		p := NewParser(Options{}, &failing{})
		if p.UnmarshalBinary(state) != nil {
			return
		}
		if n, err := p.Write(b); err == nil && n != len(b) {
			t.Fatalf("took %d of %d bytes without an error", n, len(b))
		}
		_ = p.Close()
	})
}

// FuzzWalk: walking is parsing without the contents.
func FuzzWalk(f *testing.F) {
	for _, b := range samples() {
		f.Add(b, uint16(512), uint16(100))
	}
	f.Fuzz(func(t *testing.T, b []byte, read, gap uint16) {
		if len(b) > 1<<20 {
			return
		}
		for i := 0; i+BlockBytes <= len(b); i += BlockBytes {
			if gap&1 == 1 && !isZero(b[i:i+BlockBytes]) {
				seal(b[i : i+BlockBytes])
			}
		}
		checkWalk(t, b, WalkOptions{Options: Options{MaxSparseRuns: 1000}, MinRead: int(read), MaxRead: int(read), Gap: int64(gap)})
	})
}
