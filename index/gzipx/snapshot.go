package gzipx

import (
	"encoding/binary"
	"errors"

	"github.com/shalefs/shalefs/index/codec"
)

// A snapshot's state, in bytes, little endian:
//
//	0   version, 1
//	1   uint64: Out of the last checkpoint that was reported
//	9   uint32: CRC-32 of the member's data so far
//	13  uint32: its length
//	17  uint16: length n of the decoder's state
//	19  the decoder's state, as in a checkpoint
//	    the last bytes of the output, as many as the state says
//
// Snapshots are taken only while no window is open.
const snapVersion = 1

// maxOffset is beyond any stream, and keeps its offset in bits from overflow.
const maxOffset = 1 << 58

var errSnapshot = errors.New("invalid snapshot")

// pause offers the sink a snapshot, if it is time and this is a place for it.
func (s *scanner) pause() error {
	if s.open != nil || s.free != nil || !s.begun || s.kind == atTrailer {
		return nil
	}
	if !s.due && s.outPos()-s.paused < pauseBytes {
		return nil
	}
	s.paused, s.due = s.outPos(), false
	return s.sink.Pause(func() (codec.Snapshot, error) { return s.snapshot(), nil })
}

func (s *scanner) snapshot() codec.Snapshot {
	state := s.appendState(nil)
	b := []byte{snapVersion}
	b = binary.LittleEndian.AppendUint64(b, uint64(s.lastCP))
	b = binary.LittleEndian.AppendUint32(b, s.crc)
	b = binary.LittleEndian.AppendUint32(b, s.size)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(state)))
	b = append(b, state...)
	if s.kind != atMember {
		b = append(b, s.out[s.op-min(s.op-s.hist, winBytes):s.op]...)
	}
	return codec.Snapshot{In: s.bitPos() >> 3, Out: s.outPos(), State: b}
}

// load sets a new scanner to a snapshot.
func (s *scanner) load(snap codec.Snapshot) error {
	b := snap.State
	if snap.In < 0 || snap.In > maxOffset || snap.Out < 0 || snap.Out > maxOffset || len(b) < 19 || b[0] != snapVersion {
		return s.broken(errSnapshot)
	}
	last := binary.LittleEndian.Uint64(b[1:])
	s.crc = binary.LittleEndian.Uint32(b[9:])
	s.size = binary.LittleEndian.Uint32(b[13:])
	n := int(binary.LittleEndian.Uint16(b[17:]))
	b = b[19:]
	if last > uint64(snap.Out) || n > len(b) {
		return s.broken(errSnapshot)
	}
	if err := s.loadState(b[:n]); err != nil {
		if errors.Is(err, errState) {
			err = s.broken(errSnapshot)
		}
		return err
	}
	b = b[n:]
	if len(b) != s.op-s.hist {
		return s.broken(errSnapshot)
	}
	copy(s.out[s.hist:s.op], b)
	s.lastCP = int64(last)
	s.paused = snap.Out
	s.begun = true
	return nil
}
