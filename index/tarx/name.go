package tarx

import (
	"bytes"
	"strings"
)

const (
	whiteoutPrefix = ".wh."
	metaPrefix     = ".wh..wh."
	opaqueName     = ".wh..wh..opq"
	maxPart        = 255 // the longest file name of Linux filesystems, in bytes
	maxTarget      = 4095
)

// Clean makes a path relative and plain: empty and "." parts go, ".." takes the
// part before it away, by text, and stays at the root (ENT-14). "" is the root.
// Link targets of hard links are cleaned the same way (MRG-24).
func Clean(path string) string {
	return string(appendClean(nil, []byte(path)))
}

func appendClean(out, path []byte) []byte {
	base := len(out)
	for len(path) > 0 {
		part := path
		if i := bytes.IndexByte(path, '/'); i >= 0 {
			part, path = path[:i], path[i+1:]
		} else {
			path = nil
		}
		switch {
		case len(part) == 0, len(part) == 1 && part[0] == '.':
		case len(part) == 2 && part[0] == '.' && part[1] == '.':
			cut := bytes.LastIndexByte(out[base:], '/')
			out = out[:base+max(cut, 0)]
		default:
			if len(out) > base {
				out = append(out, '/')
			}
			out = append(out, part...)
		}
	}
	return out
}

// Hidden says whether a cleaned path lies at or below a name that starts with
// ".wh..wh.": such entries are never shown, but hard links may point at them (MRG-14).
func Hidden(path string) bool {
	return strings.HasPrefix(path, metaPrefix) || strings.Contains(path, "/"+metaPrefix)
}

// A nameClass says what a name means, whatever the record's type is.
type nameClass uint8

const (
	namePlain    nameClass = iota
	nameWhiteout           // the path is what it removes
	nameOpaque             // the path is the directory
	nameHidden             // a special of MRG-14, or below one
	nameInside             // below a whiteout's name (MRG-15)
)

// classify looks for whiteout names in a cleaned path, and returns the path
// that the entry is to have.
func classify(path []byte) (nameClass, []byte, error) {
	if !bytes.Contains(path, []byte(whiteoutPrefix)) {
		return namePlain, path, checkParts(path)
	}
	slash := bytes.LastIndexByte(path, '/')
	dir, base := path[:max(slash, 0)], path[slash+1:]
	class := namePlain
	for rest := dir; len(rest) > 0; {
		part, after, _ := bytes.Cut(rest, []byte{'/'})
		rest = after
		if bytes.HasPrefix(part, []byte(metaPrefix)) {
			class = nameHidden
		} else if bytes.HasPrefix(part, []byte(whiteoutPrefix)) {
			return nameInside, path, nil
		}
	}
	switch {
	case class == nameHidden:
		return class, path, checkParts(path)
	case string(base) == opaqueName:
		return nameOpaque, dir, checkParts(dir)
	case bytes.HasPrefix(base, []byte(metaPrefix)):
		return nameHidden, path, checkParts(path)
	case !bytes.HasPrefix(base, []byte(whiteoutPrefix)):
		return namePlain, path, checkParts(path)
	}
	name := base[len(whiteoutPrefix):]
	if len(name) == 0 || string(name) == "." || string(name) == ".." {
		return nameWhiteout, path, unsupportedf("whiteout without a name") // MRG-7
	}
	path = append(path[:slash+1], name...)
	return nameWhiteout, path, checkParts(path)
}

// checkParts refuses a path that no filesystem could hold (ENT-17).
func checkParts(path []byte) error {
	for len(path) > maxPart {
		i := bytes.IndexByte(path, '/')
		if i > maxPart || i < 0 {
			return unsupportedf("a part of the name is longer than %d bytes", maxPart)
		}
		path = path[i+1:]
	}
	return nil
}
