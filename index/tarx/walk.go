package tarx

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// A ReaderAtCtx gives ranges of a tar; layout.Blob is one.
type ReaderAtCtx interface {
	// ReadAt fills p with the bytes [off, off+len(p)), or returns an error. Walk asks
	// only for bytes inside the size it was given.
	ReadAt(ctx context.Context, p []byte, off int64) (int, error)
}

// WalkOptions are the settings of a walk. The zero value has the defaults.
type WalkOptions struct {
	Options
	// MinRead and MaxRead bound one request, in bytes; 0 is 16 KiB and 4 MiB. The
	// first has the lesser length; each that follows without a jump is twice as long as
	// the one before it, and each after a jump half as long.
	MinRead, MaxRead int
	// Gap is the longest content that is read rather than jumped over, in bytes: as many as
	// could come in the time that a request takes; 0 is 256 KiB.
	Gap int64
	// MaxRequests and MaxBytes end the walk with ErrBudget before one of them is
	// passed; 0 is no limit. A tar of very many files of middling size costs a request for
	// each, and a pass over the whole is cheaper.
	MaxRequests int
	MaxBytes    int64
}

func (o WalkOptions) withDefaults() WalkOptions {
	if o.MinRead <= 0 {
		o.MinRead = 16 << 10
	}
	if o.MaxRead <= 0 {
		o.MaxRead = 4 << 20
	}
	o.MinRead = max(o.MinRead, BlockBytes)
	o.MaxRead = max(o.MaxRead, o.MinRead)
	if o.Gap <= 0 {
		o.Gap = 256 << 10
	}
	return o
}

// WalkStats is what a walk cost.
type WalkStats struct {
	Requests int
	Bytes    int64
	// End is the offset behind the archive's last block that was looked at.
	End int64
}

// Walk reads the headers of an uncompressed tar of size bytes and tells h of the entries,
// as a Parser would, but for Content, which it does not call: contents are jumped
// over where that is cheaper than reading them. It stops at the archive's end.
//
// Nothing of the contents is checked, and a walk cannot know whether the tar is what its
// digest says: see the trust policies of the layer index.
//
// Errors: *Error as Parser; ErrBudget; r's; h's; ctx.Err().
func Walk(ctx context.Context, r ReaderAtCtx, size int64, opt WalkOptions, h Handler) (WalkStats, error) {
	w := walker{r: r, size: size, opt: opt.withDefaults(), p: NewParser(opt.Options, noContent{h})}
	w.next = w.opt.MinRead
	err := w.run(ctx)
	w.stats.End = w.p.Offset()
	return w.stats, err
}

// noContent keeps the contents that were read on the way from a Handler.
type noContent struct{ Handler }

func (noContent) Content([]byte) error { return nil }

type walker struct {
	r     ReaderAtCtx
	size  int64
	opt   WalkOptions
	p     *Parser
	buf   []byte
	next  int // length of the next request
	stats WalkStats
}

func (w *walker) run(ctx context.Context) error {
	for !w.p.Ended() && w.p.Offset() < w.size {
		if err := ctx.Err(); err != nil {
			return err
		}
		jumped, err := w.jump()
		if err != nil {
			return err
		}
		if jumped {
			w.next = max(w.next/4, w.opt.MinRead) // next was doubled already
		}
		b, err := w.read(ctx)
		if err != nil {
			return err
		}
		if err := w.take(b); err != nil {
			return err
		}
	}
	if w.p.Ended() {
		return nil
	}
	return w.p.Close()
}

// jump passes the rest of a long content, and says whether it did.
func (w *walker) jump() (bool, error) {
	n := min(w.p.Skippable(), w.size-w.p.Offset())
	if n <= w.opt.Gap {
		return false, nil
	}
	return true, w.p.Skip(n)
}

// read makes one request at the parser's place.
func (w *walker) read(ctx context.Context) ([]byte, error) {
	off := w.p.Offset()
	n := int(min(int64(w.next), w.size-off))
	if n == 0 {
		return nil, nil
	}
	if w.opt.MaxRequests > 0 && w.stats.Requests >= w.opt.MaxRequests ||
		w.opt.MaxBytes > 0 && w.stats.Bytes+int64(n) > w.opt.MaxBytes {
		return nil, fmt.Errorf("%w: %d requests, %d bytes, %d of %d bytes seen",
			ErrBudget, w.stats.Requests, w.stats.Bytes, off, w.size)
	}
	if cap(w.buf) < n {
		w.buf = make([]byte, n)
	}
	b := w.buf[:n]
	w.stats.Requests++
	w.stats.Bytes += int64(n)
	w.next = min(w.next*2, w.opt.MaxRead)
	got, err := w.r.ReadAt(ctx, b, off)
	if got == n && (err == nil || errors.Is(err, io.EOF)) {
		return b, nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return nil, fmt.Errorf("tar offset %d: %w", off, err)
}

// take gives b to the parser, passing contents without a look.
func (w *walker) take(b []byte) error {
	for len(b) > 0 && !w.p.Ended() {
		if n := min(w.p.Skippable(), int64(len(b))); n > 0 {
			if err := w.p.Skip(n); err != nil {
				return err
			}
			b = b[n:]
			continue
		}
		n, err := w.p.Write(b[:min(BlockBytes, len(b))])
		if err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}
