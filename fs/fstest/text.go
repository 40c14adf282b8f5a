package fstest

import (
	"archive/tar"
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Tar makes a tar from a layer's text.
func Tar(text string) ([]byte, error) {
	var buf bytes.Buffer
	w := &tarWriter{tar.NewWriter(&buf), &buf}
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if err := writeLine(w, line); err != nil {
			return nil, fmt.Errorf("line %d: %q: %w", i+1, line, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}

var types = map[string]byte{
	"dir": tar.TypeDir, "file": tar.TypeReg, "link": tar.TypeLink, "sym": tar.TypeSymlink,
	"chr": tar.TypeChar, "blk": tar.TypeBlock, "fifo": tar.TypeFifo,
}

func writeLine(w *tarWriter, line string) error {
	words, err := split(line)
	if err != nil {
		return err
	}
	if len(words) < 2 {
		return fmt.Errorf("type and path are wanted")
	}
	h := &tar.Header{Name: words[1], Mode: 0o644, Format: tar.FormatPAX, ModTime: time.Unix(0, 0), PAXRecords: map[string]string{}}
	var ok bool
	if h.Typeflag, ok = types[words[0]]; !ok {
		if len(words[0]) != 1 {
			return fmt.Errorf("unknown type")
		}
		h.Typeflag = words[0][0]
	}
	if h.Typeflag == tar.TypeDir {
		h.Mode = 0o755
	}
	var data []byte
	rest := words[2:]
	if len(rest) > 1 && rest[0] == "->" {
		h.Linkname, rest = rest[1], rest[2:]
	}
	for _, word := range rest {
		key, value, keyed := strings.Cut(word, "=")
		if !keyed {
			h.Mode, err = strconv.ParseInt(word, 8, 64)
		} else {
			data, err = setKey(h, key, value, data)
		}
		if err != nil {
			return err
		}
	}
	if raw, ok := h.PAXRecords[rawKey]; ok {
		return writeRaw(w, h, raw, data)
	}
	if h.Typeflag == tar.TypeXGlobalHeader {
		h = &tar.Header{Typeflag: h.Typeflag, Name: h.Name, PAXRecords: h.PAXRecords}
	}
	if len(h.PAXRecords) == 0 {
		h.PAXRecords = nil
	}
	h.Size = int64(len(data))
	if err := w.WriteHeader(h); err != nil {
		return err
	}
	_, err = w.Write(data)
	return err
}

func setKey(h *tar.Header, key, value string, data []byte) ([]byte, error) {
	number := func() int64 {
		n, _ := strconv.ParseInt(value, 10, 64)
		return n
	}
	switch {
	case key == "uid":
		h.Uid = int(number())
	case key == "gid":
		h.Gid = int(number())
	case key == "mtime":
		sec, frac, _ := strings.Cut(value, ".")
		s, err := strconv.ParseInt(sec, 10, 64)
		if err != nil {
			return nil, err
		}
		ns, _ := strconv.ParseInt((frac + "000000000")[:9], 10, 64)
		h.ModTime = time.Unix(s, ns)
	case key == "dev":
		major, minor, _ := strings.Cut(value, ":")
		h.Devmajor, _ = strconv.ParseInt(major, 10, 64)
		h.Devminor, _ = strconv.ParseInt(minor, 10, 64)
	case key == "data":
		return []byte(value), nil
	case key == "fill":
		return Fill(int(number())), nil
	case key == "uname":
		h.Uname = value
	case key == rawKey:
		h.PAXRecords[rawKey] = value
	case key == "gnu":
		h.Format = tar.FormatGNU
	case strings.HasPrefix(key, "x."):
		h.PAXRecords["SCHILY.xattr."+key[2:]] = value
	case strings.HasPrefix(key, "pax."):
		h.PAXRecords[key[4:]] = value
	default:
		return nil, fmt.Errorf("unknown key %q", key)
	}
	return data, nil
}

// Fill makes n bytes that differ from place to place.
func Fill(n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(i>>16 ^ i>>8*7 ^ i*31)
	}
	return p
}

// split cuts a line into words; parts of a word may be quoted.
func split(line string) ([]string, error) {
	var words []string
	for line = strings.TrimLeft(line, " \t"); line != ""; line = strings.TrimLeft(line, " \t") {
		var word strings.Builder
		for line != "" && line[0] != ' ' && line[0] != '\t' {
			if line[0] != '"' {
				word.WriteByte(line[0])
				line = line[1:]
				continue
			}
			quoted, err := strconv.QuotedPrefix(line)
			if err != nil {
				return nil, err
			}
			plain, err := strconv.Unquote(quoted)
			if err != nil {
				return nil, err
			}
			word.WriteString(plain)
			line = line[len(quoted):]
		}
		words = append(words, word.String())
	}
	return words, nil
}
