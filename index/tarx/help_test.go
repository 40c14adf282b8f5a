package tarx

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// rec is one tar record for tests: a header block made by hand, then the body.
type rec struct {
	typ        byte
	name, link string
	mode       string // octal digits
	uid, gid   string // octal digits, or raw bytes
	size       string // octal digits; empty is len(body)
	mtime      string
	major      string
	minor      string
	prefix     string
	magic      string // 8 bytes; empty is ustar
	body       string
	edit       func(blk []byte) // before the checksum
	noPad      bool
}

func (r rec) bytes() []byte {
	blk := make([]byte, BlockBytes)
	put := func(off, n int, s, def string) {
		if s == "" {
			s = def
		}
		if len(s) > n {
			panic("test record: field too long: " + s)
		}
		copy(blk[off:off+n], s)
	}
	put(0, 100, r.name, "")
	put(100, 8, r.mode, "0000644")
	put(108, 8, r.uid, "0000000")
	put(116, 8, r.gid, "0000000")
	put(124, 12, r.size, fmt.Sprintf("%011o", len(r.body)))
	put(136, 12, r.mtime, "00000000000")
	blk[156] = r.typ
	put(157, 100, r.link, "")
	put(257, 8, r.magic, "ustar\x0000")
	put(329, 8, r.major, "")
	put(337, 8, r.minor, "")
	put(345, 155, r.prefix, "")
	if r.edit != nil {
		r.edit(blk)
	}
	seal(blk)
	out := append(blk, r.body...)
	if !r.noPad {
		out = append(out, make([]byte, padding(int64(len(r.body))))...)
	}
	return out
}

// seal writes a header's checksum.
func seal(blk []byte) {
	copy(blk[148:156], "        ")
	var sum int
	for _, c := range blk[:BlockBytes] {
		sum += int(c)
	}
	copy(blk[148:156], fmt.Sprintf("%06o\x00 ", sum))
}

const (
	magicGNU = "ustar  \x00"
	magicV7  = "\x00\x00\x00\x00\x00\x00\x00\x00"
)

// pax makes a PAX record out of key=value strings.
func pax(kvs ...string) rec { return rec{typ: 'x', name: "PaxHeaders/x", body: paxBody(kvs...)} }

func paxBody(kvs ...string) string {
	var b strings.Builder
	for _, kv := range kvs {
		n := len(kv) + 2
		for {
			if m := len(fmt.Sprint(n)) + len(kv) + 2; m != n {
				n = m
				continue
			}
			break
		}
		fmt.Fprintf(&b, "%d %s\n", n, kv)
	}
	return b.String()
}

func long(typ byte, s string) rec {
	return rec{typ: typ, name: "././@LongLink", magic: magicGNU, body: s + "\x00"}
}

// archive joins records and the archive's end.
func archive(recs ...rec) []byte {
	var b []byte
	for _, r := range recs {
		b = append(b, r.bytes()...)
	}
	return append(b, make([]byte, 2*BlockBytes)...)
}

// A seen is what a Handler was shown: entries, contents by entry, warnings.
type seen struct {
	Entries  []Entry
	Contents map[int][]byte
	Ends     []int
	Warnings []string
}

func (s *seen) Entry(e *Entry) error {
	s.Entries = append(s.Entries, *e)
	return nil
}

func (s *seen) Content(p []byte) error {
	if s.Contents == nil {
		s.Contents = map[int][]byte{}
	}
	i := len(s.Entries) - 1
	s.Contents[i] = append(s.Contents[i], p...)
	return nil
}

func (s *seen) EndContent() error {
	s.Ends = append(s.Ends, len(s.Entries)-1)
	return nil
}

func (s *seen) Warning(kind WarningKind, path string) {
	s.Warnings = append(s.Warnings, string(kind)+" "+path)
}

// parse gives a stream to a Parser at once.
func parse(b []byte, opt Options) (*seen, error) {
	var s seen
	p := NewParser(opt, &s)
	if _, err := p.Write(b); err != nil {
		return &s, err
	}
	return &s, p.Close()
}

func mustParse(t *testing.T, b []byte) *seen {
	t.Helper()
	s, err := parse(b, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// line shows an entry in one line.
func line(e *Entry) string {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %q", kindNames[e.Kind], e.Path)
	switch e.Kind {
	case Whiteout, Opaque:
		return b.String()
	case Hardlink:
		fmt.Fprintf(&b, " to %q", e.Link)
		return b.String()
	}
	fmt.Fprintf(&b, " %o %d:%d %d.%09d", e.Mode, e.UID, e.GID, e.MTime, e.MTimeNano)
	switch e.Kind {
	case Regular:
		fmt.Fprintf(&b, " size %d", e.Size)
		if e.Sparse != nil {
			fmt.Fprintf(&b, " stored %d %v", e.Stored, e.Sparse)
		}
	case Symlink:
		fmt.Fprintf(&b, " to %q", e.Link)
	case Char, Block:
		fmt.Fprintf(&b, " %d:%d", e.Major, e.Minor)
	}
	for _, x := range e.Xattrs {
		fmt.Fprintf(&b, " %s=%q", x.Name, x.Value)
	}
	return b.String()
}

var kindNames = map[Kind]string{
	Regular: "file", Directory: "dir", Symlink: "symlink", Hardlink: "link", Char: "char",
	Block: "block", Fifo: "fifo", Whiteout: "whiteout", Opaque: "opaque",
}

func lines(s *seen) []string {
	var out []string
	for i := range s.Entries {
		out = append(out, line(&s.Entries[i]))
	}
	for _, w := range s.Warnings {
		out = append(out, "warning "+w)
	}
	return out
}
