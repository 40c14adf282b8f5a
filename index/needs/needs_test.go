package needs_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/shalefs/shalefs/index/needs"
	"github.com/shalefs/shalefs/index/needs/dynlink"
	"github.com/shalefs/shalefs/index/needs/needstest"
	"github.com/shalefs/shalefs/index/needs/pyimport"
)

// files are files of this machine that need others.
func files(t *testing.T) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	for _, pattern := range []string{"/bin/*", "/lib/*/*.so*", "/usr/lib/*/*.so*", "/usr/lib/python3*/*.py", "/usr/lib/python3*/__pycache__/*.pyc"} {
		names, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names[:min(len(names), 200)] {
			if b, err := os.ReadFile(name); err == nil && len(b) <= 64<<20 {
				out[name] = b
			}
		}
	}
	out["large"] = needstest.Object(needs.MaxSample+1<<20, "/lib/ld.so", "$ORIGIN", "libone.so")
	out["edge"] = needstest.Object(needs.MaxSample+needstest.Writable-100, "", "", "libone.so")
	return out
}

// What files need is the same after it was written and read, and for who sees them go by.
func TestFiles(t *testing.T) {
	objects, modules, large := 0, 0, 0
	var s needs.Sample
	for name, b := range files(t) {
		want := needs.Of(name, b)
		if want != nil {
			if want.Object != nil {
				objects++
			} else {
				modules++
			}
			got, err := needs.Decode(needs.Append(nil, want))
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%s: %+v, %v, not %+v", name, got, err, want)
			}
		}
		if len(b) > needs.MaxSample && (want == nil || want.Object == nil) {
			continue
		}
		s.Begin(name, int64(len(b)))
		for rest := b; len(rest) > 0; {
			n := min(len(rest), 100_003)
			s.Write(rest[:n])
			rest = rest[n:]
		}
		if got := s.End(); !reflect.DeepEqual(got, want) {
			t.Errorf("%s of %d bytes: a sample says %+v, not %+v", name, len(b), got, want)
		} else if len(b) > needs.MaxSample {
			large++
		}
		read, err := needs.Read(name, bytes.NewReader(b), int64(len(b)))
		if err == nil && !reflect.DeepEqual(read, want) {
			t.Errorf("%s: Read says %+v, not %+v", name, read, want)
		}
	}
	if objects < 10 || modules < 50 || large < 2 {
		t.Errorf("only %d objects, %d modules, %d large ones", objects, modules, large)
	}
}

func TestCompiled(t *testing.T) {
	for name, want := range map[string]string{
		"usr/lib/python3.11/__pycache__/os.cpython-311.pyc": "usr/lib/python3.11/os.py",
		"a/__pycache__/x.y.opt-1.pyc":                       "a/x.py",
		"__pycache__/top.cpython-38.pyc":                    "top.py",
		"a/x.pyc":                                           "",
		"a/not__pycache__/x.pyc":                            "",
		"a/__pycache__/x.py":                                "",
		"__pycache__":                                       "",
	} {
		if got, ok := needs.Compiled(name); got != want || ok != (want != "") {
			t.Errorf("%s: %q, %v", name, got, ok)
		}
	}
}

// A file that says nothing, or that is broken, needs nothing.
func TestNothing(t *testing.T) {
	object := needstest.Object(needstest.Least, "", "", "libone.so")
	for name, b := range map[string][]byte{
		"empty": nil, "empty.py": nil, "text": []byte("import os"), "none.py": []byte("x = 1\n"),
		"cut.pyc": needstest.Compiled("os")[:40], "cut.so": object[:100], "short.so": object[:3],
		"long.py": append(bytes.Repeat([]byte("#\n"), pyimport.MaxSize/2), "import os\n"...),
	} {
		if n := needs.Of(name, b); n != nil {
			t.Errorf("%s: %+v", name, n)
		}
	}
}

// However a file goes by, the same is known of it.
func TestSlices(t *testing.T) {
	b := needstest.Object(2<<20, "/lib/ld.so", "", "libone.so")
	want := needs.Of("x", b)
	for _, n := range []int{1, 7, 63, 64, 4096} {
		var s needs.Sample
		s.Begin("x", int64(len(b)))
		for rest := b; len(rest) > 0; rest = rest[min(n, len(rest)):] {
			s.Write(rest[:min(n, len(rest))])
		}
		if got := s.End(); !reflect.DeepEqual(got, want) {
			t.Errorf("slices of %d: %+v, not %+v", n, got, want)
		}
	}
}

// A module that says one long name again and again, or very many, makes no long record.
func TestLongRecords(t *testing.T) {
	long := strings.Repeat("a", 200)
	var names []string
	for range 120 {
		names = append(names, long)
	}
	compiled := needstest.Compiled(names...)
	text := strings.Repeat("from "+strings.Repeat("b", 100_000)+" import c\n", 40)
	many := "from a import " + strings.Repeat("x, ", 1_000_000) + "x\n"
	for name, b := range map[string][]byte{"long.pyc": compiled, "long.py": []byte(text), "many.py": []byte(many)} {
		if n := needs.Of(name, b); n != nil && len(needs.Append(nil, n)) > needs.MaxRecord {
			t.Errorf("%s: a record of %d bytes", name, len(needs.Append(nil, n)))
		}
	}
}

// A record that has more than a file can is none.
func TestDecodeBounds(t *testing.T) {
	many := make([]string, 10_000)
	for name, n := range map[string]*needs.Needs{
		"libraries":   {Object: &dynlink.Object{Needed: many}},
		"directories": {Object: &dynlink.Object{RunPath: many}},
		"a long name": {Object: &dynlink.Object{Interp: strings.Repeat("a", dynlink.MaxName+1)}},
		"parts":       {Object: &dynlink.Object{Reads: make([]dynlink.Range, 1000)}},
		"imports":     {Imports: make([]pyimport.Import, 10_000)},
		"names":       {Imports: []pyimport.Import{{From: many}}},
		"bytes":       {Imports: []pyimport.Import{{Name: strings.Repeat("a", needs.MaxRecord)}}},
	} {
		if got, err := needs.Decode(needs.Append(nil, n)); !errors.Is(err, needs.ErrRecord) {
			t.Errorf("%s: %v, %v", name, got != nil, err)
		}
	}
}

// FuzzDecode: whatever the bytes are, reading them gives an error or a record that is written and read
// as itself.
func FuzzDecode(f *testing.F) {
	f.Add(needs.Append(nil, needs.Of("x", needstest.Object(needstest.Least, "/lib/ld.so", "/a:$ORIGIN", "libone.so"))))
	f.Add(needs.Append(nil, needs.Of("x.py", []byte("import a.b, c\nfrom ..d import e, f\n"))))
	f.Add([]byte{2, 0xff, 0xff, 0x03})
	f.Fuzz(func(t *testing.T, b []byte) {
		n, err := needs.Decode(b)
		if err != nil {
			if !errors.Is(err, needs.ErrRecord) {
				t.Fatal(err)
			}
			return
		}
		again, err := needs.Decode(needs.Append(nil, n))
		if err != nil || !reflect.DeepEqual(again, n) {
			t.Fatalf("%+v, %v, not %+v", again, err, n)
		}
	})
}
