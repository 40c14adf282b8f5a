package archive

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/shalefs/shalefs/layout"
	lt "github.com/shalefs/shalefs/layout/layouttest"
)

func layers() [][]byte {
	a := lt.Tar(lt.Dir("etc/"), lt.File("etc/a", string(lt.Bytes(5000))))
	return [][]byte{a, lt.Gzip(lt.Tar(lt.File("b", "b"))), lt.Zstd(a), a}
}

func write(t *testing.T, b []byte) layout.Reference {
	t.Helper()
	path := filepath.Join(t.TempDir(), "image.tar")
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
	return layout.Reference{Transport: layout.OCIArchive, Path: path}
}

func mustOpen(t *testing.T, ref layout.Reference) layout.Store {
	t.Helper()
	s, err := Open(ref, t.TempDir())
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	return s
}

// TestLAY15 reads one image from plain and compressed archives (LAY-15), also with names that
// begin with "./" (LAY-16).
func TestLAY15(t *testing.T) {
	m := lt.Image(layers()...)
	dotted := map[string][]byte{}
	for name, b := range m.LayoutFiles(m.Root) {
		dotted["./"+name] = b
	}
	plain := lt.TarFiles(m.LayoutFiles(m.Root))
	for name, b := range map[string][]byte{
		"plain": plain, "gzip": lt.Gzip(plain), "zstd": lt.Zstd(plain), "dotted": lt.TarFiles(dotted),
	} {
		t.Run(name, func(t *testing.T) {
			lt.TestStore(t, func(t *testing.T) (layout.Store, lt.Expected) {
				return mustOpen(t, write(t, b)), m.Expect(t)
			})
		})
	}
}

func TestUnpackLeavesNothing(t *testing.T) {
	m := lt.Image(layers()...)
	dir := t.TempDir()
	s, err := Open(write(t, lt.Gzip(lt.TarFiles(m.LayoutFiles(m.Root)))), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("the cache directory has %d entries, error %v", len(left), err)
	}
}

