package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/shalefs/shalefs/layout"
)

// noRangeLife is how long it is remembered that a host ignores ranges for a
// blob: a cache in front of a registry may learn them once it is warm (REG-11).
const noRangeLife = 5 * time.Minute

// lieLife is how long a mirror that gave impossible answers is left out for a blob.
const lieLife = 10 * time.Minute

// errClosed: a blob was used after its Close.
var errClosed = errors.New("blob is closed")

// A blob reads one blob by ranges.
type blob struct {
	store   *Store
	desc    ocispec.Descriptor
	targets targets

	ctx    context.Context // ends with Close; only the spool's work hangs on it
	cancel context.CancelFunc

	mu      sync.Mutex
	closed  bool
	noRange map[*endpoint]time.Time // until when ranges are not asked for
	lied    map[*endpoint]time.Time // until when it is left out
	foreign []*endpoint             // of desc.URLs, once the registry has not got it
	spool   *spool                  // the current one
	spools  []*spool                // all there were, for Close to wait for
}

var _ layout.Blob = (*blob)(nil)

// Blob opens a blob. It does nothing on the network.
func (s *Store) Blob(_ context.Context, desc ocispec.Descriptor) (layout.Blob, error) {
	if err := layout.CheckDescriptor(desc); err != nil {
		return nil, err
	}
	b := &blob{store: s, desc: desc, noRange: map[*endpoint]time.Time{}, lied: map[*endpoint]time.Time{}}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	return b, nil
}

func (b *blob) Size() int64           { return b.desc.Size }
func (b *blob) Digest() digest.Digest { return b.desc.Digest }

// Close ends a fetch of the whole blob, if one runs, and frees its file.
func (b *blob) Close() error {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return nil
	}
	b.closed = true
	spools := b.spools
	b.mu.Unlock()
	b.cancel()
	var errs []error
	for _, sp := range spools {
		errs = append(errs, sp.close())
	}
	return errors.Join(errs...)
}

// ReadAt reads one range, in one request if nothing goes wrong.
func (b *blob) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("blob %s: offset %d: %w", b.desc.Digest, off, layout.ErrInvalid)
	}
	n := min(int64(len(p)), b.desc.Size-off)
	if n <= 0 {
		if len(p) == 0 {
			return 0, ctx.Err()
		}
		return 0, io.EOF
	}
	rc, err := b.Range(ctx, off, n)
	if err != nil {
		return 0, err
	}
	defer closeBody(rc)
	got, err := io.ReadFull(rc, p[:n])
	if err == nil && n < int64(len(p)) {
		err = io.EOF
	}
	return got, err
}

// Range opens a range; the first request is made here, so that a blob that is
// not there is an error of Range.
func (b *blob) Range(ctx context.Context, off, n int64) (io.ReadCloser, error) {
	if off < 0 || n < 0 || off > b.desc.Size-n {
		return nil, fmt.Errorf("blob %s: range of %d bytes at %d in %d: %w", b.desc.Digest, n, off, b.desc.Size, layout.ErrInvalid)
	}
	b.mu.Lock()
	closed := b.closed
	b.mu.Unlock()
	if closed {
		return nil, fmt.Errorf("blob %s: %w", b.desc.Digest, errClosed)
	}
	st := b.newStream(ctx, off, off+n)
	if n == 0 {
		return st, ctx.Err()
	}
	if err := st.open(); err != nil {
		return nil, err
	}
	return st, nil
}

// sources lists who to ask: the store's endpoints without mirrors that lied,
// and the descriptor's own URLs once the registry has said that it is not there.
func (b *blob) sources() []*endpoint {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.foreign) > 0 {
		return b.foreign
	}
	now := time.Now()
	all := b.store.endpoints
	out := make([]*endpoint, 0, len(all))
	for i, e := range all {
		if i == len(all)-1 || now.After(b.lied[e]) {
			out = append(out, e)
		}
	}
	return out
}

func (b *blob) markLied(e *endpoint) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lied[e] = time.Now().Add(lieLife)
}

func (b *blob) markNoRange(e *endpoint) (first bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	first = now.After(b.noRange[e])
	b.noRange[e] = now.Add(noRangeLife)
	return first
}

func (b *blob) ignoresRanges(e *endpoint) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return time.Now().Before(b.noRange[e])
}

// getSpool returns the blob's spool, made on first use, or nil if create is false
// and there is none.
func (b *blob) getSpool(create bool) (*spool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.closed:
		return nil, fmt.Errorf("blob %s: %w", b.desc.Digest, errClosed)
	case b.spool == nil && !create:
		return nil, nil
	case b.spool == nil || create && b.spool.failed():
		b.spool = newSpool(b)
		b.spools = append(b.spools, b.spool)
	}
	return b.spool, nil
}
