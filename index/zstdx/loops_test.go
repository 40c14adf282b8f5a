package zstdx

import (
	"bytes"
	"math/bits"
	"slices"
	"syscall"
	"testing"
	"unsafe"
)

// The loops in assembly against the loops in Go, on memory that ends where it may be read
// or written no more.

// A fence is memory between two pages that cannot be touched.
type fence struct {
	all  []byte
	free []byte
}

func newFence(t testing.TB, size int) *fence {
	t.Helper()
	page := syscall.Getpagesize()
	size = (size + page - 1) / page * page
	all, err := syscall.Mmap(-1, 0, size+2*page, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Munmap(all); err != nil {
			t.Error(err)
		}
	})
	for _, p := range [][]byte{all[:page], all[page+size:]} {
		if err := syscall.Mprotect(p, syscall.PROT_NONE); err != nil {
			t.Fatal(err)
		}
	}
	return &fence{all, all[page : page+size]}
}

// low copies b to the front of the memory, high to its end.
func (f *fence) low(b []byte) []byte  { return f.free[:copy(f.free, b):len(b)] }
func (f *fence) high(b []byte) []byte { p := f.free[len(f.free)-len(b):]; return p[:copy(p, b)] }

// loops are the two forms of a loop; one if there is no assembly.
func loops[T any](plain, asm T) []T {
	if !haveAsm {
		return []T{plain}
	}
	return []T{plain, asm}
}

// fuzzTables makes three tables from any bytes.
func fuzzTables(d *decoder, b []byte) bool {
	for i := range numFSE {
		if len(b) < 2 {
			return false
		}
		mode, arg := b[0]&3, b[1]
		e := desc{kind: descPredefined}
		switch {
		case mode == 1:
			e = desc{kind: descRLE, sym: arg % uint8(fseLimits[i].maxSym+1)}
		case mode > 1:
			n := min(len(b)-1, int(b[0]>>2))
			e = desc{kind: descBytes, raw: b[1 : 1+n]}
			b = b[n:]
		}
		b = b[min(len(b), 2):]
		if d.define(i, e) != nil {
			return false
		}
	}
	return true
}

// FuzzUnpack decodes any bits with any tables by both loops.
func FuzzUnpack(f *testing.F) {
	tables := bytes.Repeat([]byte{0, 0}, 3)
	long := bytes.Repeat([]byte{0x5a, 0xc3, 0x91, 0x07, 0xfe}, 60)
	f.Add(tables, long, uint16(50), uint64(1<<20), uint32(1<<20), uint32(2), true)
	f.Add([]byte{1, 30, 1, 31, 1, 51}, long, uint16(20), uint64(1<<20), uint32(1<<31), uint32(1), false)
	f.Add([]byte{1, 35, 1, 31, 1, 52}, long, uint16(20), uint64(1<<20), uint32(1<<31), uint32(0), true)
	for i, c := range predefinedCounts {
		b := writeCounts(c.norm, c.log)
		t := append([]byte{byte(len(b)<<2 | 2)}, b...)
		f.Add(append(append(bytes.Repeat([]byte{0, 0}, i), append(t, 0)...), tables...), long, uint16(60), uint64(9), uint32(300), uint32(7), i == 1)
	}
	in := newFence(f, 70<<10)
	f.Fuzz(func(t *testing.T, tables, stream []byte, n uint16, since uint64, window, rep uint32, note bool) {
		if len(stream) == 0 || len(stream) > 64<<10 || stream[len(stream)-1] == 0 || n == 0 {
			return
		}
		d := newDecoder()
		if !fuzzTables(d, tables) {
			return
		}
		b := append(make([]byte, headroom), stream...)
		type result struct {
			job  unpackJob
			out  []seq
			refs []uint64
		}
		var all []result
		for k, place := range []func([]byte) []byte{in.low, in.high} {
			b := place(b)
			for m := range loops(0, 1) {
				r := result{out: make([]seq, n)}
				r.job = unpackJob{
					tabs: &d.tab, in: &b[0], left: len(b)*8 - 9 + bits.Len8(b[len(b)-1]), out: &r.out[0], n: int(n),
					reps: [3]uint32{rep, rep >> 3, rep << 3}, window: uint64(window), since: since % (1 << 50), start: since % (1 << 51),
				}
				if note {
					r.refs = make([]uint64, n)
					r.job.refs = &r.refs[0]
				}
				if m == 0 {
					r.job.loop(b, r.out, r.refs)
				} else {
					unpackLoop(&r.job)
				}
				r.job.in, r.job.out, r.job.refs = nil, nil, nil
				r.job.bad >>= 63
				if r.refs = r.refs[:r.job.nrefs]; r.job.short {
					r = result{}
				}
				if all = append(all, r); k+m > 0 {
					a := all[0]
					if a.job != r.job || !slices.Equal(a.out, r.out) || !slices.Equal(a.refs, r.refs) {
						t.Fatalf("place %d, loop %d: %+v, in Go %+v", k, m, r, a)
					}
				}
			}
		}
	})
}