// TestLAY16 checks duplicate paths and paths with "..".
func TestLAY16(t *testing.T) {
	m := lt.Image(layers()...)
	files := m.LayoutFiles(m.Root)
	index := files["index.json"]
	t.Run("last wins", func(t *testing.T) {
		b := append(lt.TarOpen(lt.File("index.json", "garbage")), lt.TarFiles(files)...)
		if _, err := layout.LoadImage(context.Background(), mustOpen(t, write(t, b)), layout.Platform{}); err != nil {
			t.Error(err)
		}
		b = append(lt.TarOpen(lt.File("index.json", string(index))), lt.TarFiles(files)...)
		b = append(b[:len(b)-1024], lt.Tar(lt.File("./index.json", "garbage"))...)
		if _, err := mustOpen(t, write(t, b)).Resolve(context.Background()); !errors.Is(err, layout.ErrInvalid) {
			t.Errorf("got %v, want ErrInvalid", err)
		}
	})
	for _, name := range []string{"../x", "blobs/../../x", "a/.."} {
		b := append(lt.TarOpen(lt.File(name, "x")), lt.TarFiles(files)...)
		if _, err := Open(write(t, b), ""); !errors.Is(err, layout.ErrInvalid) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// TestLAY4: when both are there, the layout wins (LAY-3, LAY-4).
func TestLAY4(t *testing.T) {
	m := lt.Image(layers()...)
	files := m.LayoutFiles(m.Root)
	files["manifest.json"] = []byte(`[{"Config":"none.json","RepoTags":[],"Layers":[]}]`)
	files["repositories"] = []byte(`not even JSON`)
	lt.TestStore(t, func(t *testing.T) (layout.Store, lt.Expected) {
		return mustOpen(t, write(t, lt.TarFiles(files))), m.Expect(t)
	})
}

// TestLAY12 refuses blobs that are links to elsewhere.
func TestLAY12(t *testing.T) {
	m := lt.Image(layers()...)
	files := m.LayoutFiles(m.Root)
	img, err := layout.LoadImage(context.Background(), m, layout.Platform{})
	if err != nil {
		t.Fatal(err)
	}
	name := "blobs/sha256/" + img.Layers[0].Digest.Encoded()
	delete(files, name)
	b := append(lt.TarOpen(lt.Symlink(name, "/etc/passwd")), lt.TarFiles(files)...)
	s := mustOpen(t, write(t, b))
	defer s.Close()
	if _, err := s.Blob(context.Background(), img.Layers[0]); !errors.Is(err, layout.ErrInvalid) {
		t.Errorf("got %v, want ErrInvalid", err)
	}
}

// A save is a docker archive in the making.
type save struct {
	entries []lt.Entry
	images  []saved
}

func (s *save) tar(t *testing.T) []byte {
	t.Helper()
	raw, err := json.Marshal(s.images)
	if err != nil {
		t.Fatal(err)
	}
	return lt.Tar(append(s.entries, lt.File("manifest.json", string(raw)), lt.File("repositories", "{}"))...)
}

func config(diffIDs ...digest.Digest) string {
	cfg := ocispec.Image{Platform: layout.Platform{OS: "linux", Architecture: runtime.GOARCH}}
	cfg.RootFS = ocispec.RootFS{Type: "layers", DiffIDs: diffIDs}
	raw, err := json.Marshal(cfg)
	if err != nil {
		panic(err)
	}
	return string(raw)
}

// dockerSave makes the archive of an image of two layers; the second one is used twice.
func dockerSave(form string, tags ...string) (*save, lt.Expected) {
	a := lt.Tar(lt.File("a", string(lt.Bytes(3000))))
	b := lt.Tar(lt.File("b", "b"))
	ids := []digest.Digest{digest.FromBytes(a), digest.FromBytes(b), digest.FromBytes(b)}
	e := lt.Expected{Layers: [][]byte{a, b, b}, DiffIDs: ids, Platform: layout.Platform{OS: "linux", Architecture: runtime.GOARCH}}
	cfg := config(ids...)
	cfgName := digest.FromString(cfg).Encoded() + ".json"
	s := &save{entries: []lt.Entry{lt.File(cfgName, cfg)}}
	var names []string
	switch form {
	case "old": // a directory for each layer; a repeated one is a link
		names = []string{"111/layer.tar", "222/layer.tar", "333/layer.tar"}
		s.entries = append(s.entries, lt.Dir("111/"), lt.File("111/VERSION", "1.0"), lt.File("111/json", "{"),
			lt.File("111/layer.tar", string(a)), lt.File("222/layer.tar", string(b)), lt.Symlink("333/layer.tar", "../222/layer.tar"))
	case "podman": // a repeated layer is listed twice
		names = []string{"a.tar", "b.tar", "b.tar"}
		s.entries = append(s.entries, lt.File("a.tar", string(a)), lt.File("b.tar", string(b)), lt.Symlink("1/layer.tar", "../a.tar"))
	case "hard": // hard links, and the config last
		names = []string{"a.tar", "b.tar", "c.tar"}
		s.entries = append([]lt.Entry{lt.File("a.tar", string(a)), lt.File("b.tar", string(b)), lt.Hardlink("c.tar", "./b.tar")}, s.entries...)
	case "compressed":
		names = []string{"a.tar", "b.tar", "b.tar"}
		e.Layers = [][]byte{lt.Gzip(a), lt.Zstd(b), lt.Zstd(b)}
		s.entries = append(s.entries, lt.File("a.tar", string(e.Layers[0])), lt.File("b.tar", string(e.Layers[1])))
	}
	s.images = []saved{{Config: cfgName, RepoTags: tags, Layers: names}}
	return s, e
}

// TestLAY17 reads the forms of docker archives (LAY-17, LAY-18), plain and compressed.
func TestLAY17(t *testing.T) {
	for _, form := range []string{"old", "podman", "hard", "compressed"} {
		t.Run(form, func(t *testing.T) {
			lt.TestStore(t, func(t *testing.T) (layout.Store, lt.Expected) {
				s, e := dockerSave(form, "example.org/x:1")
				return mustOpen(t, write(t, s.tar(t))), e
			})
		})
	}
	t.Run("gzip", func(t *testing.T) {
		s, e := dockerSave("old")
		lt.TestStore(t, func(t *testing.T) (layout.Store, lt.Expected) {
			return mustOpen(t, write(t, lt.Gzip(s.tar(t)))), e
		})
	})
}

func TestLAY17Deterministic(t *testing.T) {
	s, _ := dockerSave("old")
	var got []digest.Digest
	for range 2 {
		st := mustOpen(t, write(t, s.tar(t)))
		d, err := st.Resolve(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, d.Digest)
	}
	if got[0] != got[1] {
		t.Errorf("two manifests for one archive: %v", got)
	}
}

// TestLAY18Links: links lead one step, never in circles or out.
func TestLAY18Links(t *testing.T) {
	tests := []struct {
		name  string
		links []lt.Entry
		want  error
	}{
		{"cycle", []lt.Entry{lt.Symlink("l.tar", "m.tar"), lt.Symlink("m.tar", "l.tar")}, layout.ErrInvalid},
		{"self", []lt.Entry{lt.Symlink("l.tar", "l.tar")}, layout.ErrInvalid},
		{"two steps", []lt.Entry{lt.Symlink("l.tar", "m.tar"), lt.Symlink("m.tar", "a.tar")}, layout.ErrInvalid},
		{"dangling", []lt.Entry{lt.Symlink("l.tar", "/etc/passwd")}, layout.ErrNotFound},
		{"out", []lt.Entry{lt.Symlink("l.tar", "../../../../a.tar")}, nil},
		{"directory", []lt.Entry{lt.Dir("l.tar")}, layout.ErrInvalid},
		{"missing", nil, layout.ErrNotFound},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := lt.Tar(lt.File("a", "a"))
			cfg := config(digest.FromBytes(a))
			s := &save{
				entries: append([]lt.Entry{lt.File("c.json", cfg), lt.File("a.tar", string(a))}, tt.links...),
				images:  []saved{{Config: "c.json", Layers: []string{"l.tar"}}},
			}
			st, err := Open(write(t, s.tar(t)), "")
			if !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
			if err == nil {
				_ = st.Close()
			}
		})
	}
}

