package estargz

import (
	"bytes"
	"strconv"

	"github.com/shalefs/shalefs/index/foreign"
)

// FooterBytes is the length of the longest footer.
const FooterBytes = 51

// A footer is a gzip member without content:
//
//	0   1f 8b 08 04 00 00 00 00 00 ff   gzip header with an extra field
//	10  u16 length of the extra field
//	12  'S' 'G' u16 length              eStargz and external only
//	..  16 hex digits of the TOC's offset, "STARGZ"; or "STARGZEXTERNALTOC"
//	..  01 00 00 ff ff                  empty stored block
//	..  8 zero bytes                    checksum and length
var (
	gzipHead  = []byte{0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 0xff}
	emptyTail = []byte{1, 0, 0, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0}
)

const (
	magic         = "STARGZ"
	magicExternal = "STARGZEXTERNALTOC"
	hexDigits     = 16
)

// A Footer is what a footer says.
type Footer struct {
	TOCOffset int64 // offset in the blob of the TOC's gzip member
	Len       int64 // length of the footer itself
	External  bool  // the TOC is not in the layer; TOCOffset is 0
}

// ParseFooter reads the footer at the end of tail, which is the end of a blob. tail should have
// FooterBytes or more.
// Errors: foreign.ErrNone if there is no footer of any form.
func ParseFooter(tail []byte) (Footer, error) {
	// The extra field's content, by the footer's form.
	subfield := func(payload int) []byte { return []byte{'S', 'G', byte(payload), 0} }
	for _, form := range []struct {
		prefix   []byte // of the extra field
		payload  int
		external bool
	}{
		{prefix: subfield(hexDigits + len(magic)), payload: hexDigits + len(magic)},
		{payload: hexDigits + len(magic)},
		{prefix: subfield(len(magicExternal)), payload: len(magicExternal), external: true},
	} {
		extra := len(form.prefix) + form.payload
		n := len(gzipHead) + 2 + extra + len(emptyTail)
		if len(tail) < n {
			continue
		}
		b := tail[len(tail)-n:]
		head, b := b[:len(gzipHead)], b[len(gzipHead):]
		if !bytes.Equal(head, gzipHead) || int(b[0])|int(b[1])<<8 != extra ||
			!bytes.HasPrefix(b[2:], form.prefix) || !bytes.Equal(b[2+extra:], emptyTail) {
			continue
		}
		payload := b[2+len(form.prefix) : 2+extra]
		if form.external {
			if string(payload) == magicExternal {
				return Footer{Len: int64(n), External: true}, nil
			}
			continue
		}
		if string(payload[hexDigits:]) != magic {
			continue
		}
		off, err := strconv.ParseUint(string(payload[:hexDigits]), 16, 63)
		if err != nil {
			return Footer{}, foreign.Invalidf("TOC offset %q in the footer", payload[:hexDigits])
		}
		return Footer{TOCOffset: int64(off), Len: int64(n)}, nil
	}
	return Footer{}, foreign.ErrNone
}
