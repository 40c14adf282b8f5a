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
	maxCompiled = 1 << 18  // compiled modules whose texts are passed over
)

// A needed collects what the files of a layer need. The fields are exported for encoding/gob.
type needed struct {
	Heap     []byte              // the section
	Next     int                 // the entry after that of the last record
	Compiled map[string]struct{} // texts of modules that were compiled
}

// wants says whether it is asked what a file needs: not of the text of a module that is compiled too,
// as far as the archive has shown that, for Python does not read it.
func (n *needed) wants(path string) bool {
	if path == "" || len(n.Heap) >= maxNeeds {
		return false
	}
	_, compiled := n.Compiled[path]
	return !compiled
}

// add takes what a file needs, which may be nil.
func (n *needed) add(entry int, path string, what *needs.Needs) {
	if source, ok := needs.Compiled(path); ok && len(n.Compiled) < maxCompiled {
		if n.Compiled == nil {
			n.Compiled = map[string]struct{}{}
		}
		n.Compiled[source] = struct{}{}
	}
	if what == nil {
		return
	}
	rec := needs.Append(nil, what)
	n.Heap = binary.AppendUvarint(n.Heap, uint64(entry-n.Next))
	n.Heap = binary.AppendUvarint(n.Heap, uint64(len(rec)))
	n.Heap = append(n.Heap, rec...)
	n.Next = entry + 1
}

// A needList finds the records of a layer.
type needList struct {
	once    sync.Once
	entries []int // ascending
	records [][]byte
}

// read fills the list; it stays empty if the section is damaged.
func (n *needList) read(l *Layer) {
	_ = guard(func() error {
		b := l.section(secNeeds)
		if got := crc(b); got != l.h.sections[secNeeds].crc {
			return corrupt(secNeeds.String(), 0, "checksum %08x, bytes have %08x", l.h.sections[secNeeds].crc, got)
		}
		var entries []int
		var records [][]byte
		for next := 0; len(b) > 0; next++ {
			skip, k := binary.Uvarint(b)
			if k <= 0 || skip >= uint64(l.h.entries)-uint64(next) {
				return corrupt(secNeeds.String(), 0, "record of an entry after %d of %d", next, l.h.entries)
			}
			size, m := binary.Uvarint(b[k:])
			if m <= 0 || size > uint64(len(b)-k-m) {
				return corrupt(secNeeds.String(), 0, "record of %d bytes", size)
			}
			next += int(skip)
			entries, records = append(entries, next), append(records, b[k+m:][:size])
			b = b[k+m+int(size):]
		}
		n.entries, n.records = entries, records
		return nil
	})
}

// Needs tells what the file of an entry needs: nil for nothing. known is false if the index does not
// say it. What it tells was not compared with the layer, even if the index was: it is a guess.
func (l *Layer) Needs(entry int) (what *needs.Needs, known bool) {
	if l.h.flags&flagNeeds == 0 {
		return nil, false
	}
	l.needs.once.Do(func() { l.needs.read(l) })
	if len(l.needs.entries) == 0 {
		return nil, false
	}
	i := sort.SearchInts(l.needs.entries, entry)
	if i == len(l.needs.entries) || l.needs.entries[i] != entry {
		return nil, true
	}
	err := guard(func() (err error) {
		what, err = needs.Decode(l.needs.records[i])
		return err
	})
	return what, err == nil
}
