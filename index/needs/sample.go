package needs

import (
	"io"

	"github.com/shalefs/shalefs/index/needs/dynlink"
)

// MaxSample is how many bytes of the beginning of a large file are kept while it goes by.
const MaxSample = 4 << 20

// telling is how many bytes say of what kind a file is.
const telling = 64

// A Sample takes a file too large to be held as it goes by, and keeps as much of it as says what it
// needs. The fields are exported for encoding/gob.
type Sample struct {
	Path       string
	Size, Pos  int64
	Head, Part []byte        // the first bytes, and those of More
	More       dynlink.Range // after the head, what else is kept
}

// Begin begins a file.
func (s *Sample) Begin(name string, size int64) {
	*s = Sample{Path: name, Size: size, Head: s.Head[:0], Part: s.Part[:0]}
}

// Write takes the next bytes of the file.
func (s *Sample) Write(p []byte) {
	at := s.Pos
	s.Pos += int64(len(p))
	if s.Size == 0 {
		return
	}
	if n := min(len(p), MaxSample-len(s.Head)); n > 0 {
		s.Head = append(s.Head, p[:n]...)
		if len(s.Head) >= telling && len(s.Head)-n < telling && !May(s.Path, s.Head) {
			s.Size = 0
			return
		}
		if len(s.Head) == MaxSample {
			if r, ok := dynlink.Dynamic(s.Head, s.Size); ok && r.End > MaxSample && r.End-r.Off <= MaxSample {
				s.More = dynlink.Range{Off: max(r.Off, MaxSample), End: r.End}
			}
		}
	}
	if from, to := max(at, s.More.Off), min(s.Pos, s.More.End); from < to {
		s.Part = append(s.Part, p[from-at:to-at]...)
	}
}

// End ends the file; nil if it needs nothing, or that cannot be told.
func (s *Sample) End() *Needs {
	if s.Size == 0 {
		return nil
	}
	n, err := Read(s.Path, s, s.Size)
	if err != nil {
		return nil
	}
	return n
}

// ReadAt reads what was kept.
func (s *Sample) ReadAt(p []byte, off int64) (int, error) {
	n := 0
	if off < int64(len(s.Head)) {
		n = copy(p, s.Head[off:])
	}
	if at := off + int64(n) - s.More.Off; at >= 0 && at < int64(len(s.Part)) {
		n += copy(p[n:], s.Part[at:])
	}
	if n < len(p) {
		return n, io.ErrUnexpectedEOF
	}
	return n, nil
}
