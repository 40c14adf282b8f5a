package tarx

import (
	"fmt"
	"io"
	"math"
)

// A Parser reads a tar stream that is pushed to it and tells a Handler what is in it.
// It is an io.Writer whose Write takes pieces of any length; how the stream is cut
// makes no difference but to the lengths of the pieces given to Handler.Content.
// It is not safe for concurrent use.
type Parser struct {
	opt Options
	h   Handler
	st  state

	attrs attrs  // of st.PAX
	entry Entry  // the entry that Handler.Entry gets
	clean []byte // scratch for names
	err   error
}

// NewParser returns a Parser at the start of a stream.
func NewParser(opt Options, h Handler) *Parser {
	return &Parser{opt: opt.withDefaults(), h: h}
}

// Write takes the next bytes of the stream. It keeps no reference to b.
// Errors: *Error, or what the Handler returned; after an error every call returns it.
func (p *Parser) Write(b []byte) (int, error) {
	taken := 0
	for p.err == nil && taken < len(b) {
		n, err := p.step(b[taken:])
		taken += n
		p.err = err
	}
	return taken, p.err
}

// Close says that the stream is over, and checks that it may be: not inside a header,
// an extra record or a content (FMT-21). A stream without the two zero blocks at its
// end, or without any byte, is accepted (FMT-19, FMT-20).
func (p *Parser) Close() error {
	if p.err != nil {
		return p.err
	}
	switch p.st.Phase {
	case inEnd, inPad:
	case inHeader:
		if !isZero(p.st.Block) {
			return p.fail(p.st.Off-int64(len(p.st.Block)), "", fmt.Errorf("cut header: %w", io.ErrUnexpectedEOF))
		}
	case inContent, inSkip:
		return p.fail(p.st.Off, string(p.st.Path), fmt.Errorf("cut content: %w", io.ErrUnexpectedEOF))
	case inExtra:
		return p.fail(p.st.Off, "", fmt.Errorf("cut extra record: %w", io.ErrUnexpectedEOF))
	default:
		return p.fail(p.st.Off, string(p.st.Path), fmt.Errorf("cut sparse map: %w", io.ErrUnexpectedEOF))
	}
	return nil
}

// Offset is the number of bytes taken so far.
func (p *Parser) Offset() int64 { return p.st.Off }

// Ended says that the archive's end was seen: what follows is only counted.
func (p *Parser) Ended() bool { return p.st.Phase == inEnd }

// Trailing is the number of bytes after the archive's end so far.
func (p *Parser) Trailing() int64 { return p.st.Trailing }

// Entries is the number of entries so far, skipped ones too.
func (p *Parser) Entries() int64 { return p.st.Entries }

// Skippable is how many of the next bytes are content or padding, which nobody needs to
// look at to know what comes after them.
func (p *Parser) Skippable() int64 {
	switch p.st.Phase {
	case inContent, inSkip:
		return addClamp(p.st.Left, p.st.Pad)
	case inPad:
		return p.st.Left
	}
	return 0
}

// Skip passes n bytes, at most Skippable, as if they had been written, but the Handler
// does not see them. Errors as Write.
func (p *Parser) Skip(n int64) error {
	n = min(n, p.Skippable())
	for n > 0 && p.err == nil {
		k := min(n, p.st.Left)
		p.st.Left -= k
		p.st.Off += k
		n -= k
		p.err = p.settle()
	}
	return p.err
}

func (p *Parser) fail(off int64, path string, err error) error {
	p.err = &Error{Off: off, Path: path, Err: err}
	return p.err
}

// step takes some of b, at least one byte.
func (p *Parser) step(b []byte) (int, error) {
	st := &p.st
	switch st.Phase {
	case inContent, inSkip, inPad, inExtra:
		k := int(min(st.Left, int64(len(b))))
		switch st.Phase {
		case inContent:
			if err := p.h.Content(b[:k:k]); err != nil {
				return 0, err
			}
		case inExtra:
			st.Extra = append(st.Extra, b[:k]...)
		}
		st.Left -= int64(k)
		st.Off += int64(k)
		return k, p.settle()
	case inEnd:
		st.Off += int64(len(b))
		st.Trailing += int64(len(b))
		return len(b), nil
	}
	blk, k := b, BlockBytes
	if len(st.Block) > 0 || len(b) < BlockBytes {
		k = min(BlockBytes-len(st.Block), len(b))
		st.Block = append(st.Block, b[:k]...)
		if len(st.Block) < BlockBytes {
			st.Off += int64(k)
			return k, nil
		}
		blk = st.Block
	}
	st.Off += int64(k)
	err := p.block(blk[:BlockBytes])
	st.Block = st.Block[:0]
	return k, err
}

