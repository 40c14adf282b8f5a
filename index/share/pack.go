package share

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"

	digest "github.com/opencontainers/go-digest"
	"github.com/zeebo/blake3"
	"golang.org/x/sys/unix"

	"github.com/shalefs/shalefs/index"
	"github.com/shalefs/shalefs/layout"
	"github.com/shalefs/shalefs/lazy"
)

// Docs keeps small documents, so that what was fetched once need not be fetched again:
// *cache.Cache.
type Docs interface {
	GetDoc(kind, name string) ([]byte, error)
	PutDoc(kind, name string, b []byte) error
}

// The kinds of documents.
const (
	docFound   = "pack"         // by the digest of the image's manifest: where its pack is
	docHead    = "pack-head"    // by the digest of the pack
	docPiece   = "pack-piece"   // by the digest of the pack and the offset
	docProfile = "pack-profile" // by the digest of the profile
)

// A Pack is an open pack. It is safe for concurrent use.
type Pack struct {
	blob   layout.Blob // of the pack; nil if only the cache is there
	store  layout.Store
	found  found
	docs   Docs // may be nil
	log    *slog.Logger
	layers []*layer
	opened chan struct{} // a lock around blob
}

// Digest is the digest of the artifact's manifest.
func (p *Pack) Digest() digest.Digest { return p.found.Artifact.Digest }

// Layer returns the index of a layer; ok is false if the pack has none. It is not
// bound. It belongs to the pack, and is closed with it.
func (p *Pack) Layer(blob digest.Digest) (l *index.Layer, ok bool) {
	for _, l := range p.layers {
		if l.Layer.Blob() == blob {
			return l.Layer, true
		}
	}
	return nil, false
}

// Layers returns the indexes of all layers.
func (p *Pack) Layers() []*index.Layer {
	out := make([]*index.Layer, len(p.layers))
	for i, l := range p.layers {
		out[i] = l.Layer
	}
	return out
}

// Close ends the use of the pack and of its layers.
func (p *Pack) Close() error {
	var err error
	for _, l := range p.layers {
		if e := unix.Munmap(l.mem); err == nil {
			err = e
		}
	}
	if p.blob != nil {
		if e := p.blob.Close(); err == nil {
			err = e
		}
	}
	return err
}

// newPack opens the trees of a head.
func newPack(f found, head []byte, docs Docs, log *slog.Logger) (*Pack, error) {
	list, err := decode(head, f.Size)
	if err != nil {
		return nil, err
	}
	p := &Pack{found: f, docs: docs, log: log, opened: make(chan struct{}, 1)}
	for i := range list {
		l, err := p.newLayer(&list[i])
		if err != nil {
			_ = p.Close()
			return nil, fmt.Errorf("layer %d: %w", i, err)
		}
		p.layers = append(p.layers, l)
	}
	return p, nil
}

// A layer is an index of which parts are missing. It is the layer's Filler.
type layer struct {
	*index.Layer
	pack     *Pack
	mem      []byte // the file, with holes
	file     [32]byte
	spans    []piece
	fileSums []piece
	hasSpans []atomic.Bool // by piece
	hasSums  []atomic.Bool
	filling  chan struct{} // a lock around fetching
	fetches  int           // so far; guarded by filling

	mu      sync.Mutex
	arrival chan struct{} // guarded by mu; closed when the next piece is here
}

var _ index.Filler = (*layer)(nil)

