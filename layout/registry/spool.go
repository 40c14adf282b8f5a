package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/shalefs/shalefs/layout"
)

// A spool is a whole blob on its way into a temporary file without a name, for a
// server that ignores ranges. It is fetched once; readers wait for the byte they
// want, and the fetch goes on without them until the blob is closed, since the
// server would make us start from the first byte again.
type spool struct {
	file *os.File      // set before n grows; nil if there was no place
	done chan struct{} // closed when the fetch has ended

	mu    sync.Mutex
	n     int64         // bytes in the file
	more  chan struct{} // closed and replaced when n grows or the fetch ends
	ended bool
	err   error // why the fetch ended too early
}

// A spoolError ended a spool after all its retries: waiting readers do not
// begin their own.
type spoolError struct{ err error }

func (e *spoolError) Error() string   { return e.err.Error() }
func (e *spoolError) Unwrap() []error { return []error{layout.ErrUnavailable, e.err} }

// newSpool starts the fetch. It belongs to the blob, whose Close waits for it.
func newSpool(b *blob) *spool {
	sp := &spool{done: make(chan struct{}), more: make(chan struct{})}
	b.store.opt.Logger.Warn("fetching a whole blob: the server ignores ranges", "blob", b.desc.Digest, "bytes", b.desc.Size)
	go sp.run(b)
	return sp
}

// makeFile opens a file that has no name any more: nothing is left behind.
func (sp *spool) makeFile(dir string) error {
	f, err := os.CreateTemp(dir, "shalefs-blob-*")
	if err != nil {
		return err
	}
	sp.file = f
	return os.Remove(f.Name())
}

func (sp *spool) run(b *blob) {
	defer close(sp.done)
	noPlace := func(err error) error {
		return &spoolError{fmt.Errorf("blob %s: a place for the whole blob: %w", b.desc.Digest, err)}
	}
	if err := sp.makeFile(b.store.opt.TempDir); err != nil {
		sp.grow(0, true, noPlace(err))
		return
	}
	st := b.newStream(b.ctx, 0, b.desc.Size)
	st.whole = true
	defer closeBody(st)
	buf := make([]byte, 256<<10)
	for {
		n, err := st.Read(buf)
		if n > 0 {
			if _, werr := sp.file.WriteAt(buf[:n], st.off-int64(n)); werr != nil {
				err = noPlace(werr)
			}
		}
		end := err != nil
		if errors.Is(err, io.EOF) {
			err = nil
		} else if err != nil {
			err = &spoolError{err}
		}
		sp.grow(int64(n), end, err)
		if end {
			return
		}
	}
}

func (sp *spool) grow(n int64, ended bool, err error) {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	if err == nil {
		sp.n += n
	} else if sp.n = 0; sp.file != nil {
		_ = sp.file.Truncate(0) // gives the disk back early; nothing reads it any more
	}
	sp.ended, sp.err = ended, err
	close(sp.more)
	sp.more = make(chan struct{})
}

// has tells whether byte off is in the file.
func (sp *spool) has(off int64) bool {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	return off < sp.n
}

// failed tells whether the fetch ended with an error: then another may be tried.
func (sp *spool) failed() bool {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	return sp.err != nil
}

// wait returns how many bytes there are once there are more than off.
func (sp *spool) wait(ctx context.Context, off int64) (int64, error) {
	for {
		sp.mu.Lock()
		n, more, ended, err := sp.n, sp.more, sp.ended, sp.err
		sp.mu.Unlock()
		switch {
		case off < n:
			return n, nil
		case err != nil:
			return 0, err
		case ended:
			return 0, io.ErrUnexpectedEOF
		}
		select {
		case <-more:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

// close waits for the end of the fetch, which the blob's context brings about.
func (sp *spool) close() error {
	<-sp.done
	if sp.file == nil {
		return nil
	}
	return sp.file.Close()
}

// reader reads from off on. Like the body of an answer it knows no end: the
// stream does.
func (sp *spool) reader(ctx context.Context, off int64) io.ReadCloser {
	return &spoolReader{ctx: ctx, sp: sp, off: off}
}

type spoolReader struct {
	ctx context.Context // of the stream that reads
	sp  *spool
	off int64
}

func (r *spoolReader) Read(p []byte) (int, error) {
	n, err := r.sp.wait(r.ctx, r.off)
	if err != nil {
		return 0, err
	}
	got, err := r.sp.file.ReadAt(p[:min(int64(len(p)), n-r.off)], r.off)
	r.off += int64(got)
	if got > 0 {
		err = nil
	}
	return got, err
}

func (r *spoolReader) Close() error { return nil }
