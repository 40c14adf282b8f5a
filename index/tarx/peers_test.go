package tarx

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// maxCompared bounds the logical size of a file whose content is compared, in bytes.
const maxCompared = 16 << 20

// viaGo reads an archive with archive/tar and shows its entries as lines, with the
// rules that the two do not share applied: names cleaned, links without attributes.
func viaGo(b []byte) (out []string, contents map[int][]byte, err error) {
	tr := tar.NewReader(bytes.NewReader(b))
	contents = map[int][]byte{}
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return out, contents, nil
		}
		if err != nil {
			return out, contents, err
		}
		if h.Typeflag == tar.TypeXGlobalHeader {
			continue
		}
		e := Entry{
			Path: Clean(h.Name), Mode: uint16(h.Mode & 0o7777), UID: uint32(h.Uid), GID: uint32(h.Gid),
			MTime: h.ModTime.Unix(), MTimeNano: uint32(h.ModTime.Nanosecond()),
		}
		switch h.Typeflag {
		case tar.TypeReg, '7', tar.TypeGNUSparse:
			if h.Size > maxCompared {
				return out, contents, errors.New("a file too large to compare")
			}
			e.Kind, e.Size = Regular, h.Size
			var data bytes.Buffer
			if _, err := io.Copy(&data, tr); err != nil {
				return out, contents, err
			}
			contents[len(out)] = data.Bytes()
		case tar.TypeDir:
			e.Kind = Directory
		case tar.TypeSymlink:
			e.Kind, e.Link, e.Mode = Symlink, h.Linkname, 0o777
		case tar.TypeLink:
			e.Kind, e.Link = Hardlink, Clean(h.Linkname)
		case tar.TypeChar:
			e.Kind, e.Major, e.Minor = Char, uint32(h.Devmajor), uint32(h.Devminor)
		case tar.TypeBlock:
			e.Kind, e.Major, e.Minor = Block, uint32(h.Devmajor), uint32(h.Devminor)
		case tar.TypeFifo:
			e.Kind = Fifo
		default:
			return out, contents, fmt.Errorf("type %q", h.Typeflag)
		}
		var xs []Xattr
		for k, v := range h.PAXRecords {
			if name, ok := strings.CutPrefix(k, xattrRecord); ok {
				xs = append(xs, Xattr{name, []byte(v)})
			}
		}
		if e.Kind != Hardlink {
			e.Xattrs = showXattrs(xs, e.Kind, func(WarningKind) {})
		}
		out = append(out, line(&e))
	}
}

// logical is a file's content with its holes as zeros.
func logical(e *Entry, stored []byte) []byte {
	if e.Sparse == nil {
		return stored
	}
	out := make([]byte, e.Size)
	for _, r := range e.Sparse {
		copy(out[r.Off:r.Off+r.Len], stored[:r.Len])
		stored = stored[r.Len:]
	}
	return out
}

// sameAsGo compares the parser with archive/tar over an archive that both take.
func sameAsGo(t *testing.T, b []byte) {
	t.Helper()
	want, contents, err := viaGo(b)
	if err != nil {
		t.Fatal("archive/tar:", err)
	}
	s := mustParse(t, b)
	var got []string
	for i := range s.Entries {
		e := s.Entries[i]
		if e.Kind == Regular {
			if !bytes.Equal(logical(&e, s.Contents[i]), contents[i]) {
				t.Errorf("%q: contents differ", e.Path)
			}
			e.Sparse = nil // archive/tar does not tell
		}
		got = append(got, line(&e))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-archive/tar +tarx:\n%s", diff)
	}
}

