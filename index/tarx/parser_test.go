package tarx

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestSignedChecksum (ENT-1): old writers added header bytes up as signed numbers.
func TestSignedChecksum(t *testing.T) {
	b := archive(file("\xff"))
	var sum int
	fmt.Sscanf(string(b[148:154]), "%o", &sum)
	copy(b[148:], fmt.Sprintf("%06o", sum-256))
	if s := mustParse(t, b); len(s.Entries) != 1 || s.Entries[0].Path != "\xff" {
		t.Errorf("got %q", lines(s))
	}
	copy(b[148:], fmt.Sprintf("%06o", sum-255))
	if _, err := parse(b, Options{}); err == nil || err.Error() != "tar offset 0: broken tar: wrong header checksum" {
		t.Errorf("got %v", err)
	}
}

func TestIsHeader(t *testing.T) { // FMT-4
	b := archive(file("f"))
	for _, c := range []struct {
		name string
		b    []byte
		want bool
	}{
		{"header", b, true},
		{"one block", b[:512], true},
		{"cut", b[:511], false},
		{"zeros", make([]byte, 512), false},
		{"text", bytes.Repeat([]byte("text"), 200), false},
	} {
		if got := IsHeader(c.b); got != c.want {
			t.Errorf("%s: got %v", c.name, got)
		}
	}
}

// TestEnd has the ways in which an archive may and may not end (FMT-19, FMT-20, FMT-21).
func TestEnd(t *testing.T) {
	one := rec{typ: '0', name: "f", body: "content"}.bytes()
	zero := make([]byte, 4*BlockBytes)
	join := func(bs ...[]byte) []byte { return bytes.Join(bs, nil) }
	for _, c := range []struct {
		name     string
		b        []byte
		trailing int64
		err      string
	}{
		{name: "no bytes"},
		{name: "two zero blocks", b: zero[:1024]},
		{name: "zeros that are no block", b: zero[:100]},
		{name: "no end", b: one},
		{name: "one zero block", b: join(one, zero[:512])},
		{name: "two", b: join(one, zero[:1024])},
		{name: "more zeros", b: join(one, zero[:1024], zero), trailing: 2048},
		{name: "anything after the end", b: join(one, zero[:1024], one, []byte("junk")), trailing: 1028},
		{name: "no padding", b: one[:512+7]},
		{name: "part of the padding", b: one[:700]},
		{name: "data after one zero block", b: join(one, zero[:512], one), err: "tar offset 1536: broken tar: data after one zero block"},
		{name: "cut header", b: join(one, one[:100]), err: "tar offset 1024: cut header: unexpected EOF"},
		{name: "cut content", b: one[:512+6], err: `tar offset 518, "f": cut content: unexpected EOF`},
		{name: "no content", b: one[:512], err: `tar offset 512, "f": cut content: unexpected EOF`},
		{name: "cut extra record", b: pax("path=x").bytes()[:520], err: "tar offset 520: cut extra record: unexpected EOF"},
		{name: "not a tar", b: bytes.Repeat([]byte("GGUF"), 200), err: "tar offset 0: broken tar: no header checksum"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var s seen
			p := NewParser(Options{}, &s)
			_, err := p.Write(c.b)
			if err == nil {
				err = p.Close()
			}
			if c.err != "" {
				if err == nil || err.Error() != c.err {
					t.Fatalf("error %v\nwant  %s", err, c.err)
				}
				if _, again := p.Write(one); again == nil || p.Close() == nil {
					t.Error("the parser goes on after an error")
				}
				return
			}
			if err != nil || p.Trailing() != c.trailing || p.Offset() != int64(len(c.b)) {
				t.Errorf("error %v, trailing %d, want %d", err, p.Trailing(), c.trailing)
			}
		})
	}
}

func TestLimits(t *testing.T) { // ERR-6
	sized := func(n int) rec { // a PAX record of exactly n bytes
		body := paxBody("comment=" + strings.Repeat("x", n-len("comment=")-len(fmt.Sprint(n))-2))
		if len(body) != n {
			t.Fatalf("record of %d bytes, want %d", len(body), n)
		}
		return rec{typ: 'x', body: body}
	}
	longName := func(n int) rec { return long('L', strings.Repeat("d/", n/2)[:n-1]) }
	const mib = 1 << 20
	for _, c := range []struct {
		name string
		recs []rec
		opt  Options
		err  string
	}{
		{name: "PAX at the limit", recs: []rec{sized(mib), file("f")}},
		{name: "PAX above", recs: []rec{sized(mib + 1), file("f")}, err: "tar offset 0: tar record too large: PAX or long name record of 1048577, limit 1048576 (MaxRecord)"},
		{name: "PAX in two records", recs: []rec{sized(mib), sized(20), file("f")}, err: "tar offset 1049088: tar record too large: PAX or long name record of 20, limit 1048576 (MaxRecord)"},
		{name: "global above", recs: []rec{{typ: 'g', body: sized(mib + 1).body}, file("f")}, err: "tar offset 0: tar record too large: PAX or long name record of 1048577, limit 1048576 (MaxRecord)"},
		{name: "long name at the limit", recs: []rec{longName(mib), file("f")}},
		{name: "long name above", recs: []rec{longName(mib + 1), file("f")}, err: "tar offset 0: tar record too large: PAX or long name record of 1048577, limit 1048576 (MaxRecord)"},
		{name: "entries at the limit", recs: []rec{file("a"), file("b")}, opt: Options{MaxEntries: 2}},
		{name: "entries above", recs: []rec{file("a"), file("b"), file("c")}, opt: Options{MaxEntries: 2}, err: "tar offset 1024: tar record too large: number of entries of 3, limit 2 (MaxEntries)"},
		{name: "runs at the limit", recs: []rec{gnuSparse("f", 9, "aa", 0, 1, 2, 1)}, opt: Options{MaxSparseRuns: 2}},
		{name: "runs above", recs: []rec{gnuSparse("f", 9, "aaa", 0, 1, 2, 1, 4, 1)}, opt: Options{MaxSparseRuns: 2}, err: `tar offset 0, "f": tar record too large: sparse map of 3, limit 2 (MaxSparseRuns)`},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := parse(archive(c.recs...), c.opt)
			if c.err == "" && err != nil || c.err != "" && (err == nil || err.Error() != c.err) {
				t.Errorf("error %v\nwant  %s", err, c.err)
			}
			if c.err != "" && !errors.Is(err, ErrTooLarge) {
				t.Errorf("%v is not ErrTooLarge", err)
			}
		})
	}
}

