package zstdchunked

import (
	"archive/tar"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	digest "github.com/opencontainers/go-digest"
)

// A layer is a zstd:chunked layer made for a test.
type layer struct {
	blob, tar []byte
	ann       map[string]string
}

// build makes a layer in containers' dialect (with tar-split) or in stargz-snapshotter's. edit may
// change the entries and the tar-split before they are packed.
func build(t testing.TB, containers bool, chunk int64, edit func(entries, split []map[string]any) ([]map[string]any, []map[string]any), headers ...tar.Header) layer {
	t.Helper()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	check(err)
	defer func() { check(enc.Close()) }()
	var out, plain, pending bytes.Buffer
	frame := func() {
		if pending.Len() > 0 {
			out.Write(enc.EncodeAll(pending.Bytes(), nil))
			pending.Reset()
		}
	}
	var split []map[string]any
	segment := 0 // where in plain the segment began
	cut := func(h tar.Header, size int64) {
		split = append(split, map[string]any{"type": splitSegment, "payload": plain.Bytes()[segment:], "position": len(split)})
		split = append(split, map[string]any{"type": splitFile, "name_raw": []byte(h.Name), "size": size, "payload": []byte("checksum"), "position": len(split)})
		segment = plain.Len() + int(size)
	}
	tw := tar.NewWriter(writerFunc(func(p []byte) (int, error) {
		plain.Write(p)
		return pending.Write(p)
	}))
	var entries []map[string]any
	for _, h := range headers {
		check(tw.WriteHeader(&h))
		layout := time.RFC3339
		if containers {
			layout = time.RFC3339Nano
		}
		e := map[string]any{"name": h.Name, "mode": h.Mode, "uid": h.Uid, "gid": h.Gid, "modtime": h.ModTime.UTC().Format(layout)}
		if h.Linkname != "" {
			e["linkName"] = h.Linkname
		}
		for k, v := range h.PAXRecords {
			e["xattrs"] = map[string][]byte{k[len("SCHILY.xattr."):]: []byte(v)}
		}
		e["type"] = map[byte]string{'0': "reg", '1': "hardlink", '2': "symlink", '5': "dir"}[h.Typeflag]
		entries = append(entries, e)
		cut(h, h.Size)
		if h.Size == 0 {
			continue
		}
		data := content(h)
		e["size"], e["digest"] = h.Size, digest.FromBytes(data).String()
		frame()
		for at := int64(0); at < h.Size; at += chunk {
			part := data[at:min(at+chunk, h.Size)]
			if at > 0 {
				e = map[string]any{"name": h.Name, "type": "chunk", "chunkOffset": at}
				entries = append(entries, e)
			}
			e["offset"] = out.Len()
			if h.Size > chunk {
				e["chunkSize"], e["chunkDigest"] = len(part), digest.FromBytes(part).String()
			}
			_, err := tw.Write(part)
			check(err)
			frame()
		}
		check(tw.Flush())
	}
	check(tw.Close())
	frame()
	split = append(split, map[string]any{"type": splitSegment, "payload": plain.Bytes()[segment:]})
	if edit != nil {
		entries, split = edit(entries, split)
	}

	l := layer{tar: plain.Bytes(), ann: map[string]string{}}
	var raw bytes.Buffer
	for _, s := range split {
		check(json.NewEncoder(&raw).Encode(s))
	}
	packedSplit := enc.EncodeAll(raw.Bytes(), nil)
	doc := map[string]any{"version": 1, "entries": entries}
	if containers {
		doc["tarSplitDigest"] = digest.FromBytes(packedSplit).String()
	}
	toc, err := json.Marshal(doc)
	check(err)
	packed := enc.EncodeAll(toc, nil)
	skippable := func(b []byte) int {
		out.Write([]byte{0x50, 0x2a, 0x4d, 0x18})
		out.Write(binary.LittleEndian.AppendUint32(nil, uint32(len(b))))
		at := out.Len()
		out.Write(b)
		return at
	}
	at := skippable(packed)
	words := []int{at, len(packed), len(toc), 1}
	prefix, mark := annStargz, magicStargz
	if containers {
		prefix, mark = annContainers, magicContainer
		splitAt := skippable(packedSplit)
		words = append(words, splitAt, len(packedSplit), raw.Len())
		l.ann[prefix+annTarSplit] = fmt.Sprintf("%d:%d:%d", splitAt, len(packedSplit), raw.Len())
	} else {
		l.ann[annTOCDigest] = digest.FromBytes(toc).String()
	}
	l.ann[prefix+annPosition] = fmt.Sprintf("%d:%d:%d:1", at, len(packed), len(toc))
	l.ann[prefix+annChecksum] = digest.FromBytes(packed).String()
	var foot []byte
	for _, w := range words {
		foot = binary.LittleEndian.AppendUint64(foot, uint64(w))
	}
	skippable(append(foot, mark...))
	l.blob = out.Bytes()
	return l
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

func mustJSON(t testing.TB, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
