package zstdx

import (
	"encoding/binary"
	"fmt"

	"github.com/shalefs/shalefs/index/codec"
)

// snapshotVersion is the first byte of Snapshot.State.
const snapshotVersion = 1

// snapshot saves the start of the look-ahead, not its content: Resume decodes from
// there again, and passes data on only from Snapshot.Out. Everything that decides on checkpoints depends on
// the stream from that place on and on the budget. The layout is
//
//	version, state (state.go), 4 x uvarint budget, uvarint largest window, and unless the state is the start of a frame
//	uvarint bytes of the frame so far, uvarint content size + 1, hash, history to the end
func (s *scanner) snapshot() (codec.Snapshot, error) {
	g := s.look.groups[0]
	st := state{start: g.start, frame: g.frame, reps: g.reps, tabs: g.tabs}
	b := append([]byte{snapshotVersion}, st.encode()...)
	for _, v := range []int64{s.budget.spent, s.budget.comp, s.budget.price, s.budget.packing, s.look.window} {
		b = binary.AppendUvarint(b, uint64(v))
	}
	if !g.start {
		b = binary.AppendUvarint(b, uint64(g.since))
		b = binary.AppendUvarint(b, uint64(g.frame.size+1))
		hash, err := g.hash.MarshalBinary()
		if err != nil {
			return codec.Snapshot{}, err
		}
		b = binary.AppendUvarint(b, uint64(len(hash)))
		b = append(b, hash...)
		n := min(g.since, g.frame.window)
		x, y := s.dec.hist.at(g.out-n, int(n))
		b = append(append(b, x...), y...)
	}
	// Where the look-ahead begins travels with the state, since Out is the place of the data.
	head := binary.AppendUvarint(nil, uint64(s.dec.hist.pos-g.out))
	return codec.Snapshot{In: g.in, Out: s.dec.hist.pos, State: append(head, b...)}, nil
}

// restore is the inverse of snapshot.
func (s *scanner) restore(sn codec.Snapshot) error {
	ahead, b, ok := uvarint(sn.State)
	if !ok || len(b) == 0 || b[0] != snapshotVersion || sn.Out < 0 || sn.In < 0 || ahead > uint64(sn.Out) {
		return errSnapshot
	}
	st, b, err := parseState(b[1:])
	if err != nil {
		return fmt.Errorf("%w: %w", errSnapshot, err)
	}
	var window int64
	for _, v := range []*int64{&s.budget.spent, &s.budget.comp, &s.budget.price, &s.budget.packing, &window} {
		var u uint64
		if u, b, ok = uvarint(b); !ok || u > 1<<50 {
			return errSnapshot
		}
		*v = int64(u)
	}
	if window > s.opt.MaxWindow {
		return errSnapshot
	}
	s.look.room(window, s.opt.SpanBytes, s.opt.MaxSpanBytes, s.opt.Overhang)
	s.budget.price = min(max(s.budget.price, minPrice), maxPrice)
	s.budget.packing = min(s.budget.packing, 4096)
	out := sn.Out - int64(ahead)
	s.in.reset(s.in.r, sn.In)
	s.dataFrom, s.paused = sn.Out, sn.Out
	s.dec.hist.reset(out, 0)
	s.look.end, s.look.endIn = out, sn.In
	if st.start {
		if len(b) > 0 {
			return errSnapshot
		}
		return nil
	}
	return s.restoreFrame(st, b, out, sn.In)
}

// restoreFrame goes on in the middle of a frame.
func (s *scanner) restoreFrame(st state, b []byte, out, in int64) error {
	since, b, ok1 := uvarint(b)
	size, b, ok2 := uvarint(b)
	n, b, ok3 := uvarint(b)
	if !ok1 || !ok2 || !ok3 || since > uint64(out) || size > 1<<62 || n > uint64(len(b)) ||
		st.frame.window > s.opt.MaxWindow {
		return errSnapshot
	}
	if err := s.hash.UnmarshalBinary(b[:n]); err != nil {
		return fmt.Errorf("%w: %w", errSnapshot, err)
	}
	b = b[n:]
	st.frame.size = int64(size) - 1
	if int64(len(b)) != min(int64(since), st.frame.window) {
		return errSnapshot
	}
	if err := st.load(s.dec); err != nil {
		return err
	}
	s.tabs = st.tabs
	s.dec.since = int64(since)
	s.reserve(st.frame)
	s.dec.hist.reset(out-int64(len(b)), s.dec.hist.most)
	s.dec.hist.add(b)
	s.inFrame = true
	s.look.addGroup(&group{
		in: in, out: out, since: int64(since), frame: st.frame, reps: st.reps, tabs: st.tabs, hash: s.hash,
	})
	return nil
}
