package tarx

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// samples are archives that pass through every phase of the parser.
func samples() [][]byte {
	var many []int64
	for i := range int64(70) {
		many = append(many, 3*i, 2)
	}
	inline := "3\n0\n1\n4\n5\n20\n1\n"
	inline += strings.Repeat("\x00", int(padding(int64(len(inline))))) + "abcdefg"
	return [][]byte{
		archive(
			rec{typ: '5', name: "d/"},
			pax("path=d/p", "mtime=1.5", "SCHILY.xattr.user.\xff=\x00", "SCHILY.xattr.user.b="), rec{typ: '0', name: "x", body: strings.Repeat("data", 300)},
			long('L', "d/"+strings.Repeat("n", 200)), long('K', "d/"+strings.Repeat("m", 600)), rec{typ: '2', name: "s", magic: magicGNU},
			rec{typ: 'g', body: paxBody("comment=x")},
			gnuSparse("sparse\xff", 300, strings.Repeat("ab", 70), many...),
			rec{typ: '0', name: ".wh.gone", body: "ignored"}, file("d/.wh..wh..opq"), rec{typ: '0', name: ".wh.q/x", body: "ignored"},
			pax("GNU.sparse.major=1", "GNU.sparse.minor=0", "GNU.sparse.name=i\xfe", "GNU.sparse.realsize=30", "SCHILY.xattr.user.i=1"), rec{typ: '0', name: "x", body: inline},
			rec{typ: '0', name: "last", body: "1"},
		),
		nil,
		archive()[:512],
		file("no end").bytes(),
		archive(file("a"), rec{typ: 'V', name: "refused"}),
		append(archive(file("a")), "trailing bytes"...),
	}
}

// TestSplits: however the stream is cut, and whenever the state is moved to a new
// parser, the handler sees the same.
func TestSplits(t *testing.T) {
	all := samples()
	rapid.Check(t, func(t *rapid.T) {
		b := rapid.SampledFrom(all).Draw(t, "archive")
		want, wantErr := parse(b, Options{})
		got, gotErr := parseSplit(t, b, rapid.IntRange(60, 1500).Draw(t, "longest"), rapid.IntRange(0, 6).Draw(t, "moves"))
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("-whole +split:\n%s", diff)
		}
		if (wantErr == nil) != (gotErr == nil) || wantErr != nil && wantErr.Error() != gotErr.Error() {
			t.Fatalf("whole: %v, split: %v", wantErr, gotErr)
		}
	})
}

func parseSplit(t *rapid.T, b []byte, longest, moves int) (*seen, error) {
	var s seen
	p := NewParser(Options{}, &s)
	for len(b) > 0 {
		n := rapid.IntRange(1, longest).Draw(t, "piece")
		n = min(n, len(b))
		if _, err := p.Write(b[:n]); err != nil {
			return &s, err
		}
		b = b[n:]
		if moves > 0 && rapid.IntRange(0, moves).Draw(t, "move") == 0 {
			state, err := p.MarshalBinary()
			if err != nil {
				t.Fatal(err)
			}
			p = NewParser(Options{}, &s)
			if err := p.UnmarshalBinary(state); err != nil {
				t.Fatal(err)
			}
		}
	}
	return &s, p.Close()
}

// TestMoveEverywhere moves the state at every byte of an archive.
func TestMoveEverywhere(t *testing.T) {
	b := samples()[0]
	want := mustParse(t, b)
	var s seen
	p := NewParser(Options{}, &s)
	for i := range b {
		if _, err := p.Write(b[i : i+1]); err != nil {
			t.Fatal(err)
		}
		if i%BlockBytes > 3 && i%37 != 0 { // not quite every byte, for time
			continue
		}
		state, err := p.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		p = NewParser(Options{}, &s)
		if err := p.UnmarshalBinary(state); err != nil {
			t.Fatalf("at %d: %v", i, err)
		}
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, &s); diff != "" {
		t.Errorf("-whole +moved:\n%s", diff)
	}
}

func TestUnmarshalRefuses(t *testing.T) {
	p := NewParser(Options{}, &seen{})
	if _, err := p.Write(samples()[0][:5000]); err != nil {
		t.Fatal(err)
	}
	good, err := p.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{
		"nothing":       nil,
		"other version": append([]byte("tarx0"), good[5:]...),
		"cut":           good[:len(good)-1],
		"no JSON":       []byte("tarx1[]"),
		"phase":         []byte(`tarx1{"Phase":99}`),
		"nothing left":  []byte(`tarx1{"Phase":4}`),
		"negative":      []byte(`tarx1{"Off":-1}`),
		"no entry":      []byte(`tarx1{"Phase":2}`),
		"long block":    append(append([]byte(`tarx1{"Block":"`), bytes.Repeat([]byte("AAAA"), 200)...), `"}`...),
		"broken PAX":    []byte(`tarx1{"PAX":"AAAA"}`),
	} {
		if err := NewParser(Options{}, &seen{}).UnmarshalBinary(b); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}
