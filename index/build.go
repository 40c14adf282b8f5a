package index

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"

	digest "github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/shalefs/shalefs/index/codec"
	"github.com/shalefs/shalefs/index/tarx"
	"github.com/shalefs/shalefs/layout"
	"github.com/shalefs/shalefs/lazy"
)

// Want says what a layer must be.
type Want struct {
	// DiffID is the digest that the tar must have; empty if none is known, and
	// then the index holds the sha256 that it has.
	DiffID digest.Digest
	// File says that the blob is one file, not a tar (an artifact's raw blob). The
	// index has one entry, with an empty path, and the blob is not decompressed.
	File bool
}

// BuildOptions are the settings of Build. The zero value works.
type BuildOptions struct {
	// Logger takes what went wrong without failing the build; nil is silence.
	Logger *slog.Logger
	// Progress, if not nil, is told now and then how many compressed bytes of how
	// many are done. It is called from one goroutine and must return soon.
	Progress func(done, total int64)
	// Keep, if not nil, takes the chunks on the way, so that they need not be fetched again.
	Keep Keeper
	// Saver, if not nil, keeps the state of the pass, so that an interrupted one goes on.
	Saver Saver
	// MaxRatio is how many times as large as the blob the tar may be (ERR-7);
	// 0 is 200. One GiB is always allowed.
	MaxRatio int64
	// SpanBytes and MaxSpanBytes are codec.ScanOptions; they change the bytes of the index.
	SpanBytes, MaxSpanBytes int64
	// SaveBytes is the distance of saves in bytes of tar; 0 is 64 MiB.
	SaveBytes int64
}

const (
	defaultRatio = 200
	alwaysOut    = 1 << 30
	saveBytes    = 64 << 20
)

func (o BuildOptions) withDefaults() BuildOptions {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.MaxRatio <= 0 {
		o.MaxRatio = defaultRatio
	}
	if o.SaveBytes <= 0 {
		o.SaveBytes = saveBytes
	}
	return o
}

// limits are the settings of the scan of a blob.
func (o BuildOptions) limits(blobSize int64) codec.ScanOptions {
	maxOut := int64(maxOffset)
	if blobSize < maxOut/o.MaxRatio {
		maxOut = max(alwaysOut, blobSize*o.MaxRatio)
	}
	return codec.ScanOptions{SpanBytes: o.SpanBytes, MaxSpanBytes: o.MaxSpanBytes, Overhang: lazy.ChunkBytes, MaxOut: maxOut}
}

// Build reads a layer once, from its first byte to its last, and returns its index
// file. It checks the blob's digest, its size, the diffID and each record of the tar.
// The file depends on the layer and on SpanBytes and MaxSpanBytes only.
//
// Errors: ErrLayer for a layer that is not what it should be, with the offset and
// the path where there are; beside it layout.ErrDigest if it is a digest that
// differs; ErrExpands; those of the blob; ctx.Err().
func Build(ctx context.Context, blob layout.Blob, want Want, opt BuildOptions) ([]byte, error) {
	opt = opt.withDefaults()
	p := &pass{blob: blob, want: want, opt: opt}
	file, err := p.run(ctx)
	if err != nil {
		return nil, fmt.Errorf("layer %s: %w", blob.Digest(), err)
	}
	if opt.Saver != nil {
		if err := opt.Saver.Clear(); err != nil {
			opt.Logger.Warn("saved state of an index stays", "layer", blob.Digest(), "err", err)
		}
	}
	return file, nil
}

// A pass is one run of Build: a line of goroutines with bounded queues between them.
//
//	fetch ─┬─► blobSum                    digest of the compressed bytes
//	       └─► scan (codec) ─┬─► tarSum   diffID
//	                         └─► content  tar records, chunks, blake3, Keep
type pass struct {
	blob layout.Blob
	want Want
	opt  BuildOptions

	format  string
	codec   codec.Codec
	scanOpt codec.ScanOptions

	in      *input
	blobSum *summer
	tarSum  *summer // nil if the tar is the blob
	content *content
	saved   int64 // tar offset of the last save
	nextGap int64 // distance to the next one
}

func (p *pass) run(ctx context.Context) ([]byte, error) {
	group, ctx := errgroup.WithContext(ctx)
	st := p.load()
	var err error
	if p.blobSum, err = newSummer(p.blob.Digest().Algorithm()); err != nil {
		return nil, err
	}
	p.blobSum.history = p.opt.Saver != nil
	p.in = newInput(p.blob, p.blobSum, p.opt.Progress)
	if st != nil {
		if err := p.blobSum.restore(st.BlobSum, st.BlobAt); err != nil {
			return nil, err
		}
		p.in.off, p.in.skip = st.BlobAt, st.Snapshot.In-st.BlobAt
	}
	group.Go(func() error { return p.in.fetch(ctx) })
	group.Go(func() error { return p.blobSum.run(ctx) })
	group.Go(func() error { return p.decode(ctx, group, st) })
	err = group.Wait()
	if err != nil {
		return nil, p.explain(err)
	}
	return p.finish()
}

