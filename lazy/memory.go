package lazy

import (
	"container/list"
	"sync"
	"sync/atomic"
)

// A buf is the content of one chunk, shared by all who hold it and used again when
// nobody does.
type buf struct {
	b    []byte
	refs atomic.Int32
}

var bufs = sync.Pool{New: func() any { return &buf{b: make([]byte, ChunkBytes)} }}

// newBuf gives a buffer of n bytes, n <= ChunkBytes, held once.
func newBuf(n int) *buf {
	x := bufs.Get().(*buf)
	x.b = x.b[:n]
	x.refs.Store(1)
	return x
}

func (x *buf) hold() *buf {
	x.refs.Add(1)
	return x
}

func (x *buf) free() {
	switch n := x.refs.Add(-1); {
	case n == 0:
		x.b = x.b[:cap(x.b)]
		bufs.Put(x)
	case n < 0:
		panic("lazy: buffer freed twice")
	}
}

type memKey struct {
	l     *Loader
	chunk int
}

type memItem struct {
	key memKey
	x   *buf
}

// A memory keeps the chunks used last, checked ones only.
type memory struct {
	max int64

	mu    sync.Mutex // guards what follows
	bytes int64
	items map[memKey]*list.Element
	order *list.List // of memItem, the latest first
}

func newMemory(maxBytes int64) *memory {
	return &memory{max: maxBytes, items: map[memKey]*list.Element{}, order: list.New()}
}

// get returns the chunk, held for the caller, or nil.
func (m *memory) get(k memKey) *buf {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.items[k]
	if e == nil {
		return nil
	}
	m.order.MoveToFront(e)
	return e.Value.(memItem).x.hold()
}

// put keeps a chunk; the caller's hold stays its own.
func (m *memory) put(k memKey, x *buf) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.items[k] != nil || m.max < ChunkBytes {
		return
	}
	m.items[k] = m.order.PushFront(memItem{k, x.hold()})
	m.bytes += ChunkBytes
	for m.bytes > m.max {
		m.drop(m.order.Back())
	}
}

func (m *memory) has(k memKey) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.items[k] != nil
}

func (m *memory) drop(e *list.Element) {
	it := m.order.Remove(e).(memItem)
	delete(m.items, it.key)
	m.bytes -= ChunkBytes
	it.x.free()
}

// forget drops the chunks of one loader.
func (m *memory) forget(l *Loader) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for e := m.order.Front(); e != nil; {
		next := e.Next()
		if e.Value.(memItem).key.l == l {
			m.drop(e)
		}
		e = next
	}
}

func (m *memory) clear() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for m.order.Len() > 0 {
		m.drop(m.order.Back())
	}
}
