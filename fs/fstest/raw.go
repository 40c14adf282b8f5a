package fstest

import (
	"archive/tar"
	"bytes"
	"fmt"
	"strconv"
)

// rawKey marks an entry whose header is made by hand, for what archive/tar refuses to write.
const rawKey = "raw"

// A tarWriter is a writer of archive/tar and the buffer under it.
type tarWriter struct {
	*tar.Writer
	buf *bytes.Buffer
}

// writeRaw writes a ustar header and the content. size is what the header says of it.
func writeRaw(w *tarWriter, h *tar.Header, size string, data []byte) error {
	if err := w.Flush(); err != nil {
		return err
	}
	claimed := len(data)
	if size != "" {
		n, err := strconv.Atoi(size)
		if err != nil {
			return err
		}
		claimed = n
	}
	var b [512]byte
	copy(b[0:100], h.Name)
	copy(b[100:], fmt.Sprintf("%07o", h.Mode))
	copy(b[108:], fmt.Sprintf("%07o", h.Uid))
	copy(b[116:], fmt.Sprintf("%07o", h.Gid))
	copy(b[124:], fmt.Sprintf("%011o", claimed))
	copy(b[136:], fmt.Sprintf("%011o", h.ModTime.Unix()))
	b[156] = h.Typeflag
	copy(b[157:257], h.Linkname)
	copy(b[257:], "ustar\x0000")
	copy(b[148:], "        ")
	sum := 0
	for _, c := range b {
		sum += int(c)
	}
	copy(b[148:], fmt.Sprintf("%06o\x00", sum))
	w.buf.Write(b[:])
	w.buf.Write(data)
	w.buf.Write(make([]byte, -len(data)&511))
	return nil
}
