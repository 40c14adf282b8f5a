package gzipx

import (
	"bytes"
	stdgzip "compress/gzip"
	"encoding/binary"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
)

// A stream is a gzip stream with what it decodes to.
type stream struct {
	name  string
	comp  []byte
	plain []byte
}

// gz compresses by std.
func gz(t testing.TB, plain []byte, level int) []byte {
	t.Helper()
	var buf bytes.Buffer
	zw, err := stdgzip.NewWriterLevel(&buf, level)
	if err != nil {
		t.Fatal(err)
	}
	write(t, zw, plain)
	return buf.Bytes()
}

func kgz(t testing.TB, plain []byte, level int) []byte {
	t.Helper()
	var buf bytes.Buffer
	zw, err := gzip.NewWriterLevel(&buf, level)
	if err != nil {
		t.Fatal(err)
	}
	write(t, zw, plain)
	return buf.Bytes()
}

func write(t testing.TB, zw io.WriteCloser, plain []byte) {
	t.Helper()
	if _, err := zw.Write(plain); err != nil {
		t.Fatal(err)
	}
	if err := zw.Close(); err != nil {
		t.Fatal(err)
	}
}

// synced flushes after every n bytes, as parallel compressors do; many blocks are
// empty, and short ones use the fixed code.
func synced(t testing.TB, plain []byte, n int) []byte {
	t.Helper()
	var buf bytes.Buffer
	zw := stdgzip.NewWriter(&buf)
	for len(plain) > 0 {
		m := min(n, len(plain))
		if _, err := zw.Write(plain[:m]); err != nil {
			t.Fatal(err)
		}
		plain = plain[m:]
		if err := zw.Flush(); err != nil {
			t.Fatal(err)
		}
		if err := zw.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	if err := zw.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// members makes one member of every n bytes, with an empty one at the end and all fields
// of the header that the writer knows.
func members(t testing.TB, plain []byte, n int) []byte {
	t.Helper()
	var buf bytes.Buffer
	for {
		m := min(n, len(plain))
		zw := stdgzip.NewWriter(&buf)
		zw.Extra = []byte{'B', 'C', 2, 0, 1, 2}
		zw.Name = "name"
		zw.Comment = "a comment"
		zw.ModTime = time.Unix(1e9, 0)
		write(t, zw, plain[:m])
		if m == 0 {
			return buf.Bytes()
		}
		plain = plain[m:]
	}
}

// withHeader puts a member's header of ours before the deflate data of a stream of std.
func withHeader(comp []byte, flags byte) []byte {
	h := []byte{0x1f, 0x8b, 8, flags, 1, 2, 3, 4, 2, 255}
	if flags&flagExtra != 0 {
		h = append(h, 5, 0, 'e', 'x', 't', 'r', 'a')
	}
	if flags&flagName != 0 {
		h = append(h, "a name\x00"...)
	}
	if flags&flagComment != 0 {
		h = append(h, "comment\x00"...)
	}
	if flags&flagHeaderCRC != 0 {
		h = binary.LittleEndian.AppendUint16(h, uint16(crc32.ChecksumIEEE(h)))
	}
	return append(h, comp[10:]...)
}

// oneBlock writes by hand a member of one block of literals, the last and only one.
func oneBlock(plain []byte, k kind) []byte {
	w := bitWriter{b: []byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255}, n: 80}
	// code puts a code, whose first bit is its highest.
	code := func(c uint64, n uint) {
		for i := n; i > 0; i-- {
			w.put(c>>(i-1), 1)
		}
	}
	switch k {
	case inStored: // as many blocks as are needed
		for rest := plain; ; {
			m := min(len(rest), 65535)
			w.put(0, 8)
			if m == len(rest) {
				w.b[len(w.b)-1] = 1
			}
			w.put(uint64(m), 16)
			w.put(^uint64(m), 16)
			w.b, w.n = append(w.b, rest[:m]...), w.n+8*uint(m)
			if rest = rest[m:]; len(rest) == 0 {
				break
			}
		}
	case inFixed:
		w.put(1, 1)
		w.put(1, 2)
		for _, c := range plain {
			if c < 144 {
				code(0x30+uint64(c), 8)
			} else {
				code(0x190+uint64(c)-144, 9)
			}
		}
		code(0, 7)
	case inDyn:
		// Literals 0 to 254 have 8 bits, 255 and the end 9, one distance has 1.
		w.put(1, 1)
		w.put(2, 2)
		w.put(0, 5)
		w.put(0, 5)
		w.put(15, 4)
		for _, sym := range lenOrder {
			w.put(map[uint8]uint64{8: 1, 1: 2, 9: 2}[sym], 3)
		}
		for range 255 {
			code(0, 1)
		}
		code(3, 2)
		code(3, 2)
		code(2, 2)
		for _, c := range plain {
			if c < 255 {
				code(uint64(c), 8)
			} else {
				code(0x1fe, 9)
			}
		}
		code(0x1ff, 9)
	}
	b := binary.LittleEndian.AppendUint32(w.b, crc32.ChecksumIEEE(plain))
	return binary.LittleEndian.AppendUint32(b, uint32(len(plain)))
}

func random(rng *rand.Rand, n int) []byte {
	b := make([]byte, 0, n+8)
	for len(b) < n {
		b = binary.LittleEndian.AppendUint64(b, rng.Uint64())
	}
	return b[:n]
}

// mixed is text, noise, zeros and repetitions of all distances.
func mixed(rng *rand.Rand, n int) []byte {
	var out []byte
	for len(out) < n {
		m := rng.IntN(60000)
		switch rng.IntN(5) {
		case 0:
			out = append(out, random(rng, m)...)
		case 1:
			out = append(out, make([]byte, m)...)
		case 2:
			period := random(rng, 1+rng.IntN(20))
			out = append(out, bytes.Repeat(period, m/len(period))...)
		case 3:
			if len(out) > 0 {
				from := rng.IntN(len(out))
				out = append(out, out[from:min(len(out), from+m)]...)
			}
		default:
			out = append(out, text(rng, m)...)
		}
	}
	return out[:n]
}

var examples []stream

// streams are examples of all kinds.
func streams(t testing.TB) []stream {
	t.Helper()
	if examples == nil {
		examples = makeStreams(t)
	}
	return examples
}

func makeStreams(t testing.TB) []stream {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, 2))
	words, mix, noise := text(rng, 210<<10), mixed(rng, 250<<10), random(rng, 200<<10)
	zero := make([]byte, 300<<10)
	s := []stream{
		{"std 1", gz(t, mix, 1), mix},
		{"std 6", gz(t, words, 6), words},
		{"std 9", gz(t, mix, 9), mix},
		{"huffman only", gz(t, words, stdgzip.HuffmanOnly), words},
		{"stored", gz(t, words, 0), words},
		{"noise", gz(t, noise, 6), noise},
		{"zeros", gz(t, zero, 6), zero},
		{"klauspost 1", kgz(t, mix, 1), mix},
		{"klauspost 6", kgz(t, words, 6), words},
		{"klauspost 9", kgz(t, mix, 9), mix},
		{"klauspost stateless", kgz(t, words, gzip.StatelessCompression), words},
		{"sync markers", synced(t, mix, 9000), mix},
		{"fixed code", synced(t, words[:200<<10], 60), words[:200<<10]},
		{"members of 70000", members(t, mix, 70000), mix},
		{"members of 1000", members(t, words[:100<<10], 1000), words[:100<<10]},
		{"concatenated", append(gz(t, words, 6), kgz(t, noise, 6)...), append(words[:len(words):len(words)], noise...)},
		{"one stored block", oneBlock(noise[:100000], inStored), noise[:100000]},
		{"one fixed block", oneBlock(noise, inFixed), noise},
		{"one dynamic block", oneBlock(noise, inDyn), noise},
		{"two of one block", append(oneBlock(noise[:70000], inDyn), oneBlock(noise, inFixed)...), append(noise[:70000:70000], noise...)},
		{"one byte", gz(t, words[:1], 6), words[:1]},
		{"empty", gz(t, nil, 6), nil},
		{"empty members", append(append(gz(t, nil, 6), gz(t, nil, 0)...), members(t, words[:10], 5)...), words[:10]},
	}
	for flags := byte(0); flags < 32; flags += 2 {
		s = append(s, stream{"header", withHeader(gz(t, words[:100], 6), flags), words[:100]})
	}
	return s
}
