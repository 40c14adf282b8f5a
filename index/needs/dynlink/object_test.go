package dynlink_test

import (
	"bytes"
	"debug/elf"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/shalefs/shalefs/index/needs/dynlink"
)

// objects are files of this machine that are dynamically linked.
func objects(t testing.TB) []string {
	t.Helper()
	var out []string
	for _, pattern := range []string{"/bin/*", "/lib/*.so*", "/lib/*/*.so*", "/usr/lib/*/*.so*"} {
		names, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range names {
			if f, err := elf.Open(n); err == nil {
				if f.Section(".dynamic") != nil {
					out = append(out, n)
				}
				_ = f.Close()
			}
			if len(out) >= 400 {
				return out
			}
		}
	}
	if len(out) == 0 {
		t.Fatal("no dynamically linked file on this machine")
	}
	return out
}

// Read agrees with the standard library, and names the parts that the linker reads.
func TestReadAgainstDebugELF(t *testing.T) {
	for _, name := range objects(t) {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		o, err := dynlink.Read(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		f, err := elf.NewFile(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		want, err := f.ImportedLibraries()
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(o.Needed, want) {
			t.Errorf("%s: needed %q, want %q", name, o.Needed, want)
		}
		if s := f.Section(".interp"); s != nil {
			p, err := s.Data()
			if err != nil || o.Interp != string(bytes.TrimRight(p, "\x00")) {
				t.Errorf("%s: interpreter %q, want %q, %v", name, o.Interp, p, err)
			}
		}
		head := b[:min(len(b), 4096)]
		if r, ok := dynlink.Dynamic(head, int64(len(b))); !ok || r.Off != int64(f.Section(".dynamic").Offset) {
			t.Errorf("%s: dynamic section at %v, %v, not at %d", name, r, ok, f.Section(".dynamic").Offset)
		}
		for _, section := range []string{".dynstr", ".dynsym", ".rela.dyn", ".rela.plt", ".dynamic", ".data"} {
			s := f.Section(section)
			if s == nil || s.Size == 0 || s.Type == elf.SHT_NOBITS {
				continue
			}
			if !slices.ContainsFunc(o.Reads, func(r dynlink.Range) bool {
				return r.Off <= int64(s.Offset) && int64(s.Offset+s.Size) <= r.End
			}) {
				t.Errorf("%s: %s at [%d, %d) is in none of %v", name, section, s.Offset, s.Offset+s.Size, o.Reads)
			}
		}
	}
}

func TestReadRefuses(t *testing.T) {
	head := make([]byte, 64)
	copy(head, "\x7fELF\x02\x01\x01")
	bad := map[string][]byte{
		"empty":       {},
		"text":        []byte("#!/bin/sh\necho no object, but long enough for a header of the smaller class\n"),
		"short":       head[:40],
		"class":       append([]byte("\x7fELF\x03\x01\x01"), make([]byte, 60)...),
		"byte order":  append([]byte("\x7fELF\x02\x03\x01"), make([]byte, 60)...),
		"segments":    func() []byte { b := bytes.Clone(head); b[54], b[56], b[57] = 56, 0xFF, 0xFF; return b }(),
		"cut headers": func() []byte { b := bytes.Clone(head); b[32], b[54], b[56] = 64, 56, 4; return b }(),
	}
	for name, b := range bad {
		if _, err := dynlink.Read(bytes.NewReader(b), int64(len(b))); !errors.Is(err, dynlink.ErrFormat) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if o, err := dynlink.Read(bytes.NewReader(head), 64); err != nil || len(o.Reads) != 0 {
		t.Errorf("an object without segments: %+v, %v", o, err)
	}
}

// Whatever the bytes are, Read ends, and what it names is inside the file.
func FuzzRead(f *testing.F) {
	for _, name := range objects(f) {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		if len(b) < 16<<10 {
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		o, err := dynlink.Read(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return
		}
		if len(o.Needed) > 256 || len(o.Reads) > 129 {
			t.Fatalf("%d libraries, %d parts", len(o.Needed), len(o.Reads))
		}
		for _, r := range o.Reads {
			if r.Off < 0 || r.End < r.Off || r.End > int64(len(b)) {
				t.Fatalf("part %+v of %d bytes", r, len(b))
			}
		}
	})
}
