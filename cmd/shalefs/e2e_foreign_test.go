package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	digest "github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"

	"github.com/shalefs/shalefs/cmd/internal/open"
	"github.com/shalefs/shalefs/layout/registry/registrytest"
)

// These tests read images whose layer indexes other programs made: the libraries of stargz-snapshotter,
// containers and soci-snapshotter (testdata/peers), and skopeo.

// windowMark is what every line of the large file of foreignImage begins with.
const windowMark = "a line of the large file, number"

// foreignImage makes a layout, named "gzip", of two layers that GNU tar packed, with zeros up to a record of
// so many blocks: all kinds of files, then deletions and replacements.
func foreignImage(t *testing.T, blocks string) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("not root")
	}
	requireFuse(t)
	work := t.TempDir()
	image := filepath.Join(work, "image")
	command(t, "umoci", "init", "--layout", image)
	command(t, "umoci", "new", "--image", image+":gzip")
	for i, fill := range []func(t *testing.T, dir string){foreignBase, foreignTop} {
		dir := filepath.Join(work, fmt.Sprint("layer", i))
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		fill(t, dir)
		tar := dir + ".tar"
		command(t, "tar", "-cf", tar, "-b", blocks, "--format=pax", "--xattrs", "--xattrs-include=*", "--numeric-owner", "--sort=name", "-C", dir, ".")
		command(t, "umoci", "raw", "add-layer", "--image", image+":gzip", tar)
	}
	command(t, "umoci", "gc", "--layout", image)
	return image
}

