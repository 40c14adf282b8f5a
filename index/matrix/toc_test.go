package matrix

import (
	"archive/tar"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"path"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	digest "github.com/opencontainers/go-digest"

	"github.com/shalefs/shalefs/index/foreign/estargz"
	"github.com/shalefs/shalefs/index/tarx"
)

// tocChunk is how long the chunks of a file are, in bytes.
const tocChunk = 4 << 20

// tocEncoders write the formats that have a table of contents. Tars with sparse files
// are not for them: they become plain frames or members.
func tocEncoders() []encoder {
	return []encoder{
		{name: "estargz", format: "gzip", pack: func(t *testing.T, l *layer) packed { return packStargz(t, l) }},
		{name: "zstd chunked containers", format: "zstd", pack: func(t *testing.T, l *layer) packed { return packChunked(t, l, true) }},
		{name: "zstd chunked stargz", format: "zstd", pack: func(t *testing.T, l *layer) packed { return packChunked(t, l, false) }},
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// rawName is the name that a tar has for an entry.
func rawName(e *tarx.Entry) string {
	switch e.Kind {
	case tarx.Whiteout:
		return path.Join(path.Dir(e.Path), ".wh."+path.Base(e.Path))
	case tarx.Opaque:
		return path.Join(e.Path, ".wh..wh..opq")
	}
	return e.Path
}

var typeNames = map[tarx.Kind]string{
	tarx.Regular: "reg", tarx.Directory: "dir", tarx.Symlink: "symlink", tarx.Hardlink: "hardlink", tarx.Char: "char",
	tarx.Block: "block", tarx.Fifo: "fifo", tarx.Whiteout: "reg", tarx.Opaque: "reg",
}

// row is an entry of a table of contents.
func row(e *tarx.Entry, timeLayout string) map[string]any {
	r := map[string]any{
		"name": rawName(e), "type": typeNames[e.Kind], "mode": e.Mode, "uid": e.UID, "gid": e.GID,
		"modtime": time.Unix(e.MTime, int64(e.MTimeNano)).UTC().Format(timeLayout),
	}
	if e.Link != "" {
		r["linkName"] = e.Link
	}
	if e.Kind == tarx.Char || e.Kind == tarx.Block {
		r["devMajor"], r["devMinor"] = e.Major, e.Minor
	}
	xattrs := map[string][]byte{}
	for _, x := range e.Xattrs {
		xattrs[x.Name] = x.Value
	}
	if len(xattrs) > 0 {
		r["xattrs"] = xattrs
	}
	return r
}

// rows makes the entries of a file's chunks; place writes one and says where it is.
func rows(e *tarx.Entry, content []byte, timeLayout string, place func(chunk []byte) int64) (all []map[string]any) {
	r := row(e, timeLayout)
	all = append(all, r)
	if len(content) == 0 {
		return all
	}
	r["size"], r["digest"] = len(content), digest.FromBytes(content).String()
	for at := 0; at < len(content); at += tocChunk {
		chunk := content[at:min(at+tocChunk, len(content))]
		if at > 0 {
			r = map[string]any{"name": rawName(e), "type": "chunk", "chunkOffset": at}
			all = append(all, r)
		}
		r["offset"], r["chunkDigest"] = place(chunk), digest.FromBytes(chunk).String()
		if len(content) > tocChunk {
			r["chunkSize"] = len(chunk)
		}
	}
	return all
}

// each yields the entries of a layer with the raw bytes before their content, and the content;
// the end of the tar comes back.
func (l *layer) each(yield func(e *tarx.Entry, headers, content []byte)) (end []byte) {
	at := int64(0)
	for i := range l.entries {
		e := &l.entries[i]
		yield(e, l.tar[at:e.Off], l.tar[e.Off:e.Off+e.Stored])
		at = e.Off + e.Stored
	}
	return l.tar[at:]
}

// packStargz writes an eStargz layer: each chunk of a file begins a gzip member, and the
// table of contents is the last file of the tar.
func packStargz(t *testing.T, l *layer) packed {
	t.Helper()
	var out, plain bytes.Buffer
	w := gzip.NewWriter(&out)
	write := func(b []byte) {
		plain.Write(b)
		_, err := w.Write(b)
		check(t, err)
	}
	restart := func() int64 {
		check(t, w.Close())
		w.Reset(&out)
		return int64(out.Len())
	}
	var entries []map[string]any
	end := l.each(func(e *tarx.Entry, headers, content []byte) {
		write(headers)
		entries = append(entries, rows(e, content, time.RFC3339, func(chunk []byte) int64 {
			off := restart()
			write(chunk)
			return off
		})...)
	})
	write(end[:(512-plain.Len()%512)%512])
	doc, err := json.Marshal(map[string]any{"version": 1, "entries": entries})
	check(t, err)
	off := restart()
	var toc bytes.Buffer
	tw := tar.NewWriter(&toc)
	check(t, tw.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: estargz.TOCName, Size: int64(len(doc))}))
	_, err = tw.Write(doc)
	check(t, err)
	check(t, tw.Close())
	write(toc.Bytes())
	check(t, w.Close())
	// The footer: an empty member whose extra field SG says where the TOC begins.
	out.WriteString("\x1f\x8b\x08\x04\x00\x00\x00\x00\x00\xff\x1a\x00SG\x16\x00")
	fmt.Fprintf(&out, "%016xSTARGZ", off)
	out.WriteString("\x01\x00\x00\xff\xff\x00\x00\x00\x00\x00\x00\x00\x00")
	return packed{blob: out.Bytes(), stream: plain.Bytes(), toc: doc,
		annotations: map[string]string{estargz.DigestAnnotation: digest.FromBytes(doc).String()}}
}

