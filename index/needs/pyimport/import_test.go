package pyimport_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"testing"

	"github.com/shalefs/shalefs/index/needs/pyimport"
)

// oracle is a Python program that compiles the modules of its standard library into a directory, and
// says of each what it imports, by its own disassembler and by its own parser.
const oracle = `
import ast, dis, glob, json, os, py_compile, sys, sysconfig, warnings
warnings.simplefilter("ignore")
out, lib = sys.argv[1], sysconfig.get_paths()["stdlib"]
found = []

def walk(nodes):
    for n in nodes:
        if isinstance(n, ast.Import):
            for a in n.names:
                yield {"Level": 0, "Name": a.name, "From": None}
        elif isinstance(n, ast.ImportFrom):
            yield {"Level": n.level, "Name": n.module or "", "From": [a.name for a in n.names]}
        elif not isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            yield from walk(ast.iter_child_nodes(n))

names = sorted(glob.glob(lib + "/*.py") + glob.glob(lib + "/*/*.py"))
if sys.argv[2] != "all":
    names = names[::8]
for i, name in enumerate(n for n in names if "/test/" not in n and "-packages/" not in n and "/lib2to3/" not in n):
    try:
        pyc = py_compile.compile(name, cfile="%s/%d.pyc" % (out, i), doraise=True)
        source = open(name, encoding="utf-8").read()
        tree = ast.parse(source)
    except Exception:
        continue
    code = compile(source, name, "exec", dont_inherit=True)
    compiled, last = [], []
    for ins in dis.get_instructions(code):
        if ins.opname in ("LOAD_CONST", "LOAD_SMALL_INT"):
            last = (last + [ins.argval])[-2:]
        elif ins.opname == "IMPORT_NAME":
            compiled.append({"Level": last[0], "Name": ins.argval, "From": list(last[1]) if last[1] else None})
    found.append({"PYC": pyc, "Path": name, "Compiled": compiled, "Source": list(walk(tree.body))})
json.dump(found, sys.stdout)
`

type module struct {
	PYC, Path        string
	Compiled, Source []pyimport.Import
}

// modules asks a Python for its modules: all, or an eighth.
func modules(t testing.TB, python, which string) []module {
	t.Helper()
	cmd := exec.Command(python, "-c", oracle, t.TempDir(), which)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v: %s", python, err, stderr.Bytes())
	}
	var ms []module
	if err := json.Unmarshal(out, &ms); err != nil {
		t.Fatal(err)
	}
	if len(ms) < 50 {
		t.Fatalf("only %d modules", len(ms))
	}
	return ms
}

// pythons are the interpreters to ask, and for what: python3 for some, or those that the environment
// names for all.
func pythons() (names []string, which string) {
	if s := os.Getenv("SHALEFS_PYTHONS"); s != "" {
		return strings.Fields(s), "all"
	}
	return []string{"python3"}, "some"
}

// Both functions agree with what Python itself says of each module of its standard library.
func TestAgainstPython(t *testing.T) {
	names, which := pythons()
	for _, python := range names {
		t.Run(python, func(t *testing.T) {
			n := 0
			for _, m := range modules(t, python, which) {
				b, err := os.ReadFile(m.PYC)
				if err != nil {
					t.Fatal(err)
				}
				got, err := pyimport.Compiled(b)
				if err != nil {
					t.Errorf("%s: %v", m.Path, err)
				} else if !reflect.DeepEqual(got, normal(m.Compiled)) {
					t.Errorf("%s, compiled: %+v, want %+v", m.Path, got, m.Compiled)
				}
				if b, err = os.ReadFile(m.Path); err != nil {
					t.Fatal(err)
				}
				if got := pyimport.Source(b); !reflect.DeepEqual(got, normal(m.Source)) {
					t.Errorf("%s: %+v, want %+v", m.Path, got, m.Source)
				}
				n += len(m.Compiled)
			}
			t.Logf("%d imports", n)
		})
	}
}

func normal(is []pyimport.Import) []pyimport.Import {
	if len(is) == 0 {
		return nil
	}
	return is
}

