package index

import (
	"bytes"
	"context"
	"encoding/gob"
	"errors"
	"fmt"

	"github.com/shalefs/shalefs/index/codec"
	"github.com/shalefs/shalefs/index/needs"
)

// A Saver keeps the state of one layer's build, so that a build that was interrupted
// goes on where it was. The state is local and trusted as far as its checksum: what
// comes of it is checked against blob digest and diffID like any other build.
type Saver interface {
	// Load returns what Save stored last; nil and no error if there is nothing.
	Load() ([]byte, error)
	// Save stores the state in place of the one before. It is called from one
	// goroutine and may take its time.
	Save(state []byte) error
	// Clear removes what was stored.
	Clear() error
}

// A state is a build that was interrupted.
type state struct {
	Blob, Diff      string
	File            bool
	Span, MaxSpan   int64
	Format          string
	BlobAt          int64 // where the fetch goes on; not after Snapshot.In
	BlobSum, TarSum []byte
	Snapshot        codec.Snapshot
	Parser          []byte
	Tables          tables
	Pos, In         int64
	Chunk           []byte
	Open, Large     bool
	End             int64
	LargeFiles      []largeFile
	Entry           int
	Size            int64
	Small, Tree     []byte
	Path            string
	Sample          needs.Sample
}

const stateMagic = "shalebuild2\n"

func (s *state) encode() ([]byte, error) {
	var b bytes.Buffer
	b.WriteString(stateMagic)
	if err := gob.NewEncoder(&b).Encode(s); err != nil {
		return nil, err
	}
	return le.AppendUint32(b.Bytes(), crc(b.Bytes())), nil
}

func decodeState(b []byte) (*state, error) {
	n := len(b) - 4
	if n < len(stateMagic) || string(b[:len(stateMagic)]) != stateMagic || crc(b[:n]) != le.Uint32(b[n:]) {
		return nil, errors.New("saved state of an index is broken")
	}
	st := &state{}
	if err := gob.NewDecoder(bytes.NewReader(b[len(stateMagic):n])).Decode(st); err != nil {
		return nil, err
	}
	return st, nil
}

// load returns the saved state of this build, or nil.
func (p *pass) load() *state {
	if p.opt.Saver == nil {
		return nil
	}
	b, err := p.opt.Saver.Load()
	if err != nil || b == nil {
		if err != nil {
			p.opt.Logger.Warn("saved state of an index cannot be read", "layer", p.blob.Digest(), "err", err)
		}
		return nil
	}
	st, err := decodeState(b)
	if err != nil {
		p.opt.Logger.Warn("saved state of an index is not used", "layer", p.blob.Digest(), "err", err)
		return nil
	}
	if st.Blob != p.blob.Digest().String() || st.Diff != p.want.DiffID.String() || st.File != p.want.File ||
		st.Span != p.opt.SpanBytes || st.MaxSpan != p.opt.MaxSpanBytes || st.BlobAt > st.Snapshot.In || st.Snapshot.In > p.blob.Size() {
		return nil
	}
	p.saved = st.Pos
	return st
}

// save stores the state at a place where the scan pauses. It waits until the
// goroutines behind the scan have come there too.
func (p *pass) save(ctx context.Context, snapshot func() (codec.Snapshot, error)) error {
	snap, err := snapshot()
	if err != nil {
		return err
	}
	blobSum, ok := p.blobSum.before(snap.In)
	if !ok {
		return nil // the digest is not far enough, or cannot be saved: next time
	}
	st := &state{Blob: p.blob.Digest().String(), Diff: p.want.DiffID.String(), File: p.want.File,
		Span: p.opt.SpanBytes, MaxSpan: p.opt.MaxSpanBytes, Format: p.format,
		BlobAt: blobSum.at, BlobSum: blobSum.state, Snapshot: snap}
	var tarErr, contentErr error
	var b []byte
	if p.tarSum != nil {
		err := barrier(ctx, p.tarSum.queue, func() { st.TarSum, tarErr = p.tarSum.state() })
		if err != nil {
			return err
		}
	}
	err = barrier(ctx, p.content.queue, func() {
		if contentErr = p.content.save(st); contentErr == nil && tarErr == nil {
			b, contentErr = st.encode()
		}
	})
	switch {
	case err != nil:
		return err
	case p.content.failed.Load() != nil || tarErr != nil:
		return nil //nolint:nilerr // the pass ends by itself, with that error
	case contentErr != nil:
		return fmt.Errorf("save the state of an index: %w", contentErr)
	}
	p.saved, p.nextGap = snap.Out, 16*int64(len(b))
	if err := p.opt.Saver.Save(b); err != nil {
		p.opt.Logger.Warn("state of an index is not saved", "layer", p.blob.Digest(), "err", err)
	}
	return nil
}

// barrier runs f on the goroutine at the end of the queue, when it has taken all that is
// in it, and waits for it.
func barrier(ctx context.Context, queue chan<- *piece, f func()) error {
	done := make(chan struct{})
	if err := send(ctx, queue, &piece{barrier: func() { f(); close(done) }}); err != nil {
		return err
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *content) save(st *state) (err error) {
	if c.parser != nil {
		if st.Parser, err = c.parser.MarshalBinary(); err != nil {
			return err
		}
	}
	st.Tables, st.Pos, st.In, st.Chunk = c.t, c.pos, c.in, c.chunk
	st.Open, st.Large, st.End, st.LargeFiles = c.segment.open, c.segment.large, c.segment.end, c.large
	st.Entry, st.Size, st.Small, st.Path, st.Sample = c.entry, c.size, c.small, c.path, c.needs
	st.Tree = c.tree.state()
	return nil
}

func (c *content) restore(st *state) error {
	if c.parser != nil {
		if err := c.parser.UnmarshalBinary(st.Parser); err != nil {
			return err
		}
	}
	c.t, c.pos, c.in, c.chunk = st.Tables, st.Pos, st.In, st.Chunk
	c.segment, c.large = segment{open: st.Open, large: st.Large, end: st.End}, st.LargeFiles
	c.entry, c.size, c.small, c.path, c.needs = st.Entry, st.Size, st.Small, st.Path, st.Sample
	return c.tree.restore(st.Tree)
}
