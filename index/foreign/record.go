package foreign

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"

	"github.com/shalefs/shalefs/index/tarx"
)

// A Record is one entry as an index says it, before tarx's rules.
type Record struct {
	Name, Link   string
	Type         string // reg, dir, symlink, hardlink, char, block, fifo
	Mode         int64
	UID, GID     int64
	Size         int64 // stored bytes of a reg
	MTime        int64 // seconds
	MTimeNano    uint32
	Major, Minor int64
	Xattrs       map[string]string // raw values
}

var typeflags = map[string]byte{
	"reg": '0', "hardlink": '1', "symlink": '2', "char": '3', "block": '4', "dir": '5', "fifo": '6',
}

// A Collector turns records into entries by way of tar headers: it writes each as a tar
// would have it and lets a tarx.Parser read it, so that there is one set of rules.
// The tar that comes out is the stand-in stream.
type Collector struct {
	Index  *Index
	parser *tarx.Parser
	buf    []byte
	opened bool // an entry came since the last record
}

// NewCollector returns a Collector that fills idx.
func NewCollector(idx *Index) *Collector {
	c := &Collector{Index: idx}
	c.parser = tarx.NewParser(tarx.Options{MaxRecord: 4 << 20}, (*collecting)(c))
	return c
}

// A collecting is the Handler of a Collector's parser.
type collecting Collector

func (c *collecting) Entry(e *tarx.Entry) error {
	c.Index.Entries = append(c.Index.Entries, *e)
	c.opened = true
	return nil
}
func (c *collecting) Content([]byte) error { return nil }
func (c *collecting) EndContent() error    { return nil }
func (c *collecting) Warning(kind tarx.WarningKind, path string) {
	c.Index.Warnings = append(c.Index.Warnings, Warning{Kind: kind, Path: path})
}

// Add takes the next record. It returns the entry that came of it, or nil if it was
// skipped; the pointer is valid until the next Add.
// Errors: *tarx.Error, ErrInvalid, ErrUnsupported.
func (c *Collector) Add(r *Record) (*tarx.Entry, error) {
	flag, ok := typeflags[r.Type]
	if !ok {
		return nil, Unsupportedf("%q: entry type %.20q", r.Name, r.Type)
	}
	if r.Size < 0 || r.Size > 1<<62 {
		return nil, Invalidf("%q: size %d", r.Name, r.Size)
	}
	c.buf = appendHeaders(c.buf[:0], r, flag)
	c.opened = false
	if _, err := c.parser.Write(c.buf); err != nil {
		return nil, err
	}
	if err := c.parser.Skip(c.parser.Skippable()); err != nil {
		return nil, err
	}
	if !c.opened {
		return nil, nil //nolint:nilnil // skipped is an answer
	}
	return &c.Index.Entries[len(c.Index.Entries)-1], nil
}

// Size is the length of the stand-in stream so far.
func (c *Collector) Size() int64 { return c.parser.Offset() }

// appendHeaders writes a PAX record with all that the entry has, and a header.
func appendHeaders(b []byte, r *Record, flag byte) []byte {
	var kv []byte
	kv = appendPAX(kv, "path", r.Name)
	if flag == '1' || flag == '2' {
		kv = appendPAX(kv, "linkpath", r.Link)
	}
	kv = appendPAX(kv, "uid", strconv.FormatInt(r.UID, 10))
	kv = appendPAX(kv, "gid", strconv.FormatInt(r.GID, 10))
	if flag == '0' {
		kv = appendPAX(kv, "size", strconv.FormatInt(r.Size, 10))
	}
	kv = appendPAX(kv, "mtime", paxTime(r.MTime, r.MTimeNano))
	names := make([]string, 0, len(r.Xattrs))
	for name := range r.Xattrs {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		kv = appendPAX(kv, "SCHILY.xattr."+name, r.Xattrs[name])
	}
	b = appendHeader(b, 'x', int64(len(kv)), 0, 0, 0)
	b = append(b, kv...)
	b = append(b, make([]byte, -len(kv)&(tarx.BlockBytes-1))...)
	return appendHeader(b, flag, 0, r.Mode, r.Major, r.Minor)
}

func appendHeader(b []byte, flag byte, size, mode, major, minor int64) []byte {
	var blk [tarx.BlockBytes]byte
	base256(blk[100:108], mode&0o7777)
	base256(blk[124:136], size)
	copy(blk[148:156], "        ")
	blk[156] = flag
	copy(blk[257:], "ustar\x0000")
	base256(blk[329:337], major)
	base256(blk[337:345], minor)
	sum := 0
	for _, c := range blk {
		sum += int(c)
	}
	copy(blk[148:156], fmt.Sprintf("%06o\x00 ", sum))
	return append(b, blk[:]...)
}

func base256(b []byte, n int64) {
	for i := len(b) - 1; i >= 0; i-- {
		b[i] = byte(n)
		n >>= 8
	}
	b[0] |= 0x80
}

// paxTime is a time as PAX writes it: the sign counts for the fraction too.
func paxTime(sec int64, nsec uint32) string {
	sign := ""
	if sec < 0 && nsec > 0 {
		sec, nsec = sec+1, 1_000_000_000-nsec
		if sec == 0 {
			sign = "-"
		}
	}
	return fmt.Sprintf("%s%d.%09d", sign, sec, nsec)
}

// appendPAX writes one PAX record, whose length counts its own digits.
func appendPAX(b []byte, key, value string) []byte {
	n := len(key) + len(value) + 3
	total := n + len(strconv.Itoa(n))
	if d := len(strconv.Itoa(total)); n+d != total {
		total = n + d
	}
	b = strconv.AppendInt(b, int64(total), 10)
	b = append(append(append(b, ' '), key...), '=')
	return append(append(b, value...), '\n')
}

// SameName says whether two names of a tar stand for one path.
func SameName(a, b string) bool {
	return a == b || bytes.Equal([]byte(tarx.Clean(a)), []byte(tarx.Clean(b)))
}