func TestSource(t *testing.T) {
	for _, test := range []struct {
		text string
		want []pyimport.Import
	}{
		{"", nil},
		{"import a", []pyimport.Import{{Name: "a"}}},
		{"import a.b as c, d ; import e # f", []pyimport.Import{{Name: "a.b"}, {Name: "d"}, {Name: "e"}}},
		{"from . import (a as b,\n  # c\n c,)\n", []pyimport.Import{{Level: 1, From: []string{"a", "c"}}}},
		{"from ...x.y import *", []pyimport.Import{{Level: 3, Name: "x.y", From: []string{"*"}}}},
		{"from a \\\r\n import b", []pyimport.Import{{Name: "a", From: []string{"b"}}}},
		{"try: import a\nexcept ImportError:\n\timport b\n", []pyimport.Import{{Name: "a"}, {Name: "b"}}},
		{"def f():\n  import a\n\nclass C:\n  import b\n  async def g(self):\n    import c\n  import d\n", []pyimport.Import{{Name: "b"}, {Name: "d"}}},
		{"'''\nimport a\n'''\nx = \"\"\"\nimport b\n\\\"\"\"\nimport c\"\"\"\nimport d\n", []pyimport.Import{{Name: "d"}}},
		{"x = 'it\\'s\nimport a\n", []pyimport.Import{{Name: "a"}}},
		{"x = [\nimport a\n]", nil},
		{"import\nfrom\nfrom import x\nfrom . x\nimport a b\n", nil},
	} {
		if got := pyimport.Source([]byte(test.text)); !reflect.DeepEqual(got, test.want) {
			t.Errorf("%q: %+v, want %+v", test.text, got, test.want)
		}
	}
}

// What is broken is an error, and neither takes long nor much.
func TestBroken(t *testing.T) {
	head := append([]byte{0xa7, 0x0d, '\r', '\n'}, make([]byte, 12)...)
	deep := bytes.Repeat([]byte(")\x01"), 1<<20)
	many := append([]byte("c"), make([]byte, 20)...)
	many = append(append(many, "s\x00\x00\x00\x00(\x00\x00\x30\x00"...), bytes.Repeat([]byte("N"), 3<<20)...)
	for name, body := range map[string]string{
		"empty": "", "unknown": "?", "no code": "N", "reference": "r\x05\x00\x00\x00", "length": "(\xff\xff\xff\x7f",
		"negative": "s\xff\xff\xff\xff", "deep": string(deep), "many": string(many), "dictionary": "{NN", "code": "c\x00",
	} {
		if _, err := pyimport.Compiled(append(head[:16:16], body...)); !errors.Is(err, pyimport.ErrFormat) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, b := range [][]byte{nil, []byte("\x7fELF"), append([]byte{1, 0, '\r', '\n'}, make([]byte, 100)...), make([]byte, pyimport.MaxSize+1)} {
		if pyimport.IsCompiled(b) {
			t.Errorf("%.8q taken for a module", b)
		}
		if _, err := pyimport.Compiled(b); !errors.Is(err, pyimport.ErrFormat) {
			t.Errorf("%.8q: %v", b, err)
		}
	}
}

// Of a module with very many imports the first ones count.
func TestMany(t *testing.T) {
	text := strings.Repeat("from a import b, c\n", 100_000)
	if n := len(pyimport.Source([]byte(text))); n < 1000 || n > 10_000 {
		t.Errorf("%d imports", n)
	}
	if is := pyimport.Source([]byte("import " + strings.Repeat("a, ", 100_000) + "b")); len(is) > 10_000 {
		t.Errorf("%d imports in a line", len(is))
	}
}

// The same of a compiled one, which can name one long name again and again in a few bytes.
func TestManyCompiled(t *testing.T) {
	long := func(n int) []byte { return binary.LittleEndian.AppendUint32(nil, uint32(n)) }
	b := append([]byte{0xa7, 0x0d, '\r', '\n'}, make([]byte, 12)...)
	b = append(append(b, 'c'), make([]byte, 20)...)
	const n = 50_000
	b = append(append(b, 's'), long(6*n)...)
	b = append(b, bytes.Repeat([]byte{100, 0, 100, 1, 108, 0}, n)...)
	b = append(append(append(b, ')', 2, 'i'), long(0)...), 'N')
	b = append(append(append(b, ')', 1, 'u'), long(100_000)...), bytes.Repeat([]byte{'a'}, 100_000)...)
	is, err := pyimport.Compiled(b)
	if err != nil || len(is) == 0 {
		t.Fatalf("%d imports, %v", len(is), err)
	}
	sum := 0
	for _, i := range is {
		sum += len(i.Name)
	}
	if sum > 1<<20 {
		t.Errorf("names of %d bytes", sum)
	}
}

func FuzzCompiled(f *testing.F) {
	for _, m := range modules(f, "python3", "some")[:20] {
		b, err := os.ReadFile(m.PYC)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		is, err := pyimport.Compiled(b)
		if err != nil && (!errors.Is(err, pyimport.ErrFormat) || is != nil) {
			t.Fatal(is, err)
		}
	})
}

func FuzzSource(f *testing.F) {
	f.Add([]byte("from ..a import (b as c, d)\ntry:\n  import e.f\nexcept: pass\n'''x'''\\\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, i := range pyimport.Source(b) {
			if i.Level == 0 && i.Name == "" {
				t.Fatalf("%q: %+v", b, i)
			}
		}
	})
}
