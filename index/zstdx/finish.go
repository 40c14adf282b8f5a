package zstdx

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/shalefs/shalefs/index/codec"
)

// A finisher makes the checkpoint at the start of a look-ahead, when its span is known.
type finisher struct {
	marks marker
	runs  []run
	data  []byte
	raw   []byte // content of a raw block
	proof *decoder
	plain bool // as decoder.plain
}

// finish makes the checkpoint at groups[0] whose span, with the overhang, ends at end, and proves it.
// cross is how many bytes of matches reach over the checkpoint.
func (f *finisher) finish(l *lookahead, h *history, end int64) (cp codec.Checkpoint, cross int64, err error) {
	g := l.groups[0]
	cp.Out, cp.In = g.out, g.in
	st := state{start: g.start, frame: g.frame, reps: g.reps}
	if g.start {
		cp.State = st.encode()
		return cp, 0, nil
	}
	blocks := l.blocks
	for i, b := range blocks {
		if b.out >= end {
			blocks = blocks[:i]
			break
		}
		if b.last {
			blocks = blocks[:i+1]
			break
		}
	}

	seen := [numTabs]bool{}
	for _, b := range blocks {
		for i, u := range b.use {
			if u == useRepeat && !seen[i] {
				st.tabs[i] = g.tabs[i]
			}
			seen[i] = seen[i] || u != useNone
		}
	}
	cp.State = st.encode()

	base := g.out - min(g.since, g.frame.window)
	f.marks.reset(base, g.out)
	for _, b := range blocks {
		for _, r := range b.refs {
			if from := int64(r >> refLenBits); from < g.out {
				to := min(g.out, from+int64(r&(1<<refLenBits-1)))
				cross += to - from
				f.marks.mark(from, to)
			}
		}
	}
	f.runs = f.marks.runs(f.runs[:0])
	f.marks.clear(f.runs)
	f.data = f.data[:0]
	for _, r := range f.runs {
		a, b := h.at(g.out-r.dist, r.len)
		f.data = append(append(f.data, a...), b...)
	}
	cp.Window = packWindow(f.runs, f.data)
	if err := f.prove(cp, g, blocks, h); err != nil {
		return cp, cross, fmt.Errorf("checkpoint at %d: %w: %w", cp.Out, errProof, err)
	}
	return cp, cross, nil
}

// proofBlocks is the most blocks that a proof decodes.
const proofBlocks = 8

// prove checks that a decoder which has nothing but the checkpoint and the stream
// gives the bytes of the scan.
//
// It unpacks the checkpoint and decodes from it until each table of the state has been used
// or replaced, and sequences were decoded; from there on its state is that of the scan. What
// remains of the checkpoint is the window: every reference of the span must be in
// it, and all its bytes must be those of the stream.
func (f *finisher) prove(cp codec.Checkpoint, g *group, blocks []*lookBlock, h *history) error {
	st, rest, err := parseState(cp.State)
	if err != nil || len(rest) > 0 {
		return errCheckpoint
	}
	far, err := unpackWindow(cp.Window, st.frame.window)
	if err != nil {
		return err
	}
	if f.proof == nil {
		f.proof = newDecoder()
		f.proof.plain = f.plain
	}
	d := f.proof
	if err := st.load(d); err != nil {
		return err
	}
	d.far, d.origin = far, cp.Out
	d.hist.reset(cp.Out, proofBlocks*maxBlock)

	var open [numTabs]bool
	for i, t := range st.tabs {
		open[i] = t.kind != descNone
		if open[i] && !t.equal(g.tabs[i]) {
			return errTable
		}
	}
	sequences := false
	for i, b := range blocks {
		if i == proofBlocks || sequences && open == [numTabs]bool{} {
			break
		}
		a, c := h.at(b.out, b.n)
		var p piece
		if b.head.kind == blockRaw {
			f.raw = append(append(f.raw[:0], a...), c...)
			p = piece{f.raw, 0, len(f.raw)}
		} else {
			p = b.piece()
		}
		n, err := d.block(b.head, p, maxBlock)
		if err != nil {
			return err
		}
		got := d.hist.buf[d.hist.cur : d.hist.cur+n]
		if n != b.n || !bytes.Equal(got[:len(a)], a) || !bytes.Equal(got[len(a):], c) {
			return fmt.Errorf("block at %d differs", b.out)
		}
		d.done(n)
		for k, u := range d.use {
			open[k] = open[k] && u == useNone
		}
		sequences = sequences || d.use[tabOF] != useNone
	}
	seen := [numTabs]bool{}
	for _, b := range blocks {
		for i, u := range b.use {
			if u == useRepeat && !seen[i] && st.tabs[i].kind == descNone {
				return errNoTable
			}
			seen[i] = seen[i] || u != useNone
		}
	}
	return f.proveWindow(far, cp.Out, blocks)
}

// proveWindow checks that the unpacked window is what was gathered from the stream, and
// that it has all that the references of the blocks need.
func (f *finisher) proveWindow(far *sparse, out int64, blocks []*lookBlock) error {
	if !slices.Equal(far.runs, f.runs) || !bytes.Equal(far.data, f.data) {
		return errCheckpoint
	}
	defer f.marks.clear(far.runs)
	for _, r := range far.runs {
		f.marks.mark(out-r.dist, out-r.dist+int64(r.len))
	}
	for _, b := range blocks {
		for _, r := range b.refs {
			if from := int64(r >> refLenBits); from < out {
				if !f.marks.has(from, min(out, from+int64(r&(1<<refLenBits-1)))) {
					return errOffset
				}
			}
		}
	}
	return nil
}
