package index

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding"
	"errors"
	"fmt"
	"hash"
	"io"
	"sync"
	"sync/atomic"

	digest "github.com/opencontainers/go-digest"
	"github.com/zeebo/blake3"

	"github.com/shalefs/shalefs/layout"
)

const (
	pieceBytes  = 256 << 10 // of a buffer
	queuePieces = 8         // in a queue; a pool has twice as many
)

// A piece is a buffer that is shared by several goroutines, or, with a nil b, a
// barrier, at which a goroutine stops and tells that it has come so far.
type piece struct {
	b       []byte
	n       int
	in      int64 // compressed bytes that the bytes up to the end needed
	users   atomic.Int32
	pool    *pool
	barrier func() // called where the queue ends at this point
}

// done gives the piece back when the last user is done with it.
func (p *piece) done() {
	if p.users.Add(-1) == 0 {
		p.pool.free <- p
	}
}

// A pool bounds the pieces that are on their way.
type pool struct {
	free chan *piece
	left atomic.Int32 // pieces not made yet
}

func newPool(n int) *pool {
	p := &pool{free: make(chan *piece, n)}
	p.left.Store(int32(n))
	return p
}

func (p *pool) get(ctx context.Context, users int32) (*piece, error) {
	var x *piece
	select {
	case x = <-p.free:
	default:
		if p.left.Add(-1) >= 0 {
			x = &piece{b: make([]byte, pieceBytes), pool: p}
			break
		}
		select {
		case x = <-p.free:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	x.users.Store(users)
	return x, nil
}

func send(ctx context.Context, q chan<- *piece, p *piece) error {
	select {
	case q <- p:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// receive returns nil at the end of the queue.
func receive(ctx context.Context, q <-chan *piece) (*piece, error) {
	select {
	case p := <-q:
		return p, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// An input fetches the blob as one stream and hands it to the digest and the decoder.
type input struct {
	blob     layout.Blob
	sum      *summer
	progress func(done, total int64)
	pool     *pool
	queue    chan *piece
	off      int64  // where the fetch starts
	skip     int64  // bytes for the digest only, not for the decoder
	read     int64  // bytes of the blob that were fetched, off included
	cur      *piece // what the decoder reads
	rest     []byte
	ended    bool
}

func newInput(blob layout.Blob, sum *summer, progress func(done, total int64)) *input {
	return &input{blob: blob, sum: sum, progress: progress, pool: newPool(2 * queuePieces), queue: make(chan *piece, queuePieces)}
}

func (in *input) fetch(ctx context.Context) error {
	size := in.blob.Size()
	in.read = in.off
	if size > in.off {
		r, err := in.blob.Range(ctx, in.off, size-in.off)
		if err != nil {
			return err
		}
		err = in.pump(ctx, r, size)
		if cerr := r.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			return err
		}
	}
	close(in.queue)
	close(in.sum.queue)
	return nil
}

func (in *input) pump(ctx context.Context, r io.Reader, size int64) error {
	for in.read < size {
		p, err := in.pool.get(ctx, 2)
		if err != nil {
			return err
		}
		p.n = int(min(int64(len(p.b)), size-in.read))
		if n, err := io.ReadFull(r, p.b[:p.n]); err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				err = fmt.Errorf("%w: %d bytes of %d", layout.ErrChanged, in.read+int64(n), size)
			}
			return err
		}
		in.read += int64(p.n)
		if err := send(ctx, in.sum.queue, p); err != nil {
			return err
		}
		if err := send(ctx, in.queue, p); err != nil {
			return err
		}
		if in.progress != nil {
			in.progress(in.read, size)
		}
	}
	return nil
}

// next makes rest the next bytes for the decoder, or sets ended.
func (in *input) next(ctx context.Context) error {
	for len(in.rest) == 0 && !in.ended {
		if in.cur != nil {
			in.cur.done()
			in.cur = nil
		}
		p, err := receive(ctx, in.queue)
		if err != nil {
			return err
		}
		if p == nil {
			in.ended = true
			return nil
		}
		in.cur, in.rest = p, p.b[:p.n]
		n := min(in.skip, int64(len(in.rest)))
		in.rest, in.skip = in.rest[n:], in.skip-n
	}
	return nil
}

// peek returns the first bytes for the decoder: a whole piece, or all there are.
func (in *input) peek(ctx context.Context) ([]byte, error) {
	err := in.next(ctx)
	return in.rest, err
}

// An inputReader is the decoder's end of an input.
type inputReader struct {
	in  *input
	ctx context.Context // of the scan; an io.Reader has no other way to get it
}

func (r *inputReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if err := r.in.next(r.ctx); err != nil {
		return 0, err
	}
	if r.in.ended {
		return 0, io.EOF
	}
	n := copy(p, r.in.rest)
	r.in.rest = r.in.rest[n:]
	return n, nil
}

// A summer computes a digest on a goroutine of its own.
type summer struct {
	algorithm digest.Algorithm
	h         hash.Hash
	queue     chan *piece
	ended     chan struct{}

	// history says whether to remember states, so that the digest can go on from a
	// place that the decoder has not passed.
	history bool
	mu      sync.Mutex
	at      int64
	states  []sumState // the last ones, ascending
}

type sumState struct {
	at    int64
	state []byte
}

// maxStates bounds the history; with pieces of 256 KiB it reaches back 16 MiB.
const maxStates = 64

func newSummer(a digest.Algorithm) (*summer, error) {
	s := &summer{algorithm: a, queue: make(chan *piece, queuePieces), ended: make(chan struct{})}
	switch a {
	case digest.SHA256:
		s.h = sha256.New()
	case digest.SHA384:
		s.h = sha512.New384()
	case digest.SHA512:
		s.h = sha512.New()
	case "blake3":
		s.h = blake3.New()
	default:
		return nil, fmt.Errorf("%w: digest algorithm %.40q", layout.ErrUnsupported, a)
	}
	return s, nil
}

func (s *summer) run(ctx context.Context) error {
	if s.history {
		s.remember(0)
	}
	for {
		p, err := receive(ctx, s.queue)
		if err != nil {
			return err
		}
		if p == nil {
			close(s.ended)
			return nil
		}
		if p.barrier != nil {
			p.barrier()
			continue
		}
		_, _ = s.h.Write(p.b[:p.n])
		n := p.n
		p.done()
		if s.history {
			s.remember(int64(n))
		}
	}
}

func (s *summer) remember(n int64) {
	state, err := s.state()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at += n
	if err != nil {
		s.history = false
		return
	}
	if len(s.states) == maxStates {
		s.states = append(s.states[:0], s.states[1:]...)
	}
	s.states = append(s.states, sumState{s.at, state})
}

// before returns the last remembered state that lies not after the offset.
func (s *summer) before(off int64) (sumState, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := len(s.states) - 1; i >= 0; i-- {
		if s.states[i].at <= off {
			return s.states[i], true
		}
	}
	return sumState{}, false
}

var errNoState = errors.New("this digest's state cannot be saved")

func (s *summer) state() ([]byte, error) {
	m, ok := s.h.(encoding.BinaryMarshaler)
	if !ok {
		return nil, errNoState
	}
	return m.MarshalBinary()
}

func (s *summer) restore(state []byte, at int64) error {
	u, ok := s.h.(encoding.BinaryUnmarshaler)
	if !ok {
		return errNoState
	}
	s.at = at
	return u.UnmarshalBinary(state)
}

// wait waits for the end of the queue.
func (s *summer) wait(ctx context.Context) error {
	select {
	case <-s.ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *summer) digest() digest.Digest { return digest.NewDigest(s.algorithm, s.h) }
