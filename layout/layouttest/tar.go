package layouttest

import (
	"archive/tar"
	"bytes"
	"maps"
	"slices"
	"time"
)

// An Entry is a part of a hand-made tar: a header with its content, or bytes as they are.
type Entry struct {
	tar.Header        // Size is set from Content where that is not empty
	Content    []byte // content of a regular file
	Raw        []byte // if not nil, these bytes stand in the tar, and nothing else of the entry counts
}

// File makes a regular file's entry.
func File(name string, content string) Entry {
	return Entry{Header: header(name, tar.TypeReg, 0o644), Content: []byte(content)}
}

// Dir makes a directory's entry.
func Dir(name string) Entry {
	return Entry{Header: header(name, tar.TypeDir, 0o755)}
}

// Symlink makes a symbolic link's entry.
func Symlink(name, target string) Entry {
	h := header(name, tar.TypeSymlink, 0o777)
	h.Linkname = target
	return Entry{Header: h}
}

// Hardlink makes a hard link's entry.
func Hardlink(name, target string) Entry {
	h := header(name, tar.TypeLink, 0o644)
	h.Linkname = target
	return Entry{Header: h}
}

// Raw makes bytes that stand in the tar as they are: headers made by hand, garbage.
func Raw(b []byte) Entry { return Entry{Raw: b} }

func header(name string, typ byte, mode int64) tar.Header {
	return tar.Header{Name: name, Typeflag: typ, Mode: mode, ModTime: time.Unix(1700000000, 0)}
}

// Tar makes a tar of entries, with the two zero blocks at its end.
func Tar(entries ...Entry) []byte {
	return append(TarOpen(entries...), make([]byte, 1024)...)
}

// TarOpen is Tar without the zero blocks at the end.
func TarOpen(entries ...Entry) []byte {
	var buf bytes.Buffer
	for _, e := range entries {
		if e.Raw != nil {
			must(buf.Write(e.Raw))
			continue
		}
		w := tar.NewWriter(&buf)
		h := e.Header
		if len(e.Content) > 0 {
			h.Size = int64(len(e.Content))
		}
		must(0, w.WriteHeader(&h))
		must(w.Write(e.Content))
		must(0, w.Flush())
	}
	return buf.Bytes()
}

// RawHeader makes one 512-byte ustar header block with a right checksum. Fields are
// written as they are given; edit, if not nil, changes the block before the checksum is computed.
func RawHeader(name string, typ byte, size string, edit func(block []byte)) []byte {
	b := make([]byte, 512)
	copy(b[0:100], name)
	copy(b[100:108], "0000644\x00")
	copy(b[108:116], "0000000\x00")
	copy(b[116:124], "0000000\x00")
	copy(b[124:136], size)
	copy(b[136:148], "14524250400\x00")
	b[156] = typ
	copy(b[257:265], "ustar\x0000")
	if edit != nil {
		edit(b)
	}
	FixChecksum(b)
	return b
}

// FixChecksum writes the checksum of a header block into it.
func FixChecksum(b []byte) {
	copy(b[148:156], "        ")
	sum := 0
	for _, c := range b[:512] {
		sum += int(c)
	}
	copy(b[148:156], []byte{
		'0' + byte(sum>>15&7), '0' + byte(sum>>12&7), '0' + byte(sum>>9&7),
		'0' + byte(sum>>6&7), '0' + byte(sum>>3&7), '0' + byte(sum&7), 0, ' ',
	})
}

// TarFiles makes a tar of regular files, sorted by name.
func TarFiles(files map[string][]byte) []byte {
	var entries []Entry
	for _, name := range slices.Sorted(maps.Keys(files)) {
		entries = append(entries, File(name, string(files[name])))
	}
	return Tar(entries...)
}