// TestPlaces checks Off and Stored against the stream, and the order of calls.
func TestPlaces(t *testing.T) {
	b := archive(
		rec{typ: '0', name: "a", body: "first"},
		rec{typ: '5', name: "d"},
		file("empty"),
		pax("path=long/name"), rec{typ: '0', name: "x", body: strings.Repeat("0123456789", 100)},
	)
	s := mustParse(t, b)
	var got []string
	for i, e := range s.Entries {
		got = append(got, fmt.Sprintf("%s %d+%d", e.Path, e.Off, e.Stored))
		if e.Kind == Regular && !bytes.Equal(s.Contents[i], b[e.Off:e.Off+e.Stored]) {
			t.Errorf("%s: the content is not where the entry says", e.Path)
		}
	}
	want := []string{"a 512+5", "d 1536+0", "empty 2048+0", "long/name 3584+1000"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]int{0, 2, 3}, s.Ends); diff != "" {
		t.Error(diff)
	}
}

// TestContentIsNotCopied: what a Handler gets is a part of what was written.
func TestContentIsNotCopied(t *testing.T) {
	b := archive(rec{typ: '0', name: "f", body: strings.Repeat("x", 3000)})
	var h aliasing
	h.b = b
	p := NewParser(Options{}, &h)
	for i := 0; i < len(b); i += 700 {
		if _, err := p.Write(b[i:min(i+700, len(b))]); err != nil {
			t.Fatal(err)
		}
	}
	if h.n != 3000 {
		t.Errorf("%d content bytes", h.n)
	}
}

type aliasing struct {
	seen
	b []byte
	n int
}

func (h *aliasing) Content(p []byte) error {
	if &p[0] != &h.b[512+h.n] {
		return errors.New("content was copied")
	}
	h.n += len(p)
	return nil
}

// TestHandlerErrors: each method's error ends the parse, as it is.
func TestHandlerErrors(t *testing.T) {
	b := archive(rec{typ: '0', name: "f", body: "x"})
	for _, at := range []string{"entry", "content", "end"} {
		want := errors.New(at)
		p := NewParser(Options{}, &failing{at: at, err: want})
		if _, err := p.Write(b); err != want { //nolint:errorlint // it must not be wrapped
			t.Errorf("%s: got %v", at, err)
		}
		if _, err := p.MarshalBinary(); err == nil {
			t.Errorf("%s: a failed parser gave a state", at)
		}
	}
}

type failing struct {
	at  string
	err error
}

func (f *failing) fail(at string) error {
	if f.at == at {
		return f.err
	}
	return nil
}

func (f *failing) Entry(*Entry) error          { return f.fail("entry") }
func (f *failing) Content([]byte) error        { return f.fail("content") }
func (f *failing) EndContent() error           { return f.fail("end") }
func (f *failing) Warning(WarningKind, string) {}

func TestClean(t *testing.T) { // ENT-14
	deep := strings.Repeat("d/", 100_000)
	for in, want := range map[string]string{
		"": "", "/": "", ".": "", "..": "", "a": "a", "a/": "a", "/a//b/": "a/b", "./a/./b": "a/b",
		"a/b/..": "a", "a/../..": "", "a/../../b": "b", "...": "...", "..a/.b": "..a/.b", "a/..b": "a/..b",
		deep: deep[:len(deep)-1], deep + strings.Repeat("../", 99_999): "d", // ERR-9
	} {
		if got := Clean(in); got != want {
			t.Errorf("Clean(%.40q) = %.40q, want %.40q", in, got, want)
		}
	}
}

func TestHidden(t *testing.T) { // MRG-14
	for path, want := range map[string]bool{
		"": false, "a": false, ".wh..wh.plnk": true, "a/.wh..wh.orph/x": true, "a.wh..wh.x": false, ".wh.a": false,
	} {
		if got := Hidden(path); got != want {
			t.Errorf("Hidden(%q) = %v", path, got)
		}
	}
}

func TestErrorsUnwrap(t *testing.T) {
	for want, b := range map[error][]byte{
		ErrUnsupported:      archive(rec{typ: 'V', name: "v"}),
		ErrFormat:           []byte(strings.Repeat("x", 600)),
		io.ErrUnexpectedEOF: archive(rec{typ: '0', name: "f", body: "x"})[:512],
	} {
		_, err := parse(b, Options{})
		var te *Error
		if !errors.Is(err, want) || !errors.As(err, &te) {
			t.Errorf("%v: got %v", want, err)
		}
	}
}