// decode sniffs the format, starts what takes the tar, and scans.
func (p *pass) decode(ctx context.Context, group *errgroup.Group, st *state) error {
	head, err := p.in.peek(ctx)
	if err != nil {
		return err
	}
	p.format = "raw"
	if st != nil {
		p.format = st.Format
	} else if !p.want.File {
		if p.format, err = Sniff(head); err != nil {
			return err
		}
	}
	p.scanOpt = p.opt.limits(p.blob.Size())
	if p.codec, err = codecOf(p.format); err != nil {
		return err
	}
	algorithm := p.blob.Digest().Algorithm()
	if p.want.DiffID != "" {
		algorithm = p.want.DiffID.Algorithm()
	} else if !p.isRaw() {
		algorithm = digest.SHA256
	}
	if !p.isRaw() || algorithm != p.blob.Digest().Algorithm() {
		if p.tarSum, err = newSummer(algorithm); err != nil {
			return err
		}
		group.Go(func() error { return p.tarSum.run(ctx) })
	}
	if p.content, err = newContent(p, st); err != nil {
		return err
	}
	if st != nil && p.tarSum != nil {
		if err := p.tarSum.restore(st.TarSum, st.Snapshot.Out); err != nil {
			return err
		}
	}
	group.Go(func() error { return p.content.run(ctx) })
	return p.scan(ctx, st)
}

func (p *pass) isRaw() bool { return p.format == "tar" || p.format == "raw" }

// scan runs the codec over the input and closes the queues behind it.
func (p *pass) scan(ctx context.Context, st *state) (err error) {
	s := &scanSink{pass: p, ctx: ctx}
	if st != nil {
		s.out = st.Snapshot.Out
	}
	r := &inputReader{in: p.in, ctx: ctx}
	if st != nil {
		_, err = p.codec.Resume(ctx, r, st.Snapshot, p.scanOpt, s)
	} else {
		_, err = p.codec.Scan(ctx, r, p.scanOpt, s)
	}
	if err == nil || isBroken(err) {
		// What follows the stream, or what is broken, belongs to the blob's digest too.
		if _, derr := io.Copy(io.Discard, r); derr != nil {
			return derr
		}
		if serr := p.blobSum.wait(ctx); serr != nil {
			return serr
		}
		if got := p.blobSum.digest(); got != p.blob.Digest() {
			return fmt.Errorf("%w: %w: blob has %s", ErrLayer, layout.ErrDigest, got)
		}
	}
	if err != nil {
		return err
	}
	if p.tarSum != nil {
		close(p.tarSum.queue)
	}
	close(p.content.queue)
	return nil
}

// isBroken says whether the bytes are to blame, so that their digest is of interest.
func isBroken(err error) bool {
	var ce *codec.Error
	var te *tarx.Error
	return errors.As(err, &ce) || errors.As(err, &te)
}

// explain gives the first error of a pass its place in the list of errors.
func (p *pass) explain(err error) error {
	var ce *codec.Error
	var te *tarx.Error
	switch {
	case errors.Is(err, codec.ErrTooLarge):
		return fmt.Errorf("%w: more than %d bytes from %d: %w", ErrExpands, p.scanOpt.MaxOut, p.blob.Size(), err)
	case errors.Is(err, ErrLayer):
		return err
	case errors.As(err, &ce), errors.As(err, &te):
		return fmt.Errorf("%w: %w", ErrLayer, err)
	}
	return err
}

// finish compares the digests and writes the file.
func (p *pass) finish() ([]byte, error) {
	if n := p.in.read; n != p.blob.Size() {
		return nil, fmt.Errorf("%w: %w: %d bytes of %d", ErrLayer, layout.ErrChanged, n, p.blob.Size())
	}
	t := &p.content.t
	diff := p.blob.Digest()
	if p.tarSum != nil {
		diff = p.tarSum.digest()
	}
	if p.want.DiffID != "" && p.want.DiffID != diff {
		return nil, fmt.Errorf("%w: %w: the tar has %s, its diffID is %s", ErrLayer, layout.ErrDigest, diff, p.want.DiffID)
	}
	h := header{flags: flagChecked | flagDigests, blobSize: p.blob.Size(), blob: p.blob.Digest().String(),
		diff: diff.String(), format: p.format, overhang: lazy.ChunkBytes,
		spanParam: p.opt.SpanBytes, maxSpanParam: p.opt.MaxSpanBytes}
	if p.isRaw() {
		h.flags |= flagRaw
	}
	if p.want.File {
		h.flags |= flagFile
	}
	return t.finish(h)
}

// A scanSink stands between the codec and the goroutines that take the tar.
type scanSink struct {
	pass *pass
	ctx  context.Context // of the scan; a sink has no other way to get it
	out  int64
}

var _ codec.Sink = (*scanSink)(nil)

func (s *scanSink) Data(data []byte, in int64) error {
	p := s.pass
	for len(data) > 0 {
		if e := p.content.failed.Load(); e != nil {
			return *e
		}
		n := min(len(data), pieceBytes)
		users := int32(1)
		if p.tarSum != nil {
			users = 2
		}
		buf, err := p.content.pool.get(s.ctx, users)
		if err != nil {
			return err
		}
		buf.n = copy(buf.b, data[:n])
		buf.in = in
		data = data[n:]
		s.out += int64(n)
		if p.tarSum != nil {
			if err := send(s.ctx, p.tarSum.queue, buf); err != nil {
				return err
			}
		}
		if err := send(s.ctx, p.content.queue, buf); err != nil {
			return err
		}
	}
	return nil
}

func (s *scanSink) Checkpoint(cp codec.Checkpoint) error {
	if s.pass.isRaw() {
		return nil
	}
	return s.pass.content.t.addCheckpoint(cp)
}

func (s *scanSink) Pause(snapshot func() (codec.Snapshot, error)) error {
	p := s.pass
	if p.opt.Saver == nil || s.out-p.saved < max(p.nextGap, p.opt.SaveBytes) {
		return nil
	}
	return p.save(s.ctx, snapshot)
}
