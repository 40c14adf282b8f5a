package matrix

import (
	"bytes"
	stdgzip "compress/gzip"
	"fmt"
	"io"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// A packed layer is a blob and what it decodes to.
type packed struct {
	blob   []byte
	stream []byte // the tar
	// annotations are those of the layer's descriptor, where the blob has a table of contents.
	annotations map[string]string
	toc         []byte // of an eStargz layer
}

// An encoder is a column of the matrix.
type encoder struct {
	name   string
	format string // as the index names it
	slow   bool   // gets a shorter layer unless whole ones are wanted
	// whole says that the blob is one stream without seek points, so that the
	// limits on checkpoints hold.
	whole bool
	pack  func(t *testing.T, l *layer) packed
}

// simple makes an encoder of a function from tar to blob.
func simple(name, format string, whole bool, f func(stream []byte) ([]byte, error)) encoder {
	return encoder{name: name, format: format, whole: whole, pack: func(t *testing.T, l *layer) packed {
		t.Helper()
		b, err := f(l.tar)
		if err != nil {
			t.Fatal(err)
		}
		return packed{blob: b, stream: l.tar}
	}}
}

// write makes such a function of a writer.
func write(open func(w io.Writer) (io.WriteCloser, error)) func([]byte) ([]byte, error) {
	return func(stream []byte) ([]byte, error) {
		var b bytes.Buffer
		w, err := open(&b)
		if err != nil {
			return nil, err
		}
		// As a program copies a tar: in pieces.
		for len(stream) > 0 {
			n := min(len(stream), 32<<10)
			if _, err := w.Write(stream[:n]); err != nil {
				return nil, err
			}
			stream = stream[n:]
		}
		if err := w.Close(); err != nil {
			return nil, err
		}
		return b.Bytes(), nil
	}
}

// encoders are the columns that are there everywhere.
func encoders() []encoder {
	es := []encoder{
		simple("tar", "tar", false, func(p []byte) ([]byte, error) { return p, nil }),
	}
	es = append(es, gzipEncoders()...)
	es = append(es, zstdEncoders()...)
	es = append(es, memberEncoders()...)
	es = append(es, frameEncoders()...)
	return append(es, tocEncoders()...)
}

func gzipEncoders() (es []encoder) {
	for _, level := range []int{stdgzip.HuffmanOnly, 1, 6, 9} {
		e := simple(fmt.Sprintf("go gzip %d", level), "gzip", true, write(func(w io.Writer) (io.WriteCloser, error) {
			return stdgzip.NewWriterLevel(w, level)
		}))
		e.slow = level == 9
		es = append(es, e)
	}
	for _, level := range []int{gzip.StatelessCompression, gzip.HuffmanOnly, 0, 1, 3, 5, 6, 7, 9} {
		e := simple(fmt.Sprintf("klauspost gzip %d", level), "gzip", true, write(func(w io.Writer) (io.WriteCloser, error) {
			return gzip.NewWriterLevel(w, level)
		}))
		e.slow = level == 9
		es = append(es, e)
	}
	return es
}

// klauspostDefault is the encoder that most image tools use for zstd.
const klauspostDefault = "klauspost zstd default"

func zstdEncoders() (es []encoder) {
	add := func(name string, whole bool, opts ...zstd.EOption) {
		es = append(es, simple("klauspost zstd "+name, "zstd", whole, write(func(w io.Writer) (io.WriteCloser, error) {
			return zstd.NewWriter(w, opts...)
		})))
	}
	add("fastest", true, zstd.WithEncoderLevel(zstd.SpeedFastest))
	add("default", true) // as skopeo and buildkit pack
	add("better", true, zstd.WithEncoderLevel(zstd.SpeedBetterCompression))
	add("best", true, zstd.WithEncoderLevel(zstd.SpeedBestCompression))
	add("window 64K", true, zstd.WithWindowSize(64<<10), zstd.WithEncoderCRC(false))
	add("window 32M", true, zstd.WithWindowSize(32<<20))
	add("no entropy", true, zstd.WithNoEntropyCompression(true))
	es = append(es, simple("klauspost zstd whole", "zstd", true, func(stream []byte) ([]byte, error) {
		w, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithSingleSegment(len(stream) < 64<<20))
		if err != nil {
			return nil, err
		}
		return w.EncodeAll(stream, nil), w.Close()
	}))
	return es
}