// settle moves on as long as nothing is left of the present phase.
func (p *Parser) settle() error {
	st := &p.st
	for st.Left == 0 {
		was := st.Phase
		switch was {
		case inContent, inSkip, inExtra:
			st.Phase, st.Left, st.Pad = inPad, st.Pad, 0
		case inPad:
			st.Phase = inHeader
			return nil
		default:
			return nil
		}
		switch was {
		case inContent:
			if err := p.h.EndContent(); err != nil {
				return err
			}
		case inExtra:
			if err := p.extra(); err != nil {
				return err
			}
		}
	}
	return nil
}

// begin enters a phase that lasts n bytes and the padding after them.
func (p *Parser) begin(ph phase, n int64) error {
	p.st.Phase, p.st.Left, p.st.Pad = ph, n, padding(n)
	return p.settle()
}

// block takes a whole block in a phase that reads blocks; st.Off is its end.
func (p *Parser) block(blk []byte) error {
	st := &p.st
	switch st.Phase {
	case inHeader:
		if isZero(blk) {
			if st.Zero {
				st.Phase = inEnd
			}
			st.Zero = true
			return nil
		}
		off := st.Off - BlockBytes
		if st.Zero {
			return p.fail(off, "", formatf("data after one zero block"))
		}
		var h header
		if err := h.parse(blk); err != nil {
			return p.fail(off, "", err)
		}
		return p.header(&h, blk)
	case inOldMap:
		return p.oldMap(blk)
	default:
		return p.inlineMap(blk)
	}
}

// header takes a header block: of an extra record, or of an entry.
func (p *Parser) header(h *header, blk []byte) error {
	off := p.st.Off - BlockBytes
	switch h.typeflag {
	case 'x', 'g', 'L', 'K':
		if h.size < 0 {
			return p.fail(off, "", formatf("negative size"))
		}
		have := int64(0)
		if h.typeflag == 'x' {
			have = int64(len(p.st.PAX))
		}
		if h.size > p.opt.MaxRecord-have {
			return p.fail(off, "", tooLarge("PAX or long name record", h.size, p.opt.MaxRecord, "MaxRecord"))
		}
		if h.typeflag == 'g' { // ENT-4
			p.st.Path = p.st.Path[:0]
			return p.begin(inSkip, h.size)
		}
		p.st.Kind, p.st.Extra = h.typeflag, p.st.Extra[:0]
		return p.begin(inExtra, h.size)
	}
	if p.st.Entries++; p.st.Entries > p.opt.MaxEntries {
		return p.fail(off, "", tooLarge("number of entries", p.st.Entries, p.opt.MaxEntries, "MaxEntries"))
	}
	return p.open(h, blk)
}

// extra takes the extra record that has just been read whole.
func (p *Parser) extra() error {
	st := &p.st
	switch st.Kind {
	case 'x':
		st.PAX = append(st.PAX, st.Extra...)
		if err := p.attrs.parse(st.Extra); err != nil {
			return p.fail(st.Off-int64(len(st.Extra))-BlockBytes, "", err)
		}
	case 'L':
		st.HasName, st.Name = true, append(st.Name[:0], cString(st.Extra)...)
	case 'K':
		st.HasLink, st.Link = true, append(st.Link[:0], cString(st.Extra)...)
	}
	return nil
}

// forget drops the extra records: they were for the entry that was just opened.
func (p *Parser) forget() {
	p.st.HasName, p.st.HasLink = false, false
	if len(p.st.PAX) > 0 {
		p.st.PAX = p.st.PAX[:0]
		p.attrs = attrs{}
	}
}

// padding is the number of bytes from n up to the next whole block.
func padding(n int64) int64 { return -n & (BlockBytes - 1) }

func addClamp(a, b int64) int64 {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}
