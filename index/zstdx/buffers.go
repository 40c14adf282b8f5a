package zstdx

import (
	"math/bits"
	"sync"
)

// Buffers of span decoders are kept in classes: class i holds 1<<i bytes.
const (
	minClass = 18 // 256 KiB
	maxClass = 26 // 64 MiB; larger ones are not kept
)

var bufferClasses [maxClass + 1]sync.Pool // of *[]byte

// getBuffer returns n bytes of any content.
func getBuffer(n int) []byte {
	c := max(bits.Len(uint(n-1)), minClass)
	if c > maxClass {
		return make([]byte, n)
	}
	if p, ok := bufferClasses[c].Get().(*[]byte); ok {
		return *p
	}
	return make([]byte, 1<<c)
}

// putBuffer takes back what getBuffer returned.
func putBuffer(b []byte) {
	b = b[:cap(b)]
	c := bits.Len(uint(len(b))) - 1
	if c < minClass || c > maxClass || len(b) != 1<<c {
		return
	}
	bufferClasses[c].Put(&b)
}
