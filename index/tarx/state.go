package tarx

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
)

// A phase is what the Parser does with the next byte.
type phase uint8

const (
	inHeader    phase = iota // gathers a header block, or the end
	inExtra                  // gathers an extra record: Left bytes, then Pad
	inOldMap                 // gathers a continuation block of an old GNU sparse map
	inInlineMap              // gathers a block of a sparse map in the content
	inContent                // passes content on: Left bytes, then Pad
	inSkip                   // drops content: Left bytes, then Pad
	inPad                    // drops padding: Left bytes
	inEnd                    // counts what follows the end
)

// state is all that a Parser knows between two pieces, but for what follows from
// it. It is stored as JSON, so names are byte slices: they need not be UTF-8.
type state struct {
	Phase     phase
	Off       int64  // bytes taken
	Left, Pad int64  // see phase; in the phases that use it, Left is not 0
	Block     []byte // gathered part of a block
	Zero      bool   // the last block was zeros
	Entries   int64
	Trailing  int64

	// Extra records before the next entry.
	Kind             byte   // type of the one being gathered
	Extra            []byte // gathered part of it
	PAX              []byte // all PAX records, one after the other
	Name, Link       []byte // GNU long name and link
	HasName, HasLink bool

	// The entry that was opened last.
	Path         []byte
	Emit         bool  // the Handler gets it
	Size, Length int64 // logical size; stored bytes to come
	Map          sparseMap
	Inline       inlineMap
	Waiting      *savedEntry `json:",omitempty"` // in the phases that read a sparse map
}

// A savedEntry is an Entry as far as it is known before its sparse map.
type savedEntry struct {
	Path, Link []byte
	Entry      Entry
	Xattrs     [][2][]byte
}

// errState: a saved state is not one, or is of another version.
var errState = errors.New("saved tar parser state is broken")

const stateVersion = "tarx1"

// MarshalBinary returns the Parser's state between two calls of Write, for a Parser
// in another process to go on. Its size is bounded by the limits of Options. What the
// Handler knows is not part of it.
func (p *Parser) MarshalBinary() ([]byte, error) {
	if p.err != nil {
		return nil, p.err
	}
	st := p.st
	if st.Phase == inOldMap || st.Phase == inInlineMap {
		s := &savedEntry{Path: []byte(p.entry.Path), Link: []byte(p.entry.Link), Entry: p.entry}
		for _, x := range p.entry.Xattrs {
			s.Xattrs = append(s.Xattrs, [2][]byte{[]byte(x.Name), x.Value})
		}
		s.Entry.Path, s.Entry.Link, s.Entry.Xattrs = "", "", nil
		st.Waiting = s
	}
	b, err := json.Marshal(st)
	if err != nil {
		return nil, fmt.Errorf("tar parser state: %w", err)
	}
	return append([]byte(stateVersion), b...), nil
}

// UnmarshalBinary puts a new Parser into a saved state: what is written next is what came
// after the bytes of the saving one. A state that was tampered with gives an error
// or wrong entries, never a panic.
func (p *Parser) UnmarshalBinary(b []byte) error {
	if len(b) < len(stateVersion) || string(b[:len(stateVersion)]) != stateVersion {
		return errState
	}
	var st state
	if err := json.Unmarshal(b[len(stateVersion):], &st); err != nil {
		return fmt.Errorf("%w: %w", errState, err)
	}
	if err := st.check(); err != nil {
		return err
	}
	var a attrs
	if err := a.parse(st.PAX); err != nil {
		return fmt.Errorf("%w: %w", errState, err)
	}
	p.entry, p.attrs, p.err = Entry{}, a, nil
	if s := st.Waiting; s != nil {
		p.entry = s.Entry
		p.entry.Path, p.entry.Link = string(s.Path), string(s.Link)
		for _, x := range s.Xattrs {
			p.entry.Xattrs = append(p.entry.Xattrs, Xattr{Name: string(x[0]), Value: x[1]})
		}
		st.Waiting = nil
	}
	p.st = st
	return nil
}

// check holds a state against what Parser's methods rely on.
func (st *state) check() error {
	ok := st.Phase <= inEnd && len(st.Block) < BlockBytes &&
		st.Off >= 0 && st.Off <= math.MaxInt64/2 && st.Length >= 0 &&
		st.Left >= 0 && st.Pad >= 0 && st.Pad < BlockBytes
	switch st.Phase {
	case inExtra, inContent, inSkip, inPad:
		ok = ok && st.Left > 0 && len(st.Block) == 0
	case inOldMap, inInlineMap:
		ok = ok && st.Waiting != nil
	}
	if !ok {
		return errState
	}
	return nil
}
