package lazy

import (
	"errors"
	"fmt"
	"io"

	"github.com/shalefs/shalefs/layout"
)

// A tape reads a range of a blob once, from front to back, for several spans, one after
// the other, whose compressed bytes may overlap: the last chunk of a span may need bytes
// from which the next span starts. These, and no others, it holds.
type tape struct {
	r        io.Reader
	pos      int64 // offset in the blob of the next byte that r gives
	from     int64 // offset in the blob of the next byte that Read gives; at most pos
	end      int64 // where Read ends
	keep     int64 // bytes of r from this offset on are held
	held     []byte
	heldAt   int64 // offset of held[0]
	err      error // what r failed with
	progress func(n int)
}

// errGone: a section starts before what the tape still has.
var errGone = errors.New("tape is past this")

// section makes Read give the bytes [from, end), and hold those from next on, where the
// next section starts.
// Errors: errGone, and those of the reader.
func (t *tape) section(from, end, next int64) error {
	if from < t.pos {
		if len(t.held) == 0 || from < t.heldAt {
			return errGone
		}
		t.held = append(t.held[:0], t.held[from-t.heldAt:]...)
		t.heldAt = from
	} else {
		t.held = t.held[:0]
	}
	t.from, t.end, t.keep = from, end, next
	var skip [4096]byte
	for t.pos < from {
		n, err := t.fill(skip[:min(int64(len(skip)), from-t.pos)])
		if err != nil && n == 0 {
			return err
		}
	}
	return nil
}

func (t *tape) Read(p []byte) (int, error) {
	if t.from >= t.end {
		return 0, io.EOF
	}
	if len(p) == 0 {
		return 0, nil
	}
	p = p[:min(int64(len(p)), t.end-t.from)]
	if t.from < t.pos {
		n := copy(p, t.held[t.from-t.heldAt:])
		t.from += int64(n)
		return n, nil
	}
	n, err := t.fill(p)
	t.from += int64(n)
	if n > 0 {
		return n, nil
	}
	return 0, err
}

// fill reads from r, and holds what is to be held.
func (t *tape) fill(p []byte) (int, error) {
	if t.err != nil {
		return 0, t.err
	}
	n, err := t.r.Read(p)
	if n > 0 {
		t.progress(n)
		if t.keep >= t.pos {
			t.held = t.held[:0]
		}
		if at := max(t.keep, t.pos); at < t.pos+int64(n) {
			if len(t.held) == 0 {
				t.heldAt = at
			}
			t.held = append(t.held, p[at-t.pos:n]...)
		}
		t.pos += int64(n)
		return n, nil
	}
	if errors.Is(err, io.EOF) {
		err = fmt.Errorf("%w: stream ends at offset %d", layout.ErrUnavailable, t.pos)
	}
	if err != nil {
		t.err = err
	}
	return n, err
}