// FuzzExecute runs any sequences that unpack lets through by both loops, and byte by byte.
func FuzzExecute(f *testing.F) {
	f.Add([]byte("0123456789abcdefghijklmnopqrstuvwxyz"), uint16(40), []byte{3, 5, 1, 0, 17, 33, 2, 0, 40, 90, 15, 0, 0, 200, 16, 0, 33, 70, 31, 0, 1, 3, 40, 0})
	f.Add([]byte("x"), uint16(1), []byte{0, 255, 1, 0, 255, 4, 0, 1, 16, 32, 17, 0, 16, 16, 16, 0, 32, 48, 32, 0, 0, 9, 255, 255})
	for off := range 34 {
		var list []byte
		for i := range 60 {
			list = append(list, byte(i*i), byte(3+i*7), byte(off+1), 0)
		}
		f.Add([]byte("history of some length, not a multiple of sixteen"), uint16(90), list)
	}
	dst, lits, stock := newFence(f, 200<<10), newFence(f, 200<<10), make([]byte, 200<<10)
	for i := range stock {
		stock[i] = byte(i*i>>7 ^ i)
	}
	f.Fuzz(func(t *testing.T, head []byte, cur uint16, list []byte) {
		if len(list) < 4 || cur > 40<<10 {
			return
		}
		var seqs []seq
		total, litTotal := 0, 0
		for ; len(list) >= 4; list = list[4:] {
			s := seq{uint32(list[0]), uint32(list[1]), uint32(list[2]) | uint32(list[3])<<8}
			if s.lit == 255 {
				s.lit = 3000
			}
			if s.match == 255 {
				s.match = 5000
			}
			s.off = max(s.off, 1)
			s.match = max(s.match, 3)
			if total+int(s.lit+s.match) > maxBlock {
				break
			}
			total += int(s.lit + s.match)
			litTotal += int(s.lit)
			seqs = append(seqs, s)
		}
		if len(seqs) == 0 {
			return
		}
		history := append(slices.Clone(head[:min(len(head), int(cur))]), stock...)[:cur]

		// Byte by byte, up to the first match from before the front.
		want := slices.Clone(history)
		lit, next := stock[:litTotal], 0
		for _, s := range seqs {
			want = append(want, lit[:s.lit]...)
			lit = lit[s.lit:]
			if int(s.off) > len(want) {
				break
			}
			for range s.match {
				want = append(want, want[len(want)-int(s.off)])
			}
			next++
		}

		for m := range loops(0, 1) {
			for k, place := range []func(*fence, []byte) []byte{(*fence).low, (*fence).high} {
				buf := place(dst, append(slices.Clone(history), make([]byte, total+slack)...))
				l := place(lits, append(slices.Clone(stock[:litTotal]), make([]byte, slack)...))
				j := executeJob{seqs: &seqs[0], n: len(seqs), front: &buf[0], at: int(cur), lit: unsafe.Pointer(&l[0])}
				if m == 0 {
					j.loop()
				} else {
					executeLoop(&j)
				}
				if j.next != next || j.at != len(want) || !bytes.Equal(buf[:j.at], want) {
					t.Fatalf("loop %d, place %d: %d of %d sequences, at %d, want %d and %d", m, k, j.next, len(seqs), j.at, next, len(want))
				}
				if got := uintptr(j.lit) - uintptr(unsafe.Pointer(&l[0])); int(got) != litTotal-len(lit) {
					t.Fatalf("loop %d, place %d: %d literals, want %d", m, k, got, litTotal-len(lit))
				}
			}
		}
	})
}