// TestLAY19: as many layers as diffIDs.
func TestLAY19(t *testing.T) {
	s, _ := dockerSave("old")
	s.images[0].Layers = s.images[0].Layers[:2]
	_, err := Open(write(t, s.tar(t)), "")
	if !errors.Is(err, layout.ErrInvalid) || !strings.Contains(err.Error(), "2 layers, but the config has 3 diff_ids") {
		t.Errorf("got %v", err)
	}
}

func TestConfigDigest(t *testing.T) {
	s, _ := dockerSave("old")
	s.entries[0].Content = append(s.entries[0].Content, '\n')
	if _, err := Open(write(t, s.tar(t)), ""); !errors.Is(err, layout.ErrDigest) {
		t.Errorf("got %v, want ErrDigest", err)
	}
}

func TestDockerNames(t *testing.T) {
	one, _ := dockerSave("old", "alpine:3.20", "alpine:latest")
	two, _ := dockerSave("hard", "example.org/x/y:2")
	both := &save{entries: append(one.entries, two.entries...), images: append(one.images, two.images...)}
	both.images[1].Config = "other.json"
	both.entries = append(both.entries, lt.File("other.json", config(digest.FromString("1"), digest.FromString("2"), digest.FromString("3"))))
	b := both.tar(t)
	tests := []struct {
		name string
		want error
	}{
		{"alpine:3.20", nil},
		{"alpine", nil},
		{"docker.io/library/alpine", nil},
		{"example.org/x/y:2", nil},
		{"example.org/x/y", layout.ErrNotFound},
		{"my image!", layout.ErrNotFound},
		{"", layout.ErrAmbiguous},
	}
	for _, tt := range tests {
		ref := write(t, b)
		ref.Name = tt.name
		s, err := Open(ref, "")
		if !errors.Is(err, tt.want) {
			t.Errorf("%q: got %v, want %v", tt.name, err, tt.want)
		}
		if tt.want != nil && err != nil && !strings.Contains(err.Error(), "alpine:3.20") {
			t.Errorf("%q: the names are not listed: %v", tt.name, err)
		}
		if err == nil {
			_ = s.Close()
		}
	}
}

