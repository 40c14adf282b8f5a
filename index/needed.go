package index

import (
	"encoding/binary"
	"sort"
	"sync"

	"github.com/shalefs/shalefs/index/needs"
)

// The bounds of what is kept of what files need.
const (
	maxNeeds    = 64 << 20 // bytes of a layer
	maxCompiled = 16 << 20 // bytes of the paths of texts that are passed over
)

// A needed collects what the files of a layer need. The fields are exported for encoding/gob.
type needed struct {
	Heap     []byte              // the section
	Next     int                 // the entry after that of the last record
	Compiled map[string]struct{} // texts of modules that were compiled
	Bytes    int                 // of these paths
}

// wants says whether it is asked what a file needs: not of the text of a module that is compiled too,
// as far as the archive has shown that, for Python does not read it.
func (n *needed) wants(path string) bool {
	if path == "" {
		return false
	}
	_, compiled := n.Compiled[path]
	return !compiled
}

// add takes what a file needs, which may be nil.
func (n *needed) add(entry int, path string, what *needs.Needs) {
	if source, ok := needs.Compiled(path); ok && n.Bytes < maxCompiled {
		if n.Compiled == nil {
			n.Compiled = map[string]struct{}{}
		}
		n.Compiled[source] = struct{}{}
		n.Bytes += len(source)
	}
	if what == nil {
		return
	}
	rec := needs.Append(nil, what)
	if len(rec) > needs.MaxRecord || len(n.Heap)+len(rec) > maxNeeds-2*binary.MaxVarintLen64 {
		return
	}
	n.Heap = binary.AppendUvarint(n.Heap, uint64(entry-n.Next))
	n.Heap = binary.AppendUvarint(n.Heap, uint64(len(rec)))
	n.Heap = append(n.Heap, rec...)
	n.Next = entry + 1
}

// A needList finds the records of a layer.
type needList struct {
	once sync.Once
	rows []needRow
}

// A needRow says where the record of an entry is in the section.
type needRow struct{ entry, at, len uint32 }

// read fills the list; it stays empty if the section is damaged.
func (n *needList) read(l *Layer) {
	var rows []needRow
	err := guard(func() error {
		b := l.section(secNeeds)
		if got := crc(b); got != l.h.sections[secNeeds].crc {
			return corrupt(secNeeds.String(), 0, "checksum %08x, bytes have %08x", l.h.sections[secNeeds].crc, got)
		}
		if len(b) > maxNeeds {
			return corrupt(secNeeds.String(), 0, "%d bytes", len(b))
		}
		at, next := 0, 0
		for ; at < len(b); next++ {
			skip, k := binary.Uvarint(b[at:])
			if k <= 0 || skip >= uint64(l.h.entries)-uint64(next) {
				return corrupt(secNeeds.String(), int64(at), "record of an entry after %d of %d", next, l.h.entries)
			}
			size, m := binary.Uvarint(b[at+k:])
			if m <= 0 || size > uint64(len(b)-at-k-m) {
				return corrupt(secNeeds.String(), int64(at), "record of %d bytes", size)
			}
			next += int(skip)
			rows = append(rows, needRow{uint32(next), uint32(at + k + m), uint32(size)})
			at += k + m + int(size)
		}
		return nil
	})
	if err == nil {
		n.rows = rows
	}
}

// Needs tells what the file of an entry needs: nil for nothing. known is false if the index does not
// say it. What it tells was not compared with the layer, even if the index was: it is a guess.
func (l *Layer) Needs(entry int) (what *needs.Needs, known bool) {
	if l.h.flags&flagNeeds == 0 {
		return nil, false
	}
	l.needs.once.Do(func() { l.needs.read(l) })
	rows := l.needs.rows
	if len(rows) == 0 {
		return nil, false
	}
	i := sort.Search(len(rows), func(i int) bool { return int(rows[i].entry) >= entry })
	if i == len(rows) || int(rows[i].entry) != entry {
		return nil, true
	}
	err := guard(func() (err error) {
		what, err = needs.Decode(l.section(secNeeds)[rows[i].at:][:rows[i].len])
		return err
	})
	return what, err == nil
}
