package index

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/zeebo/blake3"

	"github.com/shalefs/shalefs/index/needs"
	"github.com/shalefs/shalefs/index/tarx"
	"github.com/shalefs/shalefs/lazy"
)

// A content takes the tar stream: it parses the records, cuts the stream into chunks,
// and computes the blake3 of chunks and of files. It is one goroutine.
type content struct {
	pass   *pass
	pool   *pool
	queue  chan *piece
	failed atomic.Pointer[error] // what ended it; the queue is drained from then on

	t      tables
	parser *tarx.Parser // nil where the blob is one file
	keep   Keeper       // nil when nothing is kept (any more)

	pos     int64       // tar offset of the next byte
	in      int64       // compressed bytes up to the last byte taken
	chunk   []byte      // the bytes of the chunk that is being filled
	segment segment     // the one that pos lies in, or that ended at pos
	large   []largeFile // large files that begin at pos or later

	// The file that the parser is in.
	entry int    // its number
	path  string // empty if it is not asked what it needs
	size  int64  // stored bytes
	small []byte // content of a file that is not large
	tree  treeSum
	needs needs.Sample // of a large file
	file  FileKeeper
}

// A segment is what the chunks are cut from.
type segment struct {
	open  bool
	large bool
	end   int64 // of a large file
}

// A largeFile is a segment to come.
type largeFile struct {
	Off, End int64
	Entry    int
	Sum      [32]byte // known when the parser has come to its end
}

