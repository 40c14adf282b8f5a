package foreign

import "github.com/shalefs/shalefs/index/tarx"

// Validate checks what an Index promises, for a layer whose blob has size bytes: places in order
// and in bounds, and pieces, if there are any, that cover all regular files. The readers' results
// pass it; it is for those who got an Index by another way, and for tests.
// Errors: ErrInvalid.
func (x *Index) Validate(size int64) error {
	pieces := x.Pieces
	for i := range x.Entries {
		e := &x.Entries[i]
		if e.Kind != tarx.Regular {
			continue
		}
		if e.Off < 0 || e.Stored < 0 || e.Stored > x.Size-e.Off {
			return Invalidf("%q at %d+%d of %d", e.Path, e.Off, e.Stored, x.Size)
		}
		if len(x.Pieces) == 0 {
			continue
		}
		for at, end := e.Off, e.Off+e.Stored; at < end; pieces = pieces[1:] {
			if len(pieces) == 0 || pieces[0].Off != at || pieces[0].Len <= 0 || pieces[0].Len > end-at {
				return Invalidf("%q is not covered at %d", e.Path, at-e.Off)
			}
			at += pieces[0].Len
		}
	}
	if len(pieces) > 0 {
		return Invalidf("piece at %d is of no file", pieces[0].Off)
	}
	for _, p := range x.Pieces {
		if p.In < 0 || p.InEnd <= p.In || p.InEnd > size || p.Skip < 0 {
			return Invalidf("piece at %d from %d to %d of %d", p.Off, p.In, p.InEnd, size)
		}
	}
	for i, s := range x.Seeks {
		if s.In < 0 || s.In > size || s.Out < 0 || s.Out > x.Size || s.Bit > 7 || i > 0 && s.Out <= x.Seeks[i-1].Out {
			return Invalidf("seek %d: %d of the layer, %d of the tar", i, s.In, s.Out)
		}
	}
	return nil
}
