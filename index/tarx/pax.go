package tarx

import (
	"bytes"
	"strconv"
	"strings"
)

const xattrRecord = "SCHILY.xattr."

// attrs are the PAX records that concern us, of the records before one entry. A
// pointer that is nil means: the header's value holds (ENT-2).
type attrs struct {
	path, link             *string
	size, uid, gid         *int64
	mtime                  *int64
	nsec                   uint32
	xattrs                 []Xattr
	major, minor           string
	sparseName, sparseMap  string
	sparseSize, sparseReal string
	pairs                  []string // offset and numbytes records of sparse format 0.0, in order
}

// parse takes the content of one "x" record: lines "LENGTH KEY=VALUE\n", where LENGTH
// counts the whole line. Later records win over earlier ones.
func (a *attrs) parse(b []byte) error {
	for len(b) > 0 {
		sp := bytes.IndexByte(b[:min(len(b), 20)], ' ')
		if sp < 1 {
			return formatf("PAX record without a length")
		}
		n, err := strconv.ParseUint(string(b[:sp]), 10, 31)
		if err != nil || n > uint64(len(b)) || n < uint64(sp)+3 || b[n-1] != '\n' {
			return formatf("PAX record with a wrong length")
		}
		key, value, ok := bytes.Cut(b[sp+1:n-1], []byte{'='})
		if !ok || len(key) == 0 || bytes.IndexByte(key, 0) >= 0 {
			return formatf("PAX record without a key")
		}
		if err := a.set(key, value); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

func (a *attrs) set(key, value []byte) error {
	var err error
	switch string(key) {
	case "path":
		a.path, err = paxName(value)
	case "linkpath":
		a.link, err = paxName(value)
	case "size":
		if a.size, err = paxInt(value); err == nil && a.size != nil && *a.size < 0 {
			err = formatf("negative size")
		}
	case "uid":
		a.uid, err = paxInt(value)
	case "gid":
		a.gid, err = paxInt(value)
	case "mtime":
		err = a.setTime(string(value))
	case "GNU.sparse.major":
		a.major = string(value)
	case "GNU.sparse.minor":
		a.minor = string(value)
	case "GNU.sparse.name":
		if bytes.IndexByte(value, 0) >= 0 {
			return formatf("NUL in a PAX name")
		}
		a.sparseName = string(value)
	case "GNU.sparse.size":
		a.sparseSize = string(value)
	case "GNU.sparse.realsize":
		a.sparseReal = string(value)
	case "GNU.sparse.map":
		a.sparseMap = string(value)
	case "GNU.sparse.offset", "GNU.sparse.numbytes":
		if wantOffset := len(a.pairs)%2 == 0; wantOffset != (string(key) == "GNU.sparse.offset") {
			return formatf("sparse map records out of order")
		}
		a.pairs = append(a.pairs, string(value))
	default:
		if name, ok := strings.CutPrefix(string(key), xattrRecord); ok {
			a.setXattr(name, value)
		}
	}
	return err
}

func (a *attrs) setTime(v string) error {
	if v == "" {
		a.mtime, a.nsec = nil, 0
		return nil
	}
	sec, nsec, ok := paxTime(v)
	if !ok {
		return formatf("PAX mtime %q", v)
	}
	a.mtime, a.nsec = &sec, nsec
	return nil
}

func (a *attrs) setXattr(name string, value []byte) {
	x := Xattr{Name: name, Value: bytes.Clone(value)}
	a.xattrs = append(a.xattrs, x)
}

// paxName reads a path. Empty removes the record; a NUL refuses the entry (ENT-16).
func paxName(v []byte) (*string, error) {
	if len(v) == 0 {
		return nil, nil //nolint:nilnil // nil is "no such record", not a missing result
	}
	if bytes.IndexByte(v, 0) >= 0 {
		return nil, formatf("NUL in a PAX name")
	}
	s := string(v)
	return &s, nil
}

func paxInt(v []byte) (*int64, error) {
	if len(v) == 0 {
		return nil, nil //nolint:nilnil // nil is "no such record", not a missing result
	}
	n, ok := decimal(string(v))
	if !ok {
		return nil, formatf("PAX number %q", v)
	}
	return &n, nil
}
