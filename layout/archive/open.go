package archive

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"os"

	"github.com/klauspost/compress/zstd"

	"github.com/shalefs/shalefs/layout"
)

// Options are the settings of OpenOptions. The zero value is the default.
type Options struct {
	// TempDir is where a compressed archive is unpacked, to a file without a name;
	// default os.TempDir.
	TempDir string
	// MaxUnpacked is the most bytes that a compressed archive may unpack to (ERR-7);
	// default 256 GiB.
	MaxUnpacked int64
	// MaxEntries is the most entries of an archive; default 1,000,000.
	MaxEntries int
	// Limits bound the documents.
	Limits layout.Limits
}

func (o Options) withDefaults() Options {
	if o.MaxUnpacked <= 0 {
		o.MaxUnpacked = 256 << 30
	}
	if o.MaxEntries <= 0 {
		o.MaxEntries = 1_000_000
	}
	return o
}

// Open opens the archive file ref.Path. A compressed one is unpacked to a nameless file
// in cacheDir, or in the directory for temporary files if that is empty.
// Errors: layout.ErrNotFound, ErrInvalid, ErrUnsupported, ErrTooLarge.
func Open(ref layout.Reference, cacheDir string) (layout.Store, error) {
	return OpenOptions(context.Background(), ref, Options{TempDir: cacheDir})
}

// OpenOptions is Open with options; ctx ends the unpacking and scanning.
func OpenOptions(ctx context.Context, ref layout.Reference, opt Options) (layout.Store, error) {
	opt = opt.withDefaults()
	s, err := open(ctx, ref, opt)
	if err != nil {
		return nil, fmt.Errorf("archive %s: %w", ref.Path, err)
	}
	return s, nil
}

func open(ctx context.Context, ref layout.Reference, opt Options) (layout.Store, error) {
	f, err := openFile(ref.Path)
	if err != nil {
		return nil, err
	}
	f, err = unpacked(ctx, f, opt)
	if err != nil {
		return nil, err
	}
	s, err := openTar(ctx, f, ref, opt)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return s, nil
}

func openFile(path string) (*os.File, error) {
	fi, err := os.Stat(path) // before the open, which would wait for a FIFO
	if errors.Is(err, iofs.ErrNotExist) {
		return nil, layout.ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	if !fi.Mode().IsRegular() {
		return nil, fmt.Errorf("not a regular file: %w", layout.ErrInvalid)
	}
	return os.Open(path)
}

// unpacked returns the file itself if it is not compressed, else closes it and returns
// its unpacked content.
func unpacked(ctx context.Context, f *os.File, opt Options) (*os.File, error) {
	var head [4]byte
	n, err := f.ReadAt(head[:], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, errors.Join(err, f.Close())
	}
	format := layout.SniffCompression(head[:n])
	if format == "" {
		return f, nil
	}
	out, err := unpack(ctx, f, format, opt)
	return out, errors.Join(err, f.Close())
}

func unpack(ctx context.Context, f *os.File, format string, opt Options) (*os.File, error) {
	r, closeReader, err := newDecoder(format, bufio.NewReaderSize(f, 1<<20))
	if err != nil {
		return nil, fmt.Errorf("%s stream: %w (%w)", format, err, layout.ErrInvalid)
	}
	defer closeReader()
	out, err := os.CreateTemp(opt.TempDir, "shalefs-archive-*")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(out.Name()); err != nil {
		return nil, errors.Join(err, out.Close())
	}
	if err := copyLimited(ctx, out, r, opt.MaxUnpacked); err != nil {
		return nil, errors.Join(fmt.Errorf("%s stream: %w", format, err), out.Close())
	}
	return out, nil
}

func newDecoder(format string, r io.Reader) (io.Reader, func(), error) {
	if format == "gzip" {
		z, err := gzip.NewReader(r)
		return z, func() {}, err
	}
	z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(128<<20))
	if err != nil {
		return nil, nil, err
	}
	return z, z.Close, nil
}

// copyLimited copies r to w until its end, at most limit bytes.
func copyLimited(ctx context.Context, w io.Writer, r io.Reader, limit int64) error {
	buf := make([]byte, 256<<10)
	for total := int64(0); ; {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := r.Read(buf)
		if total += int64(n); total > limit {
			return fmt.Errorf("unpacks to more than %d bytes: %w", limit, layout.ErrTooLarge)
		}
		if _, werr := w.Write(buf[:n]); werr != nil {
			return werr
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%w (%w)", err, layout.ErrInvalid)
		}
	}
}

// openTar looks what a tar holds.
func openTar(ctx context.Context, f *os.File, ref layout.Reference, opt Options) (layout.Store, error) {
	t, err := scan(ctx, f, opt.MaxEntries)
	if err != nil {
		return nil, err
	}
	switch {
	case t.has("oci-layout"):
		return layout.NewStore(t, ref, opt.Limits)
	case t.has("manifest.json"):
		return openDocker(ctx, t, ref, opt.Limits)
	}
	return nil, fmt.Errorf("neither oci-layout nor manifest.json is in it: %w", layout.ErrInvalid)
}
