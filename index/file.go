package index

import (
	"context"
	"io"
	"sort"

	"github.com/shalefs/shalefs/index/tarx"
	"github.com/shalefs/shalefs/layout"
)

// A TarReader reads verified bytes of a layer's tar stream: *lazy.Loader.
type TarReader interface {
	// ReadAt fills p with the bytes [off, off+len(p)) of the tar stream; fewer
	// only beside an error.
	ReadAt(ctx context.Context, p []byte, off int64) (int, error)
}

// A FileReader reads the content of one regular file. It is immutable and safe for
// concurrent use.
type FileReader struct {
	r      TarReader
	off    int64 // of the stored bytes in the tar
	size   int64
	sparse []tarx.Run
	starts []int64 // for each run, where its bytes start behind off
}

// File returns a reader of the content of e, a regular file of the layer that r
// reads. The entry's sparse map is kept, not copied.
func File(r TarReader, e *tarx.Entry) *FileReader {
	f := &FileReader{r: r, off: e.Off, size: e.Size, sparse: e.Sparse}
	if e.Sparse != nil {
		f.starts = make([]int64, len(e.Sparse))
		var sum int64
		for i, run := range e.Sparse {
			f.starts[i] = sum
			sum += run.Len
		}
	}
	return f
}

// Size is the logical size of the file in bytes.
func (f *FileReader) Size() int64 { return f.size }

// ReadAt fills p with bytes of the file from off on; holes read as zeros. It returns
// io.EOF with the bytes there are when the range ends past Size.
// Errors: those of the TarReader; layout.ErrInvalid for a negative offset.
func (f *FileReader) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, layout.ErrInvalid
	}
	if off >= f.size {
		return 0, io.EOF
	}
	var eof error
	if int64(len(p)) > f.size-off {
		p, eof = p[:f.size-off], io.EOF
	}
	n, err := f.read(ctx, p, off)
	if err != nil {
		return n, err
	}
	return n, eof
}

// read fills p, which lies inside the file.
func (f *FileReader) read(ctx context.Context, p []byte, off int64) (int, error) {
	if f.sparse == nil {
		return f.r.ReadAt(ctx, p, f.off+off)
	}
	done := 0
	for i := f.run(off); done < len(p); i++ {
		hole := int64(len(p) - done)
		if i < len(f.sparse) {
			hole = min(hole, max(0, f.sparse[i].Off-off))
		}
		clear(p[done : done+int(hole)])
		done, off = done+int(hole), off+hole
		if done == len(p) || i == len(f.sparse) {
			break
		}
		skip := off - f.sparse[i].Off
		n := int(min(int64(len(p)-done), f.sparse[i].Len-skip))
		if n <= 0 {
			continue
		}
		m, err := f.r.ReadAt(ctx, p[done:done+n], f.off+f.starts[i]+skip)
		if err != nil {
			return done + m, err
		}
		done, off = done+n, off+int64(n)
	}
	return done, nil
}

// run finds the first run that ends after off.
func (f *FileReader) run(off int64) int {
	return sort.Search(len(f.sparse), func(i int) bool { return f.sparse[i].Off+f.sparse[i].Len > off })
}

// NextData returns the least offset >= off that holds data, as SEEK_DATA does; ok is
// false when only a hole follows, or nothing.
func (f *FileReader) NextData(off int64) (at int64, ok bool) {
	if off < 0 || off >= f.size {
		return 0, false
	}
	if f.sparse == nil {
		return off, true
	}
	for i := f.run(off); i < len(f.sparse); i++ {
		if f.sparse[i].Len > 0 {
			return max(off, f.sparse[i].Off), true
		}
	}
	return 0, false
}

// NextHole returns the least offset >= off where a hole starts, as SEEK_HOLE does; the
// end of the file counts as one. ok is false past the end.
func (f *FileReader) NextHole(off int64) (at int64, ok bool) {
	if off < 0 || off >= f.size {
		return 0, false
	}
	if f.sparse == nil {
		return f.size, true
	}
	for i := f.run(off); i < len(f.sparse) && f.sparse[i].Off <= off; i++ {
		off = max(off, f.sparse[i].Off+f.sparse[i].Len)
	}
	return off, true
}
