package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/shalefs/shalefs/layout"
)

// A stream reads one range of a blob and survives what happens on the way: it
// always knows the first byte it does not have, and asks for the rest from there.
// It is for one goroutine.
type stream struct {
	ctx context.Context // of the whole range, as io.Reader has no other place for it
	b   *blob
	bud *budget

	start, off, end int64 // the range began at start; [off, end) is still to come

	body    io.ReadCloser // nil: to be opened
	from    *endpoint     // who sends body
	bodyEnd int64         // where body ends in the blob, at most end
	retry   bool
	err     error // sticky

	whole bool // this is the spool's own stream: skip any prefix, never use the spool
}

func (b *blob) newStream(ctx context.Context, off, end int64) *stream {
	return &stream{ctx: ctx, b: b, bud: b.store.newBudget(0), start: off, off: off, end: end}
}

func (st *stream) what() string { return "blob " + string(st.b.desc.Digest) }

func (st *stream) Read(p []byte) (int, error) {
	if st.err != nil {
		return 0, st.err
	}
	if len(p) == 0 {
		return 0, nil
	}
	for st.off < st.end {
		if st.body == nil {
			if err := st.open(); err != nil {
				return 0, err
			}
		}
		n, err := st.body.Read(p[:min(int64(len(p)), st.bodyEnd-st.off)])
		st.off += int64(n)
		if err != nil || st.off >= st.bodyEnd {
			st.closeBody()
		}
		if n > 0 {
			st.bud.progress()
			return n, nil
		}
		if err == nil {
			continue
		}
		if err := st.lost(err); err != nil {
			return 0, st.fail(err)
		}
	}
	return 0, io.EOF
}

// lost decides about a body that ended too early without giving a byte.
func (st *stream) lost(err error) error {
	if cerr := st.ctx.Err(); cerr != nil {
		return cerr
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = &netError{host: st.from.name, what: st.what(), err: fmt.Errorf("the body ends at byte %d: %w", st.off, io.ErrUnexpectedEOF)}
	}
	if classify(err) == final {
		return err
	}
	st.from.markDown(downTime)
	return st.bud.pause(st.ctx, err)
}

// fail makes an error the end of the stream.
func (st *stream) fail(err error) error {
	if cerr := st.ctx.Err(); cerr != nil {
		err = cerr
	}
	st.err = err
	return err
}

// Close ends the stream; the rest is not read.
func (st *stream) Close() error {
	st.closeBody()
	if st.err == nil {
		st.err = errors.New("read of a closed stream")
	}
	return nil
}

func (st *stream) closeBody() {
	if st.body != nil {
		closeBody(st.body)
		st.body = nil
	}
}

// open gets a body that starts at st.off, from whoever has one.
func (st *stream) open() error {
	err := st.b.store.each(st.ctx, st.bud, st.b.sources(), st.openAt)
	if errors.Is(err, layout.ErrNotFound) && st.b.useForeign() {
		err = st.b.store.each(st.ctx, st.bud, st.b.sources(), st.openAt)
	}
	if err != nil {
		return st.fail(err)
	}
	return nil
}

// openAt opens the rest of the range at one endpoint.
func (st *stream) openAt(e *endpoint) error {
	body, end, err := st.connect(e)
	st.retry = true
	if err != nil {
		var li *lieError
		if errors.As(err, &li) {
			st.b.markLied(e)
		}
		return err
	}
	st.body, st.bodyEnd, st.from = body, min(end, st.end), e
	return nil
}

// maySkip tells whether a whole blob may be read up to the wanted byte. A
// stream that began near the start may skip what it has read already, too.
func (st *stream) maySkip() bool {
	return st.whole || st.start <= st.b.store.opt.MaxSkip
}

// connect returns a body from st.off on, and where it ends.
func (st *stream) connect(e *endpoint) (io.ReadCloser, int64, error) {
	if !st.whole {
		sp, err := st.b.getSpool(!st.maySkip() && st.b.ignoresRanges(e))
		if err != nil {
			return nil, 0, err
		}
		if sp != nil && (sp.has(st.off) || !st.maySkip()) {
			return sp.reader(st.ctx, st.off), st.end, nil
		}
	}
	now := time.Now()
	if u := st.b.targets.get(e, now); u != nil {
		r, err := st.request(e, u)
		if err == nil && !isStale(r.StatusCode) {
			return st.accept(e, r)
		}
		if err == nil {
			closeBody(r.Body)
		} else if cerr := st.ctx.Err(); cerr != nil {
			return nil, 0, cerr
		}
		st.b.targets.drop(e, u)
		st.retry = true
	}
	r, err := st.request(e, e.url(st.b.store.repository, "blobs/"+string(st.b.desc.Digest), ""))
	if err != nil {
		return nil, 0, err
	}
	if !isStale(r.StatusCode) {
		st.b.targets.put(e, r, now)
	}
	return st.accept(e, r)
}

