package needs

import (
	"bytes"
	"io"
	"path"
	"strings"

	"github.com/shalefs/shalefs/index/needs/dynlink"
	"github.com/shalefs/shalefs/index/needs/pyimport"
)

// Needs is what one file needs: of the one kind or of the other.
type Needs struct {
	Object  *dynlink.Object   // of a program or library, else nil
	Imports []pyimport.Import // of a Python module
}

// IsSource says whether a path is that of the text of a Python module.
func IsSource(name string) bool { return strings.HasSuffix(name, ".py") }

// May says whether a file of this path that begins with p may need others.
func May(name string, p []byte) bool {
	return dynlink.IsObject(p) || pyimport.IsCompiled(p) || IsSource(name)
}

// Read reads what a file of size bytes needs; nil if that is nothing, or cannot be told. Errors: those of r.
func Read(name string, r io.ReaderAt, size int64) (*Needs, error) {
	head := make([]byte, min(size, telling))
	if err := readFull(r, head); err != nil {
		return nil, err
	}
	if !May(name, head) {
		return nil, nil
	}
	if dynlink.IsObject(head) {
		o, err := dynlink.Read(r, size)
		if err != nil {
			return nil, err
		}
		return &Needs{Object: o}, nil
	}
	if size > pyimport.MaxSize {
		return nil, nil
	}
	b := make([]byte, size)
	if err := readFull(r, b); err != nil {
		return nil, err
	}
	return module(b), nil
}

func readFull(r io.ReaderAt, b []byte) error {
	n, err := r.ReadAt(b, 0)
	if n == len(b) {
		return nil
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// module reads what the module b imports.
func module(b []byte) *Needs {
	var imports []pyimport.Import
	if pyimport.IsCompiled(b) {
		imports, _ = pyimport.Compiled(b) // of a broken one nothing can be told
	} else {
		imports = pyimport.Source(b)
	}
	if len(imports) == 0 {
		return nil
	}
	return &Needs{Imports: imports}
}

// Of is Read for a file whose content is b.
func Of(name string, b []byte) *Needs {
	if !May(name, b) {
		return nil
	}
	if dynlink.IsObject(b) {
		o, err := dynlink.Read(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return nil
		}
		return &Needs{Object: o}
	}
	if len(b) > pyimport.MaxSize {
		return nil
	}
	return module(b)
}

// CacheDir is where compiled modules lie, beside the texts (PEP 3147).
const CacheDir = "__pycache__"

// Compiled returns of a compiled module's path the path of the text that it was made of.
func Compiled(name string) (source string, ok bool) {
	dir, file := path.Split(name)
	parent, ok := strings.CutSuffix(strings.TrimSuffix(dir, "/"), CacheDir)
	if !ok || !strings.HasSuffix(file, ".pyc") || parent != "" && !strings.HasSuffix(parent, "/") {
		return "", false
	}
	module, _, _ := strings.Cut(file, ".")
	return parent + module + ".py", true
}