func newContent(p *pass, st *state) (*content, error) {
	c := &content{pass: p, pool: newPool(2 * queuePieces), queue: make(chan *piece, queuePieces), keep: p.opt.Keep}
	c.t.Digests = true
	if !p.want.File {
		c.parser = tarx.NewParser(tarx.Options{}, c)
	}
	if st != nil {
		if err := c.restore(st); err != nil {
			return nil, err
		}
	} else if p.want.File {
		if err := c.Entry(&tarx.Entry{Kind: tarx.Regular, Mode: 0o444, Size: p.blob.Size(), Stored: p.blob.Size()}); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// run takes pieces until the queue is closed. After an error it takes them and does
// nothing, so that the pass can still find out whether the blob is to blame.
func (c *content) run(ctx context.Context) error {
	defer c.endKeep()
	for {
		p, err := receive(ctx, c.queue)
		if err != nil {
			return err
		}
		if p == nil {
			break
		}
		if p.barrier != nil {
			p.barrier()
			continue
		}
		if c.failed.Load() == nil {
			if err := c.write(p.b[:p.n], p.in); err != nil {
				c.failed.Store(&err)
			}
		}
		p.done()
	}
	if e := c.failed.Load(); e != nil {
		return *e
	}
	return c.end()
}

// write takes the next bytes of the tar.
func (c *content) write(p []byte, in int64) error {
	if c.parser != nil {
		if _, err := c.parser.Write(p); err != nil {
			return err
		}
	} else if err := c.raw(p); err != nil {
		return err
	}
	for len(p) > 0 {
		n := len(p)
		if limit, ok := c.limit(); ok {
			if limit == c.pos {
				if err := c.border(); err != nil {
					return err
				}
				continue
			}
			n = int(min(int64(n), limit-c.pos))
		}
		c.cut(p[:n], in)
		p = p[n:]
	}
	if limit, ok := c.limit(); ok && limit == c.pos {
		return c.border()
	}
	return nil
}

// raw takes bytes of a blob that is one file.
func (c *content) raw(p []byte) error {
	if err := c.Content(p); err != nil || c.pos+int64(len(p)) < c.size {
		return err
	}
	return c.EndContent()
}

// limit is where the segment ends, if that is known.
func (c *content) limit() (int64, bool) {
	switch {
	case c.segment.open && c.segment.large:
		return c.segment.end, true
	case len(c.large) > 0:
		return c.large[0].Off, true
	}
	return 0, false
}

// border ends the segment at pos and, where a large file begins there, begins its own.
func (c *content) border() error {
	c.endChunk()
	if c.segment.open && c.segment.large {
		c.t.setSegmentSum(c.large[0].Sum)
		c.large = c.large[1:]
	}
	c.segment = segment{}
	if len(c.large) > 0 {
		f := c.large[0]
		if f.Off < c.pos {
			return fmt.Errorf("entry %d begins at %d, before %d", f.Entry, f.Off, c.pos)
		}
		if f.Off == c.pos {
			c.t.addSegment(c.pos, uint32(f.Entry))
			c.segment = segment{open: true, large: true, end: f.End}
		}
	}
	return nil
}

// cut adds bytes that lie in one segment.
func (c *content) cut(p []byte, in int64) {
	if !c.segment.open {
		c.t.addSegment(c.pos, noEntry)
		c.segment = segment{open: true}
	}
	for len(p) > 0 {
		c.in = in
		n := min(len(p), lazy.ChunkBytes-len(c.chunk))
		if n == lazy.ChunkBytes {
			c.sumChunk(p[:n]) // a whole chunk at once needs no copy
		} else {
			c.chunk = append(c.chunk, p[:n]...)
		}
		c.pos += int64(n)
		p = p[n:]
		if len(c.chunk) == lazy.ChunkBytes {
			c.endChunk()
		}
	}
}

func (c *content) endChunk() {
	if len(c.chunk) == 0 {
		return
	}
	off := c.pos
	c.pos -= int64(len(c.chunk)) // sumChunk looks at where the chunk begins
	c.sumChunk(c.chunk)
	c.pos = off
	c.chunk = c.chunk[:0]
}

// sumChunk takes the chunk that begins at pos.
func (c *content) sumChunk(p []byte) {
	c.t.addChunk(blake3.Sum256(p), c.in)
	if c.keep != nil && !c.segment.large {
		c.kept(c.keep.Tar(c.pos, p))
	}
}

// kept ends the keeping when it fails: a build does not need it.
func (c *content) kept(err error) {
	if err == nil {
		return
	}
	c.pass.opt.Logger.Info("layer is not kept while it is indexed", "layer", c.pass.blob.Digest(), "err", err)
	c.endKeep()
	c.keep = nil
}

func (c *content) endKeep() {
	if c.file != nil {
		c.file.Abort()
		c.file = nil
	}
	if c.keep != nil {
		if err := c.keep.Close(); err != nil {
			c.pass.opt.Logger.Info("layer is not kept whole", "layer", c.pass.blob.Digest(), "err", err)
		}
	}
}

// end checks that the stream may end here, and ends the last chunk.
func (c *content) end() error {
	if c.parser != nil {
		if err := c.parser.Close(); err != nil {
			return err
		}
	} else if c.pos == 0 {
		if err := c.EndContent(); err != nil {
			return err
		}
	}
	if limit, ok := c.limit(); ok && limit == c.pos {
		if err := c.border(); err != nil {
			return err
		}
	}
	c.endChunk()
	c.t.TarSize = c.pos
	return nil
}

var _ tarx.Handler = (*content)(nil)

// Entry takes a record of the tar.
func (c *content) Entry(e *tarx.Entry) error {
	i, err := c.t.addEntry(e)
	if err != nil {
		return err
	}
	if e.Kind != tarx.Regular {
		return nil
	}
	c.entry, c.path, c.size, c.small = i, e.Path, e.Stored, c.small[:0]
	if e.Sparse != nil {
		c.path = ""
	}
	if e.Stored < LargeBytes {
		return nil
	}
	c.needs.Begin(c.path, c.size)
	c.large = append(c.large, largeFile{Off: e.Off, End: e.Off + e.Stored, Entry: i})
	c.tree.reset()
	if c.keep != nil {
		f, err := c.keep.File(e.Stored)
		if err != nil {
			c.kept(err)
		} else {
			c.file = f
		}
	}
	return nil
}

// Content takes the next bytes of the file.
func (c *content) Content(p []byte) error {
	if c.size < LargeBytes {
		c.small = append(c.small, p...)
		return nil
	}
	c.tree.write(p)
	if c.path != "" {
		c.needs.Write(p)
	}
	if c.file != nil {
		if _, err := c.file.Write(p); err != nil {
			c.kept(err)
		}
	}
	return nil
}

// EndContent ends the file.
func (c *content) EndContent() error {
	if c.size < LargeBytes {
		c.t.setFileSum(c.entry, blake3.Sum256(c.small))
		if c.t.Needs.wants(c.path) {
			c.t.Needs.add(c.entry, c.path, needs.Of(c.path, c.small))
		}
		return nil
	}
	if c.t.Needs.wants(c.path) {
		c.t.Needs.add(c.entry, c.path, c.needs.End())
	}
	sum := c.tree.sum()
	c.t.setFileSum(c.entry, sum)
	f := &c.large[len(c.large)-1]
	f.Sum = sum
	if c.file != nil {
		k := c.file
		c.file = nil
		if err := k.Commit(sum); err != nil {
			c.kept(err)
		}
	}
	return nil
}

// Warning counts what was tolerated.
func (c *content) Warning(kind tarx.WarningKind, path string) { c.t.warn(string(kind), path, 1) }