// TestBroken: one clear error each (FMT-7, ERR-6, ERR-7).
func TestBroken(t *testing.T) {
	m := lt.Image(layers()...)
	plain := lt.TarFiles(m.LayoutFiles(m.Root))
	gz := lt.Gzip(plain)
	sparse := lt.RawHeader("oci-layout", 'S', "00000000000\x00", func(b []byte) {
		copy(b[257:265], "ustar  \x00")                        // GNU
		copy(b[386:410], strings.Repeat("00000000000\x00", 2)) // a map of one empty piece
		copy(b[483:495], "00000001000\x00")                    // logical size
	})
	tests := []struct {
		name string
		b    []byte
		opt  Options
		want error
	}{
		{"empty", nil, Options{}, layout.ErrInvalid},
		{"no image", lt.Tar(lt.File("x", "x")), Options{}, layout.ErrInvalid},
		{"cut tar", plain[:len(plain)/2], Options{}, layout.ErrInvalid},
		{"cut gzip", gz[:len(gz)/2], Options{}, layout.ErrInvalid},
		{"bad gzip header", []byte{0x1f, 0x8b, 9, 9}, Options{}, layout.ErrInvalid},
		{"cut zstd", lt.Zstd(plain)[:1000], Options{}, layout.ErrInvalid},
		{"too large", gz, Options{MaxUnpacked: 1000}, layout.ErrTooLarge},
		{"too many", plain, Options{MaxEntries: 3}, layout.ErrTooLarge},
		{"sparse", append(sparse, make([]byte, 1024)...), Options{}, layout.ErrUnsupported},
		{"json limit", lt.Tar(lt.File("manifest.json", "[         ]")), Options{Limits: layout.Limits{IndexBytes: 4}}, layout.ErrTooLarge},
		{"null", lt.Tar(lt.File("manifest.json", "null")), Options{}, layout.ErrNotFound},
		{"object", lt.Tar(lt.File("manifest.json", "{}")), Options{}, layout.ErrInvalid},
		{"path", lt.Tar(lt.File("manifest.json", `[{"Config":"../x"}]`)), Options{}, layout.ErrInvalid},
		{"twice", lt.Tar(lt.File("manifest.json", `[{"Config":"x","config":"y"}]`)), Options{}, layout.ErrInvalid},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ref := write(t, tt.b)
			s, err := OpenOptions(context.Background(), ref, tt.opt)
			if err == nil {
				_, err = layout.LoadImage(context.Background(), s, layout.Platform{})
				_ = s.Close()
			}
			if !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
	if _, err := Open(layout.Reference{Path: filepath.Join(t.TempDir(), "none")}, ""); !errors.Is(err, layout.ErrNotFound) {
		t.Errorf("no file: %v", err)
	}
	if _, err := Open(layout.Reference{Path: t.TempDir()}, ""); !errors.Is(err, layout.ErrInvalid) {
		t.Errorf("directory: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := OpenOptions(ctx, write(t, gz), Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}

// FuzzSaved parses manifest.json of docker archives.
func FuzzSaved(f *testing.F) {
	f.Add([]byte(`[{"Config":"a.json","RepoTags":["a:b"],"Layers":["x/layer.tar"]}]`), "a:b")
	f.Add([]byte(`[{"Config":"a","config":"b"}]`), "")
	f.Add([]byte(`null`), "x")
	f.Fuzz(func(t *testing.T, raw []byte, name string) {
		images, err := parseSaved(raw)
		if err != nil {
			if !errors.Is(err, layout.ErrInvalid) {
				t.Errorf("error without ErrInvalid: %v", err)
			}
			return
		}
		img, err := selectSaved(images, name)
		if err == nil && len(images) == 0 {
			t.Errorf("chose %v among none", img)
		}
	})
}

// FuzzArchive opens any bytes as an archive; whatever opens can be read without harm.
func FuzzArchive(f *testing.F) {
	m := lt.Image(lt.Tar(lt.File("a", "a")))
	f.Add(lt.TarFiles(m.LayoutFiles(m.Root)))
	s, _ := dockerSave("old")
	f.Add(lt.Tar(s.entries...))
	f.Add(lt.Tar(lt.File("manifest.json", `[{"Config":"c.json","Layers":["l"]}]`), lt.File("c.json", config("sha256:"+digest.Digest(strings.Repeat("0", 64)))), lt.File("l", "l")))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 1<<20 || layout.SniffCompression(b) != "" {
			return
		}
		s, err := Open(write(t, b), "")
		if err != nil {
			return
		}
		defer s.Close()
		img, err := layout.LoadImage(context.Background(), s, layout.Platform{})
		if err != nil {
			return
		}
		for _, l := range img.Layers {
			blob, err := layout.OpenBlob(context.Background(), s, l)
			if err != nil {
				continue
			}
			r, err := blob.Range(context.Background(), 0, blob.Size())
			if err != nil {
				t.Fatalf("Range: %v", err)
			}
			got, err := io.ReadAll(r)
			if err != nil || int64(len(got)) != l.Size {
				t.Errorf("layer of %d bytes: got %d, %v", l.Size, len(got), err)
			}
			_ = blob.Close()
		}
	})
}