func command(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

// must fails the test at once.
func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func foreignBase(t *testing.T, dir string) {
	t.Helper()
	in := func(name string) string { return filepath.Join(dir, name) }
	for _, d := range []string{"etc/conf", "usr/bin", "usr/share/gone", "usr/share/opaque/deep", "dev"} {
		must(t, os.MkdirAll(in(d), 0o755))
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	var large bytes.Buffer
	for i := 0; large.Len() < 5<<20; i++ {
		fmt.Fprintf(&large, "%s %d, %x\n", windowMark, i, rnd.Uint64())
	}
	noise := make([]byte, 3<<20)
	for i := range noise {
		noise[i] = byte(rnd.Uint32())
	}
	must(t,
		os.WriteFile(in("usr/large"), large.Bytes(), 0o644),
		os.WriteFile(in("usr/noise"), noise, 0o600),
		os.WriteFile(in("usr/bin/setuid"), noise[:5000], 0o755), os.Chmod(in("usr/bin/setuid"), 0o755|os.ModeSetuid),
		os.Link(in("usr/bin/setuid"), in("usr/bin/link")), os.Symlink("../large", in("usr/bin/symlink")),
		os.WriteFile(in("etc/empty"), nil, 0o400), os.WriteFile(in("etc/replaced"), []byte("old\n"), 0o644),
		os.WriteFile(in("etc/x"+strings.Repeat("long", 60)), []byte("long name"), 0o644),
		os.WriteFile(in("etc/größe"), []byte("utf-8"), 0o644),
		unix.Mkfifo(in("dev/fifo"), 0o620), unix.Mknod(in("dev/null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))),
		unix.Mknod(in("dev/disk"), unix.S_IFBLK|0o660, int(unix.Mkdev(259, 70000))),
		os.Lchown(in("dev/fifo"), 70000, 3000000000), os.Lchown(in("usr/noise"), 1, 2),
		os.Chtimes(in("etc/empty"), time.Time{}, time.Unix(1, 0)),
	)
	for i := range 200 {
		must(t, os.WriteFile(in(fmt.Sprintf("usr/share/gone/%03d", i)), noise[i*100:i*150], 0o644),
			os.WriteFile(in(fmt.Sprintf("etc/conf/%03d", i)), noise[i*10:i*100], 0o640))
	}
	must(t, os.WriteFile(in("usr/share/opaque/deep/file"), []byte("hidden"), 0o644))
	for name, value := range map[string]string{"user.b": "second", "user.a": "first\x00\xff", "security.capability": "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"} {
		must(t, unix.Lsetxattr(in("usr/noise"), name, []byte(value), 0))
	}
	must(t, unix.Lsetxattr(in("etc/conf"), "user.dir", []byte("of a directory"), 0))
}

func foreignTop(t *testing.T, dir string) {
	t.Helper()
	in := func(name string) string { return filepath.Join(dir, name) }
	must(t, os.MkdirAll(in("etc/conf"), 0o700), os.MkdirAll(in("usr/share/opaque/new"), 0o755))
	must(t,
		os.WriteFile(in("usr/share/.wh.gone"), nil, 0o644), os.WriteFile(in("etc/conf/.wh.007"), nil, 0o644),
		os.WriteFile(in("usr/share/opaque/.wh..wh..opq"), nil, 0o644),
		os.WriteFile(in("usr/share/opaque/new/file"), []byte("seen"), 0o644),
		os.WriteFile(in("etc/replaced"), []byte("new and longer\n"), 0o755),
	)
}

// convert has a program of testdata/peers make another layout of one, and returns the path.
func convert(t *testing.T, image, program, form string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), form)
	command(t, registrytest.Program(t, program), form, image, out)
	return out
}

// borrowed checks that a mount took all its indexes from one source, without a pass.
func (b *box) borrowed(dir string, want open.Source) []open.LayerInfo {
	b.t.Helper()
	layers := b.layers(dir)
	for _, l := range layers {
		if l.Source != want || l.NotLazy != "" {
			b.t.Errorf("layer %d: index from %q, want %q; %s", l.Number, l.Source, want, l.NotLazy)
		}
	}
	return layers
}

// layers asks a mount for the state of its layers.
func (b *box) layers(dir string) []open.LayerInfo {
	b.t.Helper()
	var reports []statusReport
	if err := json.Unmarshal([]byte(b.run("status", "--json", dir)), &reports); err != nil || len(reports) != 1 || len(reports[0].Layers) != 2 {
		b.t.Fatalf("status: %+v, %v", reports, err)
	}
	return reports[0].Layers
}

// sameAsUmoci compares a mount of ref, whose indexes come from a source, with what umoci unpacks.
func (b *box) sameAsUmoci(ref string, from open.Source, want map[string]fact) (dir string) {
	b.t.Helper()
	dir = b.mount(ref, "-o", "dev,suid")
	b.borrowed(dir, from)
	compareTrees(b.t, "the mount", snapshot(b.t, dir), "umoci", want)
	other := newBox(b.t)
	if got := other.run("cat", ref, "/etc/replaced"); got != "new and longer\n" {
		b.t.Errorf("cat: %q", got)
	}
	if out := other.run("index", "verify", ref); strings.Count(out, "("+string(from)+"): equal\n") != 2 {
		b.t.Errorf("index verify: %s", out)
	}
	return dir
}

// wholeSeconds rounds times, as stargz-snapshotter's library does.
func wholeSeconds(facts map[string]fact) map[string]fact {
	facts = maps.Clone(facts)
	for path, f := range facts {
		f.mtime = (f.mtime + 5e8) / 1e9 * 1e9
		facts[path] = f
	}
	return facts
}

// TestE2EEstargz (FMT-12): eStargz layers that stargz-snapshotter's library makes. It adds files of its own,
// which are in the tree as they are for all who unpack such a layer.
func TestE2EEstargz(t *testing.T) {
	out := convert(t, foreignImage(t, "20"), "toc", "estargz")
	want := snapshot(t, umociUnpack(t, out+":estargz"))
	if _, ok := want["stargz.index.json"]; !ok || len(want) < 200 {
		t.Fatalf("%d files", len(want))
	}
	newBox(t).sameAsUmoci("oci:"+out+":estargz", open.SourceTOC, wholeSeconds(want))
}

// TestE2EZstdChunked (FMT-12): layers of both dialects, by libraries of today and by an older skopeo.
func TestE2EZstdChunked(t *testing.T) {
	image := foreignImage(t, "20")
	want := snapshot(t, umociUnpack(t, image+":gzip"))
	if len(want) < 200 {
		t.Fatalf("%d files", len(want))
	}
	t.Run("containers", func(t *testing.T) {
		out := convert(t, image, "toc", "zstd-chunked")
		newBox(t).sameAsUmoci("oci:"+out+":zstd-chunked", open.SourceTOC, want)
	})
	t.Run("stargz", func(t *testing.T) {
		out := convert(t, image, "toc", "estargz-zstd")
		newBox(t).sameAsUmoci("oci:"+out+":estargz-zstd", open.SourceTOC, withLandmarks(t, out, wholeSeconds(want)))
	})
	t.Run("skopeo", func(t *testing.T) {
		// Such an old one leaves out zeros after the tar's end, so that the config's diffID is wrong.
		image := foreignImage(t, "1")
		want := snapshot(t, umociUnpack(t, image+":gzip"))
		ref := registrytest.Start(t, "distribution").Host() + "/test/chunked:latest"
		dir := filepath.Join(t.TempDir(), "dir")
		skopeo := []string{"--insecure-policy", "copy", "-q", "--dest-tls-verify=false"}
		// It keeps the compression of a layout's layers, but not that of plain tars.
		command(t, "skopeo", append(skopeo, "--dest-decompress", "oci:"+image+":gzip", "dir:"+dir)...)
		command(t, "skopeo", append(skopeo, "--dest-compress-format", "zstd:chunked", "dir:"+dir, "docker://"+ref)...)
		newBox(t).sameAsUmoci(ref, open.SourceTOC, want)
	})
}

// withLandmarks adds the files that stargz-snapshotter's library puts into each layer, which
// umoci cannot tell of layers in zstd.
func withLandmarks(t *testing.T, image string, facts map[string]fact) map[string]fact {
	t.Helper()
	b := newBox(t)
	ref := "oci:" + image + ":estargz-zstd"
	const name = ".no.prefetch.landmark"
	content := b.run("cat", ref, "/"+name)
	if len(content) != 1 {
		t.Errorf("%s: %q", name, content)
	}
	dir := b.mount(ref)
	facts[name] = snapshot(t, dir)[name]
	return facts
}

// TestE2ESOCI (FMT-14): SOCI indexes of both versions that soci-snapshotter's library makes. The check
// behind the mount finds that they tell the truth, after which everything reads as before.
func TestE2ESOCI(t *testing.T) {
	image := foreignImage(t, "20")
	want := snapshot(t, umociUnpack(t, image+":gzip"))
	for _, version := range []string{"v1", "v2"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			out := convert(t, image, "soci", version)
			b := newBox(t)
			dir := b.sameAsUmoci("oci:"+out+":"+version, open.SourceSOCI, want)
			b.waitChecked(dir, func(s string) bool { return s == "yes" })
			b.borrowed(dir, open.SourceSOCI)
			compareTrees(t, "the checked mount", snapshot(t, dir), "umoci", want)
		})
	}
}

