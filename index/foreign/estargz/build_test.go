package estargz

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"testing"
	"time"

	digest "github.com/opencontainers/go-digest"
)

// A layer is an eStargz layer made for a test, and what it holds.
type layer struct {
	blob   []byte
	tar    []byte // the decoded tar without the TOC
	tocOff int64
	toc    digest.Digest
	starts []int64 // of the chunks' members
}

// A shape says how a layer is made.
type shape struct {
	footer   string // "SG", "legacy", "external"
	chunk    int64  // greatest length of a chunk
	shared   bool   // files of one chunk go on in the member of the one before
	noDigest bool
	edit     func(entries []map[string]any) []map[string]any
}

// build makes a layer of the headers; a regular file's content is made of its name.
func build(t testing.TB, s shape, headers ...tar.Header) layer {
	t.Helper()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var l layer
	var out, plain bytes.Buffer
	gz := gzip.NewWriter(&out)
	restart := func() int64 {
		check(gz.Close())
		gz.Reset(&out)
		return int64(out.Len())
	}
	both := writerFunc(func(p []byte) (int, error) {
		plain.Write(p)
		return gz.Write(p)
	})
	tw := tar.NewWriter(both)
	var entries []map[string]any
	var member, memberPlain int64 // where the present member began
	for _, h := range headers {
		check(tw.WriteHeader(&h))
		e := map[string]any{"name": h.Name, "mode": h.Mode, "uid": h.Uid, "gid": h.Gid, "modtime": h.ModTime.UTC().Format(time.RFC3339)}
		xattrs := map[string][]byte{}
		for k, v := range h.PAXRecords {
			xattrs[k[len("SCHILY.xattr."):]] = []byte(v)
		}
		if len(xattrs) > 0 {
			e["xattrs"] = xattrs
		}
		e["type"] = map[byte]string{'0': "reg", '1': "hardlink", '2': "symlink", '3': "char", '5': "dir", '6': "fifo"}[h.Typeflag]
		if h.Linkname != "" {
			e["linkName"] = h.Linkname
		}
		if h.Typeflag == tar.TypeChar {
			e["devMajor"], e["devMinor"] = h.Devmajor, h.Devminor
		}
		entries = append(entries, e)
		if h.Typeflag != tar.TypeReg {
			continue
		}
		data := content(h)
		e["size"], e["digest"] = h.Size, digest.FromBytes(data).String()
		for at := int64(0); at < h.Size; at += s.chunk {
			part := data[at:min(at+s.chunk, h.Size)]
			if at > 0 {
				e = map[string]any{"name": h.Name, "type": "chunk", "chunkOffset": at}
				entries = append(entries, e)
			}
			if at+s.chunk < h.Size {
				e["chunkSize"] = s.chunk
			}
			if !s.noDigest {
				e["chunkDigest"] = digest.FromBytes(part).String()
			}
			if s.shared && member > 0 && h.Size <= s.chunk {
				e["innerOffset"] = int64(plain.Len()) - memberPlain
			} else {
				member, memberPlain = restart(), int64(plain.Len())
				l.starts = append(l.starts, member)
			}
			e["offset"] = member
			_, err := tw.Write(part)
			check(err)
		}
		check(tw.Flush())
	}
	check(tw.Flush())
	if s.edit != nil {
		entries = s.edit(entries)
	}
	doc, err := json.Marshal(map[string]any{"version": 1, "entries": entries})
	check(err)
	l.toc, l.tocOff, l.tar = digest.FromBytes(doc), restart(), plain.Bytes()
	tw = tar.NewWriter(gz)
	check(tw.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: TOCName, Size: int64(len(doc))}))
	_, err = tw.Write(doc)
	check(err)
	check(tw.Close())
	check(gz.Close())
	out.Write(footer(s.footer, l.tocOff))
	l.blob = out.Bytes()
	return l
}

// footer makes a footer; the tests say what its bytes must be.
func footer(form string, off int64) []byte {
	extra := fmt.Sprintf("%016xSTARGZ", off)
	switch form {
	case "external":
		extra = "SG\x11\x00STARGZEXTERNALTOC"
	case "legacy":
	default:
		extra = "SG\x16\x00" + extra
	}
	b := []byte("\x1f\x8b\x08\x04\x00\x00\x00\x00\x00\xff")
	b = append(b, byte(len(extra)), 0)
	b = append(b, extra...)
	return append(b, "\x01\x00\x00\xff\xff\x00\x00\x00\x00\x00\x00\x00\x00"...)
}

// content is the content of a test's file.
func content(h tar.Header) []byte {
	b := make([]byte, h.Size)
	for i := range b {
		b[i] = h.Name[(i/7)%len(h.Name)] + byte(i>>9)
	}
	return b
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// decode gives the bytes of a member from in on.
func decode(t testing.TB, blob []byte, in, inEnd, skip, n int64) []byte {
	t.Helper()
	gz, err := gzip.NewReader(bytes.NewReader(blob[in:inEnd]))
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, skip+n)
	if _, err := io.ReadFull(gz, b); err != nil {
		t.Fatalf("%d bytes from %d: %v", skip+n, in, err)
	}
	return b[skip:]
}
