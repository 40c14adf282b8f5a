package index

import (
	"errors"

	"lukechampine.com/blake3/guts"
)

// A treeSum is a blake3 whose state can be saved, for files so large that their pass
// may be interrupted in the middle. (The other library, faster on short input, cannot
// do that.) It hashes units of 16 KiB and keeps the left edge of the tree above them.
type treeSum struct {
	buf   [unitBytes]byte
	n     int         // bytes in buf
	count uint64      // units in the tree
	edge  [][8]uint32 // one value for each bit that is set in count, highest first
}

const unitBytes = guts.MaxSIMD * guts.ChunkSize

func (s *treeSum) reset() { s.n, s.count, s.edge = 0, 0, s.edge[:0] }

func (s *treeSum) write(p []byte) {
	for len(p) > 0 {
		// The last unit waits: it is the root if nothing follows.
		if s.n == unitBytes {
			s.addUnit(guts.ChainingValue(guts.CompressBuffer(&s.buf, unitBytes, &guts.IV, s.count*guts.MaxSIMD, 0)))
			s.n = 0
		}
		k := copy(s.buf[s.n:], p)
		s.n += k
		p = p[k:]
	}
}

func (s *treeSum) addUnit(cv [8]uint32) {
	for c := s.count; c&1 == 1; c >>= 1 {
		last := len(s.edge) - 1
		cv = guts.ChainingValue(guts.ParentNode(s.edge[last], cv, &guts.IV, 0))
		s.edge = s.edge[:last]
	}
	s.edge = append(s.edge, cv)
	s.count++
}

func (s *treeSum) sum() (out [32]byte) {
	node := guts.CompressBuffer(&s.buf, s.n, &guts.IV, s.count*guts.MaxSIMD, 0)
	for i := len(s.edge) - 1; i >= 0; i-- {
		node = guts.ParentNode(s.edge[i], guts.ChainingValue(node), &guts.IV, 0)
	}
	node.Flags |= guts.FlagRoot
	words := guts.CompressNode(node)
	for i := range 8 {
		le.PutUint32(out[4*i:], words[i])
	}
	return out
}

// state is: count, edge, the bytes of the last unit.
func (s *treeSum) state() []byte {
	b := le.AppendUint64(nil, s.count)
	for _, cv := range s.edge {
		for _, w := range cv {
			b = le.AppendUint32(b, w)
		}
	}
	return append(b, s.buf[:s.n]...)
}

var errTreeState = errors.New("broken state of a digest")

func (s *treeSum) restore(b []byte) error {
	s.reset()
	if len(b) < 8 {
		return errTreeState
	}
	s.count, b = le.Uint64(b), b[8:]
	for c := s.count; c > 0; c &= c - 1 {
		if len(b) < 32 {
			return errTreeState
		}
		var cv [8]uint32
		for i := range cv {
			cv[i] = le.Uint32(b[4*i:])
		}
		s.edge, b = append(s.edge, cv), b[32:]
	}
	if len(b) > unitBytes {
		return errTreeState
	}
	s.n = copy(s.buf[:], b)
	return nil
}