func (p *Pack) newLayer(k *packed) (*layer, error) {
	size, err := index.TreeHeader(k.tree)
	if err != nil {
		return nil, err
	}
	// Pages that are never written cost nothing.
	mem, err := unix.Mmap(-1, 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
	if err != nil {
		return nil, err
	}
	l := &layer{pack: p, mem: mem, file: k.file, spans: k.spans, fileSums: k.fileSums,
		hasSpans: make([]atomic.Bool, len(k.spans)), hasSums: make([]atomic.Bool, len(k.fileSums)), filling: make(chan struct{}, 1), arrival: make(chan struct{})}
	if l.Layer, err = index.OpenTree(mem, k.tree, l); err == nil {
		err = l.checkPieces()
	}
	if err != nil {
		_ = unix.Munmap(mem)
		return nil, err
	}
	k.tree = nil
	return l, nil
}

// checkPieces checks that the pieces cover all spans and entries.
func (l *layer) checkPieces() error {
	end := func(list []piece) int {
		if len(list) == 0 {
			return 0
		}
		return list[len(list)-1].last
	}
	entries := 0
	if l.HasDigests() {
		entries = l.NumEntries()
	}
	if end(l.spans) != l.Spans() || end(l.fileSums) != entries {
		return fmt.Errorf("%w: pieces of %d spans and %d entries, not %d and %d", lazy.ErrCorrupt,
			end(l.spans), end(l.fileSums), l.Spans(), entries)
	}
	return nil
}

// HasSpan says whether a span's parts are here.
func (l *layer) HasSpan(span int) bool {
	i := find(l.spans, span)
	return i < len(l.hasSpans) && l.hasSpans[i].Load()
}

// HasFileSum says whether the digest of an entry's content is here.
func (l *layer) HasFileSum(entry int) bool {
	i := find(l.fileSums, entry)
	return i < len(l.hasSums) && l.hasSums[i].Load()
}

// find returns the piece that holds x.
func find(list []piece, x int) int {
	lo, hi := 0, len(list)
	for lo < hi {
		mid := (lo + hi) / 2
		if list[mid].last <= x {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}

// Fill brings the parts of the spans [first, last).
func (l *layer) Fill(ctx context.Context, first, last int) error {
	if first >= last {
		return nil
	}
	return l.fetch(ctx, l.spans, l.hasSpans, find(l.spans, first), find(l.spans, last-1)+1, l.putSpans)
}

func (l *layer) putSpans(p piece, b []byte) error { return l.PutSpanPart(p.first, p.last, b) }

// FillFileSums brings the digests of the contents of all entries.
func (l *layer) FillFileSums(ctx context.Context) error {
	return l.fetch(ctx, l.fileSums, l.hasSums, 0, len(l.fileSums), func(p piece, b []byte) error {
		return l.PutFileSumPart(p.first, p.last, b)
	})
}

// maxFetch bounds one request for what somebody waits for, maxPrefetch one for all that will be of use,
// maxGap what is fetched though it is here already.
const (
	maxFetch    = 4 << 20
	maxPrefetch = 16 << 20
	maxGap      = 32 << 10
)

// A want is a piece that is to be brought.
type want struct {
	l   *layer
	p   piece
	has *atomic.Bool
	put func(piece, []byte) error
}

// fetch brings the pieces [from, to) of a list that are missing, in few requests.
func (l *layer) fetch(ctx context.Context, list []piece, has []atomic.Bool, from, to int, put func(piece, []byte) error) error {
	unlock, err := l.lock(ctx, func() bool {
		for from < to && has[from].Load() {
			from++
		}
		return from == to
	})
	if err != nil || unlock == nil {
		return err
	}
	defer unlock()
	from, to = l.widen(list, from, to)
	var wants []want
	for i := from; i < to; i++ {
		wants = append(wants, want{l, list[i], &has[i], put})
	}
	return l.pack.bring(ctx, wants, maxFetch)
}

// lock waits until nobody else fetches pieces of the layer, or until enough is true, of which it asks whenever
// one came; then there is nothing to unlock.
func (l *layer) lock(ctx context.Context, enough func() bool) (unlock func(), err error) {
	for {
		l.mu.Lock()
		arrival := l.arrival
		l.mu.Unlock()
		if enough() {
			return nil, nil
		}
		select {
		case l.filling <- struct{}{}:
			return func() { <-l.filling }, nil
		case <-arrival:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// bring brings those pieces that are missing, in requests of at most this many bytes. They are in the order of
// the pack, and their layers are locked. Each is of use as soon as it is here.
func (p *Pack) bring(ctx context.Context, wants []want, most int64) error {
	var missing []want
	for _, w := range wants {
		if w.has.Load() {
			continue
		}
		if b := p.cached(w.p); b != nil && w.take(b) == nil {
			continue
		}
		missing = append(missing, w)
	}
	for len(missing) > 0 {
		n, start := 1, missing[0].p.off
		end := start + missing[0].p.len
		for n < len(missing) {
			next := missing[n].p
			if next.off-end > maxGap || next.off+next.len-start > most {
				break
			}
			end = next.off + next.len
			n++
		}
		if err := p.stream(ctx, missing[:n], start, end); err != nil {
			return err
		}
		missing = missing[n:]
	}
	return nil
}

// stream brings pieces with one request, for the bytes [start, end) of the pack.
func (p *Pack) stream(ctx context.Context, wants []want, start, end int64) error {
	fail := func(w want, err error) error {
		return fmt.Errorf("index of layer %s, piece at %d: %w", w.l.Blob(), w.p.off, err)
	}
	blob, err := p.theBlob(ctx)
	if err != nil {
		return fail(wants[0], err)
	}
	r, err := blob.Range(ctx, start, end-start)
	if err != nil {
		return fail(wants[0], err)
	}
	defer func() { _ = r.Close() }()
	buf := make([]byte, end-start)
	read := int64(0)
	for _, w := range wants {
		at := w.p.off - start
		if _, err := io.ReadFull(r, buf[read:at+w.p.len]); err != nil {
			return fail(w, err)
		}
		read = at + w.p.len
		if err := w.take(buf[at:read]); err != nil {
			return fail(w, err)
		}
	}
	for _, w := range wants { // nobody waits for this
		p.keep(w.p, buf[w.p.off-start:][:w.p.len])
	}
	return nil
}

// widen adds neighbours to the pieces [from, to): all those in the same aligned part of
// the pack, which is larger with each fetch, up to 2 MiB. Who reads much of a layer
// needs few requests for its index, who reads one file few bytes.
func (l *layer) widen(list []piece, from, to int) (int, int) {
	part := int64(pieceBytes) << min(2*l.fetches, 5)
	l.fetches++
	start, end := list[from].off/part*part, (list[to-1].off/part+1)*part
	for from > 0 && list[from-1].off >= start {
		from--
	}
	for to < len(list) && list[to].off < end {
		to++
	}
	return from, to
}

// take checks a piece and puts it in its place.
func (w want) take(b []byte) error {
	if got := blake3.Sum256(b); got != w.p.sum {
		return fmt.Errorf("%w: blake3 is %x, not %x", lazy.ErrCorrupt, got, w.p.sum)
	}
	plain, err := unzstdPiece(b)
	if err != nil {
		return err
	}
	if err := w.put(w.p, plain); err != nil {
		return err
	}
	w.has.Store(true)
	w.l.mu.Lock()
	close(w.l.arrival)
	w.l.arrival = make(chan struct{})
	w.l.mu.Unlock()
	return nil
}

// Prefetch fetches what reads of content need of all layers (windows, digests, ends).
func (p *Pack) Prefetch(ctx context.Context) error {
	var wants []want
	for _, l := range p.layers {
		for i := range l.spans {
			if !l.hasSpans[i].Load() {
				wants = append(wants, want{l, l.spans[i], &l.hasSpans[i], l.putSpans})
			}
		}
	}
	// In steps, so that a read that waits for a piece far behind gets its turn.
	for len(wants) > 0 {
		n, bytes := 0, int64(0)
		for n < len(wants) && (n == 0 || bytes+wants[n].p.len <= maxPrefetch) {
			bytes += wants[n].p.len
			n++
		}
		if err := p.step(ctx, wants[:n]); err != nil {
			return err
		}
		wants = wants[n:]
	}
	return nil
}

// step brings pieces whose layers are not locked yet.
func (p *Pack) step(ctx context.Context, wants []want) error {
	for i, w := range wants {
		if i > 0 && w.l == wants[i-1].l {
			continue
		}
		unlock, err := w.l.lock(ctx, func() bool { return false }) // fetch holds one and waits for no other
		if err != nil {
			return err
		}
		defer unlock()
	}
	return p.bring(ctx, wants, maxPrefetch)
}

// Complete fetches all that is missing of all layers, and checks the index files as a
// whole. Afterwards Layer.Bytes of each is the file that was pushed.
func (p *Pack) Complete(ctx context.Context) error {
	if err := p.Prefetch(ctx); err != nil {
		return err
	}
	for _, l := range p.layers {
		if err := l.FillFileSums(ctx); err != nil {
			return err
		}
		if got := sha256.Sum256(l.mem); got != l.file {
			return fmt.Errorf("index of layer %s: %w: sha256 is %x, not %x", l.Blob(), lazy.ErrCorrupt, got, l.file)
		}
	}
	return nil
}

func (p *Pack) pieceName(k piece) string { return fmt.Sprintf("%s-%d", p.found.Pack, k.off) }

// cached returns a piece that was kept, or nil.
func (p *Pack) cached(k piece) []byte {
	if p.docs == nil {
		return nil
	}
	b, err := p.docs.GetDoc(docPiece, p.pieceName(k))
	if err != nil || int64(len(b)) != k.len {
		return nil
	}
	return b
}

func (p *Pack) keep(k piece, b []byte) {
	if p.docs == nil {
		return
	}
	if err := p.docs.PutDoc(docPiece, p.pieceName(k), b); err != nil {
		p.log.Debug("piece of an index is not kept", "pack", p.found.Pack, "err", err)
	}
}

// theBlob opens the pack's blob, if that was not done yet.
func (p *Pack) theBlob(ctx context.Context) (layout.Blob, error) {
	select {
	case p.opened <- struct{}{}:
		defer func() { <-p.opened }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if p.blob == nil {
		b, err := p.store.Blob(ctx, p.found.blob())
		if err != nil {
			return nil, err
		}
		p.blob = b
	}
	return p.blob, nil
}