// request asks u for the rest of the range (REG-9, REG-13).
func (st *stream) request(e *endpoint, u *url.URL) (*response, error) {
	return st.b.store.send(st.ctx, e, call{
		method: http.MethodGet, kind: KindBlob, what: st.what(), url: u,
		header: http.Header{
			"Range":           {fmt.Sprintf("bytes=%d-%d", st.off, st.end-1)},
			"Accept-Encoding": {"identity"},
		},
		scope: st.b.store.pullScope(), retry: st.retry, fallback: st.whole,
	})
}

// accept checks what an answer says it is, and makes a body from st.off of it.
func (st *stream) accept(e *endpoint, r *response) (io.ReadCloser, int64, error) {
	var end int64
	var err error
	switch r.StatusCode {
	case http.StatusPartialContent:
		end, err = st.acceptPart(r)
	case http.StatusOK:
		return st.acceptWhole(e, r)
	case http.StatusRequestedRangeNotSatisfiable:
		err = st.refuseRange(r)
	default:
		return nil, 0, newStatusError(r, st.what())
	}
	if err != nil {
		closeBody(r.Body)
		return nil, 0, err
	}
	return r.Body, end, nil
}

func (st *stream) lie(r *response, sentinel error, format string, args ...any) error {
	return &lieError{host: r.url.Host, what: st.what(), how: fmt.Sprintf(format, args...), sentinel: sentinel}
}

// acceptPart checks a 206. An end before the asked one is fine: the rest is
// asked for afterwards.
func (st *stream) acceptPart(r *response) (end int64, err error) {
	header := r.Header.Get("Content-Range")
	cr, ok := parseContentRange(header)
	switch {
	case isEncoded(r.Header):
		return 0, st.lie(r, layout.ErrUnavailable, "the part is compressed on the way")
	case !ok || cr.first < 0:
		return 0, st.lie(r, layout.ErrUnavailable, "a 206 with Content-Range %q", clean(header, 80))
	case cr.total >= 0 && cr.total != st.b.desc.Size:
		return 0, st.lie(r, layout.ErrChanged, "the server has %d bytes, the descriptor says %d", cr.total, st.b.desc.Size)
	case cr.first != st.off || cr.last >= st.end:
		return 0, st.lie(r, layout.ErrUnavailable, "asked for bytes %d-%d, got %d-%d", st.off, st.end-1, cr.first, cr.last)
	case r.ContentLength >= 0 && r.ContentLength != cr.last-cr.first+1:
		return 0, st.lie(r, layout.ErrUnavailable, "%d bytes in the body of the part %d-%d", r.ContentLength, cr.first, cr.last)
	}
	return cr.last + 1, nil
}

// acceptWhole handles a server that ignores the range and sends all (REG-11).
func (st *stream) acceptWhole(e *endpoint, r *response) (io.ReadCloser, int64, error) {
	size := st.b.desc.Size
	var err error
	switch {
	case isEncoded(r.Header):
		err = st.lie(r, layout.ErrUnavailable, "the blob is compressed on the way")
	case r.ContentLength >= 0 && r.ContentLength != size:
		err = st.lie(r, layout.ErrChanged, "the server has %d bytes, the descriptor says %d", r.ContentLength, size)
	}
	if err != nil {
		closeBody(r.Body)
		return nil, 0, err
	}
	if (st.start > 0 || st.end < size) && st.b.markNoRange(e) {
		st.b.store.opt.Logger.Warn("the server ignores ranges", "host", r.url.Host, "blob", st.b.desc.Digest)
	}
	if !st.maySkip() {
		closeBody(r.Body)
		sp, err := st.b.getSpool(true)
		if err != nil {
			return nil, 0, err
		}
		return sp.reader(st.ctx, st.off), st.end, nil
	}
	if _, err := io.CopyN(io.Discard, r.Body, st.off); err != nil {
		closeBody(r.Body)
		if errors.Is(err, io.EOF) {
			err = &netError{host: r.url.Host, what: st.what(), err: io.ErrUnexpectedEOF}
		}
		return nil, 0, err
	}
	return r.Body, size, nil
}

// refuseRange explains a 416 for a range that the descriptor allows (REG-12).
func (st *stream) refuseRange(r *response) error {
	cr, ok := parseContentRange(r.Header.Get("Content-Range"))
	if ok && cr.total != st.b.desc.Size {
		return st.lie(r, layout.ErrChanged, "the server has %d bytes, the descriptor says %d", cr.total, st.b.desc.Size)
	}
	return st.lie(r, layout.ErrUnavailable, "the server refuses the range %d-%d (416)", st.off, st.end-1)
}
