package gzipx

import (
	"encoding/binary"
	"fmt"

	"github.com/shalefs/shalefs/index/codec"
)

// BlockAt makes a checkpoint of what another program's index says: that a deflate
// block's header begins at bit (0 to 7) of the byte in, that the output there is at out,
// and that window (32 KiB, or nothing at a member's start) came before it.
func BlockAt(out, in int64, bit uint8, window []byte) (codec.Checkpoint, error) {
	if bit > 7 || len(window) != 0 && len(window) != winBytes || out < 0 || in < 0 {
		return codec.Checkpoint{}, fmt.Errorf("%w: bit %d, window of %d bytes", errState, bit, len(window))
	}
	cp := codec.Checkpoint{Out: out, In: in, State: []byte{byte(atBlock) | bit<<4}}
	cp.State = binary.AppendUvarint(cp.State, uint64(min(out, int64(len(window)))))
	if len(window) > 0 {
		p := packers.Get().(*packer)
		cp.Window = p.pack(window)
		packers.Put(p)
	}
	return cp, nil
}
