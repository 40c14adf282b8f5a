package tarx

import (
	"bytes"
	"math"
)

// open makes an entry of its header and the extra records before it, and goes on to its
// sparse map or its content.
func (p *Parser) open(h *header, blk []byte) error {
	st, a, e := &p.st, &p.attrs, &p.entry
	at := st.Off - BlockBytes
	st.Emit = false
	*e = Entry{}

	form := notSparse
	switch h.typeflag {
	case 'S':
		form = sparseOld
	case 0, '0', '7':
		var err error
		if form, err = a.sparse(); err != nil {
			return p.fail(at, string(p.rawName(h, notSparse)), err)
		}
	}
	raw := p.rawName(h, form)
	p.clean = appendClean(p.clean[:0], raw)
	class, path, err := classify(p.clean)
	if err != nil {
		return p.fail(at, string(raw), err)
	}
	st.Path = append(st.Path[:0], path...)
	e.Path = string(path)

	kind, known := kindOf(h.typeflag, bytes.HasSuffix(raw, []byte{'/'}))
	if !known && class == namePlain {
		return p.fail(at, e.Path, unsupportedf("type %q", h.typeflag))
	}
	length := h.size
	if a.size != nil {
		length = *a.size
	}
	if known && kind != Regular {
		form, length = notSparse, 0 // ENT-10
	}
	if length < 0 || length > math.MaxInt64-BlockBytes-st.Off {
		return p.fail(at, e.Path, formatf("size %d", length))
	}

	switch {
	case class == nameWhiteout:
		e.Kind, st.Emit = Whiteout, true
	case class == nameOpaque:
		e.Kind, st.Emit = Opaque, true
	case class == nameInside:
		p.h.Warning(WarnInsideWhiteout, e.Path)
	case !known: // at or below a hidden name
	case e.Path == "" && (kind != Directory || len(raw) == 0):
		p.h.Warning(WarnRoot, e.Path)
	default:
		e.Kind = kind
		if err := p.describe(h, blk); err != nil {
			return p.fail(at, e.Path, err)
		}
		st.Emit = true
	}
	return p.openContent(form, blk, length)
}

// rawName is the entry's name as the records say it: a sparse file has its own
// name in a PAX record, then a GNU long name counts, PAX, the header.
func (p *Parser) rawName(h *header, form sparseForm) []byte {
	st, a := &p.st, &p.attrs
	switch {
	case (form == sparsePAX || form == sparseInline) && a.sparseName != "":
		return []byte(a.sparseName)
	case st.HasName:
		return st.Name
	case a.path != nil:
		return []byte(*a.path)
	case len(h.prefix) > 0:
		st.Name = append(append(append(st.Name[:0], h.prefix...), '/'), h.name...)
		return st.Name
	}
	return h.name
}

func (p *Parser) rawLink(h *header) string {
	switch {
	case p.st.HasLink:
		return string(p.st.Link)
	case p.attrs.link != nil:
		return *p.attrs.link
	}
	return string(h.link)
}

// describe fills in what the entry's kind has besides its path and content.
func (p *Parser) describe(h *header, blk []byte) error {
	a, e := &p.attrs, &p.entry
	if e.Kind == Hardlink { // the target's attributes count (D4)
		e.Link = Clean(p.rawLink(h))
		return nil
	}
	e.Mode = uint16(h.mode & 0o7777)
	e.UID, e.GID = p.owner(h.uid, a.uid), p.owner(h.gid, a.gid)
	e.MTime = h.mtime
	if a.mtime != nil {
		e.MTime, e.MTimeNano = *a.mtime, a.nsec
	}
	e.Xattrs = showXattrs(a.xattrs, e.Kind, func(k WarningKind) { p.h.Warning(k, e.Path) })
	switch e.Kind {
	case Symlink:
		e.Mode, e.Link = 0o777, p.rawLink(h)
		if len(e.Link) == 0 || len(e.Link) > maxTarget {
			return unsupportedf("symlink target of %d bytes", len(e.Link)) // ENT-34
		}
		e.Size = int64(len(e.Link))
	case Char, Block:
		var err error
		e.Major, e.Minor, err = h.devices(blk)
		return err
	}
	return nil
}