// waitChecked waits until the check of every layer ends as it should.
func (b *box) waitChecked(dir string, as func(string) bool) {
	b.t.Helper()
	for end := time.Now().Add(90 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		layers := b.layers(dir)
		if !slices.ContainsFunc(layers, func(l open.LayerInfo) bool { return !as(l.Checked) }) {
			return
		}
		if time.Now().After(end) {
			b.t.Fatalf("the check does not end: %+v", layers)
		}
	}
}

// TestE2ESOCIForged (DIG-15, FMT-14): windows of a ztoc that give other bytes. Who asked to trust nothing
// is not deceived; who read something before the check was done gets no more of the layer after
// it, and the next mount makes an index of its own.
func TestE2ESOCIForged(t *testing.T) {
	image := foreignImage(t, "20")
	out := convert(t, image, "soci", "v1")
	forgeWindows(t, out)
	ref := "oci:" + out + ":v1"
	want, err := os.ReadFile(filepath.Join(umociUnpack(t, image+":gzip"), "usr/large"))
	must(t, err)
	strict := newBox(t)
	if got := strict.run("cat", "--trust", "strict", ref, "/usr/large"); got != string(want) {
		t.Error("strict: other bytes")
	}
	b := newBox(t)
	dir := b.mount(ref)
	b.borrowed(dir, open.SourceSOCI)
	if got, err := os.ReadFile(filepath.Join(dir, "usr/large")); err == nil && bytes.Equal(got, want) {
		t.Fatal("the forged windows change nothing: the test is none")
	}
	b.waitChecked(dir, func(s string) bool { return s == "yes" || strings.HasPrefix(s, "REFUTED: ") })
	for _, name := range []string{"usr/noise", "usr/large"} {
		if _, err := os.ReadFile(filepath.Join(dir, name)); !errors.Is(err, unix.EIO) {
			t.Errorf("%s of a refuted layer: %v", name, err)
		}
	}
	b.run("umount", dir)
	dir = b.mount(ref)
	if got, err := os.ReadFile(filepath.Join(dir, "usr/large")); err != nil || !bytes.Equal(got, want) {
		t.Errorf("after the refutation: other bytes, %v", err)
	}
}

// forgeWindows changes the text in the windows of all ztocs of a layout with a SOCI index v1, and
// all digests that name them.
func forgeWindows(t *testing.T, image string) {
	t.Helper()
	blob := func(d digest.Digest) string { return filepath.Join(image, "blobs", "sha256", d.Encoded()) }
	read := func(path string, v any) {
		b, err := os.ReadFile(path)
		must(t, err)
		must(t, json.Unmarshal(b, v))
	}
	write := func(b []byte) (d digest.Digest) {
		d = digest.FromBytes(b)
		must(t, os.WriteFile(blob(d), b, 0o644))
		return d
	}
	var list, artifact map[string]any
	read(filepath.Join(image, "index.json"), &list)
	root := list["manifests"].([]any)[1].(map[string]any)
	read(blob(digest.Digest(root["digest"].(string))), &artifact)
	forged := 0
	for _, l := range artifact["layers"].([]any) {
		desc := l.(map[string]any)
		b, err := os.ReadFile(blob(digest.Digest(desc["digest"].(string))))
		must(t, err)
		forged += bytes.Count(b, []byte(windowMark))
		desc["digest"] = write(bytes.ReplaceAll(b, []byte(windowMark), []byte(strings.ToUpper(windowMark)))).String()
	}
	if forged < 100 {
		t.Fatalf("only %d places in the windows", forged)
	}
	b, err := json.Marshal(artifact)
	must(t, err)
	root["digest"], root["size"] = write(b).String(), len(b)
	b, err = json.Marshal(list)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(image, "index.json"), b, 0o644))
}