// packChunked writes a zstd:chunked layer in the dialect of containers, with the raw
// headers for the tar's reconstruction (tar-split), or in that of stargz-snapshotter.
func packChunked(t *testing.T, l *layer, containers bool) packed {
	t.Helper()
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	check(t, err)
	var out []byte
	var entries, split []map[string]any
	headersFrame := func(b []byte) {
		if len(b) > 0 {
			out = enc.EncodeAll(b, out)
			split = append(split, map[string]any{"type": 2, "payload": b, "position": len(split)})
		}
	}
	layout := time.RFC3339
	if containers {
		layout = time.RFC3339Nano
	}
	end := l.each(func(e *tarx.Entry, headers, content []byte) {
		headersFrame(headers)
		split = append(split, map[string]any{"type": 1, "name": rawName(e), "size": len(content), "payload": []byte("checksum"), "position": len(split)})
		entries = append(entries, rows(e, content, layout, func(chunk []byte) int64 {
			off := len(out)
			out = enc.EncodeAll(chunk, out)
			return int64(off)
		})...)
	})
	headersFrame(end)

	var raw bytes.Buffer
	for _, s := range split {
		check(t, json.NewEncoder(&raw).Encode(s))
	}
	packedSplit := enc.EncodeAll(raw.Bytes(), nil)
	doc := map[string]any{"version": 1, "entries": entries}
	if containers {
		doc["tarSplitDigest"] = digest.FromBytes(packedSplit).String()
	}
	toc, err := json.Marshal(doc)
	check(t, err)
	packedTOC := enc.EncodeAll(toc, nil)
	check(t, enc.Close())

	const magic = 0x184d2a50
	place := func(b []byte, unpacked int) []uint64 {
		out = skippable(out, magic, b)
		return []uint64{uint64(len(out) - len(b)), uint64(len(b)), uint64(unpacked)}
	}
	words := append(place(packedTOC, len(toc)), 1)
	prefix, mark := "io.containers.zstd-chunked.", "GnUlInUx"
	ann := map[string]string{}
	if containers {
		prefix, mark = "io.github.containers.zstd-chunked.", "GNUlInUx"
		s := place(packedSplit, raw.Len())
		ann[prefix+"tarsplit-position"] = fmt.Sprintf("%d:%d:%d", s[0], s[1], s[2])
		words = append(words, s...)
	} else {
		ann[estargz.DigestAnnotation] = digest.FromBytes(toc).String()
	}
	ann[prefix+"manifest-position"] = fmt.Sprintf("%d:%d:%d:%d", words[0], words[1], words[2], words[3])
	ann[prefix+"manifest-checksum"] = digest.FromBytes(packedTOC).String()
	var foot []byte
	for _, w := range words {
		foot = binary.LittleEndian.AppendUint64(foot, w)
	}
	out = skippable(out, magic, append(foot, mark...))
	return packed{blob: out, stream: l.tar, annotations: ann}
}
