package zstdx

import (
	"encoding/binary"
	"fmt"
)

// A state is what Checkpoint.State says. Its encoding is
//
//	uvarint  flags: 1 the checkpoint is the start of a frame (nothing follows),
//	         2 the frame ends with a checksum, 4 the repeat offsets are the initial ones
//	uvarint  window size in bytes
//	3 x uvarint  repeat offsets, without flag 4
//	per table (literal lengths, offsets, match lengths, Huffman): its kind as one byte
//	         (descNone ...), then for descRLE the symbol, for descBytes uvarint length and bytes
type state struct {
	start bool
	frame frame
	reps  [3]uint32
	tabs  [numTabs]desc
}

const (
	flagStart    = 1
	flagChecksum = 2
	flagReps     = 4
)

var initialReps = [3]uint32{1, 4, 8}

func (s *state) encode() []byte {
	if s.start {
		return []byte{flagStart}
	}
	flags := uint64(0)
	if s.frame.checksum {
		flags |= flagChecksum
	}
	if s.reps == initialReps {
		flags |= flagReps
	}
	b := binary.AppendUvarint(nil, flags)
	b = binary.AppendUvarint(b, uint64(s.frame.window))
	if s.reps != initialReps {
		for _, r := range s.reps {
			b = binary.AppendUvarint(b, uint64(r))
		}
	}
	for _, t := range s.tabs {
		b = t.append(b)
	}
	return b
}

func (d desc) append(b []byte) []byte {
	b = append(b, d.kind)
	switch d.kind {
	case descRLE:
		b = append(b, d.sym)
	case descBytes:
		b = binary.AppendUvarint(b, uint64(len(d.raw)))
		b = append(b, d.raw...)
	}
	return b
}

// parseState is the inverse of encode, for input that nobody vouches for. rest
// is what follows it.
func parseState(b []byte) (s state, rest []byte, err error) {
	bad := fmt.Errorf("state: %w", errCheckpoint)
	flags, b, ok := uvarint(b)
	if !ok || flags > 7 || flags&flagStart != 0 && flags != flagStart {
		return s, nil, bad
	}
	if s.start = flags == flagStart; s.start {
		return s, b, nil
	}
	s.frame.size = -1
	s.frame.checksum = flags&flagChecksum != 0
	w, b, ok := uvarint(b)
	if !ok || w > limitWindow {
		return s, nil, bad
	}
	s.frame.window = int64(w)
	s.reps = initialReps
	if flags&flagReps == 0 {
		for i := range s.reps {
			var r uint64
			if r, b, ok = uvarint(b); !ok || r >= 1<<32 {
				return s, nil, bad
			}
			s.reps[i] = uint32(r)
		}
	}
	for i := range s.tabs {
		if s.tabs[i], b, ok = parseDesc(b); !ok {
			return s, nil, bad
		}
	}
	return s, b, nil
}

func parseDesc(b []byte) (d desc, rest []byte, ok bool) {
	if len(b) == 0 {
		return d, nil, false
	}
	d.kind, b = b[0], b[1:]
	switch d.kind {
	case descNone, descPredefined:
	case descRLE:
		if len(b) == 0 {
			return d, nil, false
		}
		d.sym, b = b[0], b[1:]
	case descBytes:
		n, r, ok := uvarint(b)
		if !ok || n > uint64(len(r)) {
			return d, nil, false
		}
		d.raw, b = r[:n], r[n:]
	default:
		return d, nil, false
	}
	return d, b, true
}

// load puts a state that is not the start of a frame into the decoder.
func (s *state) load(d *decoder) error {
	d.begin(s.frame)
	d.reps = s.reps
	for i, t := range s.tabs {
		if t.kind == descNone {
			continue
		}
		if i < numFSE {
			if err := d.define(i, t); err != nil {
				return fmt.Errorf("%w: %w", errCheckpoint, err)
			}
			continue
		}
		if t.kind != descBytes {
			return errCheckpoint
		}
		if _, err := d.plant(t.raw); err != nil {
			return fmt.Errorf("%w: %w", errCheckpoint, err)
		}
	}
	return nil
}
