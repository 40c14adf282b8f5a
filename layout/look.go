package layout

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
)

// fileKind is what a path looks like to Parse.
type fileKind int

const (
	fileNone    fileKind = iota // nothing is there
	fileLayout                  // a directory with an oci-layout file
	fileArchive                 // a file that begins like a tar, gzip or zstd
	fileOther
)

// lookFile looks at a path without reading more than its first bytes.
func lookFile(path string) fileKind {
	fi, err := os.Stat(path)
	switch {
	case err != nil:
		return fileNone
	case fi.IsDir():
		if st, err := os.Lstat(filepath.Join(path, "oci-layout")); err == nil && st.Mode().IsRegular() {
			return fileLayout
		}
	case fi.Mode().IsRegular():
		f, err := os.Open(path)
		if err != nil {
			return fileOther
		}
		defer f.Close()
		var head [512]byte
		n, err := io.ReadFull(f, head[:])
		if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			return fileOther
		}
		if SniffCompression(head[:n]) != "" || looksLikeTar(head[:n]) {
			return fileArchive
		}
	}
	return fileOther
}

// SniffCompression tells a compressed stream by its first bytes: "gzip", "zstd" or "" (FMT-4).
func SniffCompression(head []byte) string {
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		return "gzip"
	case bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		return "zstd"
	case len(head) >= 4 && head[0]&0xf0 == 0x50 && bytes.Equal(head[1:4], []byte{0x2a, 0x4d, 0x18}):
		return "zstd" // a skippable frame
	}
	return ""
}

// looksLikeTar checks the header checksum of a first tar block: the sum of its bytes,
// with the checksum field counted as spaces.
func looksLikeTar(block []byte) bool {
	if len(block) < 512 {
		return false
	}
	sum := int64(8 * ' ')
	for i, c := range block[:512] {
		if i < 148 || i >= 156 {
			sum += int64(c)
		}
	}
	var want int64
	for _, c := range bytes.Trim(block[148:156], " \x00") {
		if c < '0' || c > '7' {
			return false
		}
		want = want<<3 | int64(c-'0')
	}
	return sum == want
}