func TestGoWriter(t *testing.T) {
	long := strings.Repeat("directory/", 30) + "name"
	for _, format := range []tar.Format{tar.FormatUSTAR, tar.FormatPAX, tar.FormatGNU} {
		t.Run(format.String(), func(t *testing.T) {
			var buf bytes.Buffer
			w := tar.NewWriter(&buf)
			add := func(h tar.Header, body string) {
				t.Helper()
				h.Format, h.Size = format, int64(len(body))
				if h.ModTime.IsZero() {
					h.ModTime = time.Unix(1700000000, 0)
				}
				if err := w.WriteHeader(&h); err != nil {
					t.Fatal(err)
				}
				if _, err := io.WriteString(w, body); err != nil {
					t.Fatal(err)
				}
			}
			add(tar.Header{Typeflag: tar.TypeDir, Name: "d/", Mode: 0o1755}, "")
			add(tar.Header{Typeflag: tar.TypeReg, Name: "d/f", Mode: 0o4755, Uid: 1000, Gid: 2000}, "hello")
			add(tar.Header{Typeflag: tar.TypeSymlink, Name: "s", Linkname: "../x"}, "")
			add(tar.Header{Typeflag: tar.TypeLink, Name: "h", Linkname: "d/f"}, "")
			add(tar.Header{Typeflag: tar.TypeChar, Name: "c", Devmajor: 5, Devminor: 1}, "")
			add(tar.Header{Typeflag: tar.TypeFifo, Name: "p"}, "")
			add(tar.Header{Typeflag: tar.TypeReg, Name: long[:175]}, strings.Repeat("x", 5000))
			if format != tar.FormatUSTAR {
				add(tar.Header{Typeflag: tar.TypeReg, Name: long + "\xff", Uid: 3000000000}, "")
				add(tar.Header{Typeflag: tar.TypeSymlink, Name: long, Linkname: long}, "")
				add(tar.Header{Typeflag: tar.TypeReg, Name: "old", ModTime: time.Unix(-12345, 0)}, "1")
			}
			if format == tar.FormatPAX {
				add(tar.Header{Typeflag: tar.TypeReg, Name: "ns", ModTime: time.Unix(-5, 123456789), PAXRecords: map[string]string{"SCHILY.xattr.user.a": "\x00b=\n"}}, "1")
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			sameAsGo(t, buf.Bytes())
		})
	}
}

// TestGNUTar reads what GNU tar makes of real files, sparse ones in all four forms (ENT-8).
func TestGNUTar(t *testing.T) {
	gnutar, err := exec.LookPath("tar")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	makeFiles(t, dir)
	for _, args := range [][]string{
		{"--format=v7"}, {"--format=oldgnu"}, {"--format=gnu"}, {"--format=ustar"}, {"--format=posix"},
		{"--sparse", "--format=oldgnu"}, {"--sparse", "--format=gnu"},
		{"--sparse", "--format=posix", "--sparse-version=0.0"},
		{"--sparse", "--format=posix", "--sparse-version=0.1"},
		{"--sparse", "--format=posix", "--sparse-version=1.0"},
	} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), gnutar, append(args, "-C", dir, "-cf", "-", "--sort=name", ".")...)
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			b, err := cmd.Output()
			// The old forms cannot hold every name; tar leaves these out and says so.
			var exit *exec.ExitError
			if err != nil && !errors.As(err, &exit) {
				t.Fatal(err)
			}
			sameAsGo(t, b)
			s := mustParse(t, b)
			found := 0
			for i := range s.Entries {
				if e := &s.Entries[i]; strings.HasPrefix(e.Path, "sparse") {
					found++
					if sparse := args[0] == "--sparse"; sparse != (e.Stored < e.Size) {
						t.Errorf("%s: %d of %d bytes stored", e.Path, e.Stored, e.Size)
					}
				}
			}
			if found != 3 {
				t.Errorf("%d sparse files, want 3; tar said %s", found, stderr.String())
			}
		})
	}
}

func makeFiles(t *testing.T, dir string) {
	t.Helper()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	in := func(name string) string { return filepath.Join(dir, name) }
	check(os.Mkdir(in("d"), 0o750))
	check(os.WriteFile(in("d/f"), []byte("hello"), 0o600))
	check(os.Link(in("d/f"), in("d/hard")))
	check(os.Symlink("../else\xff", in("d/sym")))
	check(syscall.Mkfifo(in("fifo"), 0o644))
	deep := in(strings.Repeat("long-directory-name/", 12))
	check(os.MkdirAll(deep, 0o755))
	check(os.WriteFile(filepath.Join(deep, "file"), bytes.Repeat([]byte("x"), 3000), 0o644))
	for name, runs := range map[string]int64{"sparse-hole": 0, "sparse-one": 1, "sparse-many": 40} {
		f, err := os.Create(in(name))
		check(err)
		for i := range runs {
			_, err := f.WriteAt([]byte(fmt.Sprint("run ", i)), i*16<<10+100)
			check(err)
		}
		check(f.Truncate(runs*16<<10 + 128<<10))
		check(f.Close())
	}
}