// owner picks a user or group number and brings it into range (ENT-24).
func (p *Parser) owner(n int64, pax *int64) uint32 {
	if pax != nil {
		n = *pax
	}
	if n < 0 || n >= math.MaxUint32 {
		p.h.Warning(WarnOwner, p.entry.Path)
		return 0
	}
	return uint32(n)
}

// openContent reads the sparse map, as far as it is here, and begins the content of length
// bytes, or the rest of the map.
func (p *Parser) openContent(form sparseForm, blk []byte, length int64) error {
	st := &p.st
	at := st.Off - BlockBytes
	st.Map, st.Inline = sparseMap{}, inlineMap{Count: -1}
	st.Length, st.Size = length, length
	next, err := p.readMap(form, blk)
	p.forget()
	if err != nil {
		return p.fail(at, string(st.Path), err)
	}
	if next != inContent {
		st.Phase = next
		return nil
	}
	return p.content(form != notSparse)
}

// readMap takes what the header and the extra records say of a sparse map, and
// returns the phase that reads the rest, or inContent.
func (p *Parser) readMap(form sparseForm, blk []byte) (phase, error) {
	st, limit := &p.st, p.opt.MaxSparseRuns
	switch form {
	case sparseOld:
		if dialectOf(blk) != gnu {
			return 0, unsupportedf("sparse file that is not GNU's")
		}
		var ok bool
		if st.Size, ok = number(blk[483:495]); !ok || st.Size < 0 {
			return 0, formatf("size of a sparse file")
		}
		if err := st.Map.gnuRuns(blk[386:482], st.Size, limit); err != nil {
			return 0, err
		}
		if blk[482] != 0 {
			return inOldMap, nil
		}
	case sparsePAX, sparseInline:
		var err error
		if st.Size, err = p.attrs.realSize(); err != nil {
			return 0, err
		}
		if form == sparseInline {
			return inInlineMap, nil
		}
		if err := st.Map.textRuns(p.attrs.nums(), st.Size, limit); err != nil {
			return 0, err
		}
	}
	return inContent, nil
}

// oldMap takes a continuation block of an old GNU sparse map.
func (p *Parser) oldMap(blk []byte) error {
	st := &p.st
	if err := st.Map.gnuRuns(blk[:504], st.Size, p.opt.MaxSparseRuns); err != nil {
		return p.fail(st.Off-BlockBytes, string(st.Path), err)
	}
	if blk[504] != 0 {
		// A block without runs that asks for more could go on for ever.
		if blk[0] == 0 {
			return p.fail(st.Off-BlockBytes, string(st.Path), formatf("empty sparse map block"))
		}
		return nil
	}
	return p.content(true)
}

// inlineMap takes a block of a sparse map that stands in the content.
func (p *Parser) inlineMap(blk []byte) error {
	st := &p.st
	at := st.Off - BlockBytes
	if st.Length < BlockBytes {
		return p.fail(at, string(st.Path), formatf("sparse map longer than the content"))
	}
	st.Length -= BlockBytes
	done, err := st.Inline.block(blk, &st.Map, st.Size, p.opt.MaxSparseRuns)
	if err != nil {
		return p.fail(at, string(st.Path), err)
	}
	if !done {
		return nil
	}
	return p.content(true)
}

// content begins the content: st.Length stored bytes at st.Off.
func (p *Parser) content(sparse bool) error {
	st, e := &p.st, &p.entry
	if sparse && st.Map.Sum != st.Length {
		return p.fail(st.Off, string(st.Path), formatf("sparse map of %d bytes for %d stored", st.Map.Sum, st.Length))
	}
	if !st.Emit {
		return p.begin(inSkip, st.Length)
	}
	e.Off = st.Off
	next := inSkip
	if e.Kind == Regular {
		next, e.Size, e.Stored = inContent, st.Size, st.Length
		if sparse {
			e.Sparse = append(make([]Run, 0, len(st.Map.Runs)), st.Map.Runs...)
		}
	}
	st.Map.Runs = nil
	if err := p.h.Entry(e); err != nil {
		return err
	}
	return p.begin(next, st.Length)
}
