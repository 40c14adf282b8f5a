package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"github.com/shalefs/shalefs/fs/fusefs"
	"github.com/shalefs/shalefs/layout/layouttest"
	"github.com/shalefs/shalefs/layout/registry/registrytest"
)

// The lifecycle tests mount for real, with the program as it ships, and kill it, cut it
// off and run several of it at a time.

// A remoteImage is an image in a registry behind a proxy that can be told to fail.
type remoteImage struct {
	ref   string
	files map[string][]byte
	proxy *registrytest.Proxy
}

// newRemoteImage makes an image of n files of about size bytes in two layers, one in
// gzip and one in zstd, half of it compressible.
func newRemoteImage(t *testing.T, n, size int) *remoteImage {
	t.Helper()
	requireFuse(t)
	img := &remoteImage{files: map[string][]byte{}}
	rnd := rand.New(rand.NewPCG(1, uint64(n)))
	var layers [2]map[string][]byte
	for i := range layers {
		layers[i] = map[string][]byte{}
	}
	for i := range n {
		b := make([]byte, size/2+rnd.IntN(size))
		for j := range b {
			if b[j] = byte(rnd.Uint32()); j%2048 > 700 {
				b[j] = byte('a' + j%17)
			}
		}
		name := fmt.Sprintf("dir%d/file%d", i%5, i)
		layers[i%2][name], img.files[name] = b, b
	}
	m := layouttest.Image(layouttest.Gzip(layouttest.TarFiles(layers[0])), layouttest.Zstd(layouttest.TarFiles(layers[1])))
	dir := filepath.Join(t.TempDir(), "layout")
	if err := m.WriteLayout(dir); err != nil {
		t.Fatal(err)
	}
	reg := registrytest.Start(t, "olareg")
	pushLayout(t, reg, dir, "test/image", "latest")
	img.proxy = registrytest.NewProxy(t, reg, registrytest.Options{})
	img.ref = img.proxy.Host() + "/test/image:latest"
	return img
}

// pushLayout copies the one image of a layout to a registry.
func pushLayout(t *testing.T, reg *registrytest.Registry, dir, repository, tag string) {
	t.Helper()
	read := func(d ocispec.Descriptor) []byte {
		b, err := os.ReadFile(filepath.Join(dir, "blobs", string(d.Digest.Algorithm()), d.Digest.Encoded()))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	var index ocispec.Index
	var manifest ocispec.Manifest
	b, err := os.ReadFile(filepath.Join(dir, "index.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &index); err != nil {
		t.Fatal(err)
	}
	raw := read(index.Manifests[0])
	if err := json.Unmarshal(raw, &manifest); err != nil {
		t.Fatal(err)
	}
	for _, d := range append(manifest.Layers, manifest.Config) {
		reg.PushBlob(t, repository, read(d))
	}
	reg.PushManifest(t, repository, tag, index.Manifests[0].MediaType, raw)
}

// down makes the proxy refuse everything; up makes it honest again.
func (img *remoteImage) down() {
	img.proxy.SetRules(&registrytest.Rule{Match: registrytest.Any(registrytest.Front), Count: -1, Fault: registrytest.Reset(0)})
}

func (img *remoteImage) up() { img.proxy.SetRules() }

// check reads every file below dir and compares.
func (img *remoteImage) check(t *testing.T, dir string) {
	t.Helper()
	for name, want := range img.files {
		got, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("%s: wrong content", name)
		}
	}
}

// recovered reads every file below dir, and gives the mount a minute to get over what it was
// told before: a chunk that was wrong twice is not asked for again at once.
func (img *remoteImage) recovered(t *testing.T, dir string) {
	t.Helper()
	for name, want := range img.files {
		for end := time.Now().Add(time.Minute); ; time.Sleep(200 * time.Millisecond) {
			got, err := os.ReadFile(filepath.Join(dir, name))
			if err == nil && !bytes.Equal(got, want) {
				t.Fatalf("%s: wrong content", name)
			}
			if err == nil {
				break
			}
			if !errors.Is(err, unix.EIO) || time.Now().After(end) {
				t.Fatal(err)
			}
		}
	}
}

// pid is the daemon that serves dir.
func (b *box) pid(dir string) int {
	b.t.Helper()
	var reports []statusReport
	if err := json.Unmarshal([]byte(b.run("status", "--json", dir)), &reports); err != nil || len(reports) != 1 {
		b.t.Fatalf("status of %s: %v, %d reports", dir, err, len(reports))
	}
	return reports[0].PID
}

// gone waits until a process has ended.
func gone(t *testing.T, pid int) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil || bytes.Contains(b, []byte(") Z ")) {
			return
		}
	}
	t.Fatalf("process %d is still there", pid)
}

func TestLifecycleKillAndMountAgain(t *testing.T) {
	img := newRemoteImage(t, 10, 200<<10)
	b := newBox(t)
	dir := b.mount(img.ref)
	for range 3 {
		img.check(t, dir)
		pid := b.pid(dir)
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		gone(t, pid)
		b.run("mount", img.ref, dir)
	}
	img.check(t, dir)
	// A dead mount is cleaned up by umount, too.
	pid := b.pid(dir)
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	gone(t, pid)
	b.run("umount", dir)
	if _, err := fusefs.FindMount(dir); err == nil {
		t.Error("the dead mount is still there")
	}
	if out := b.run("status"); out != "" {
		t.Errorf("status after umount: %s", out)
	}
}

// hang starts a read that never ends by itself, and returns when it waits.
func (img *remoteImage) hang(t *testing.T, dir string) (done chan error) {
	t.Helper()
	img.proxy.SetRules(&registrytest.Rule{Match: registrytest.Blobs(registrytest.Front), Count: -1, Fault: registrytest.Stall(0)})
	img.proxy.Forget()
	done = make(chan error, 1)
	cmd := exec.Command("cat", filepath.Join(dir, "dir0/file0"))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { done <- cmd.Wait() }()
	for end := time.Now().Add(30 * time.Second); len(img.proxy.Seen(nil)) == 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the read asks for nothing")
		}
	}
	return done
}

// shared pushes the indexes of the image with another cache, so that a new one starts lazily.
func (img *remoteImage) shared(t *testing.T) {
	t.Helper()
	newBox(t).run("index", "push", img.ref)
}

// TestLifecycleEndsWhileReadsHang: SIGTERM and umount end within a second by themselves,
// whatever the registry does; the test allows more, as machines are busy.
func TestLifecycleEndsWhileReadsHang(t *testing.T) {
	const allowed = 15 * time.Second
	for _, how := range []string{"SIGTERM", "umount --lazy"} {
		t.Run(how, func(t *testing.T) {
			img := newRemoteImage(t, 10, 200<<10)
			img.shared(t)
			b := newBox(t)
			dir := b.mount(img.ref, "--trust=registry", "--prefetch=none")
			pid := b.pid(dir)
			done := img.hang(t, dir)
			if how != "SIGTERM" {
				if _, errText, err := b.try("umount", dir); err == nil || !strings.Contains(errText, "--lazy") {
					t.Errorf("umount of a mount in use: %v, %s", err, errText)
				}
			}
			start := time.Now()
			if how == "SIGTERM" {
				if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
					t.Fatal(err)
				}
			} else {
				b.run("umount", "--lazy", dir)
			}
			select {
			case err := <-done:
				if err == nil {
					t.Error("the reader got its file")
				}
			case <-time.After(allowed):
				t.Error("the reader still waits")
			}
			gone(t, pid)
			if took := time.Since(start); took > allowed {
				t.Errorf("it took %v", took)
			} else {
				t.Logf("it took %v", took)
			}
			if _, err := fusefs.FindMount(dir); err == nil {
				t.Error("the mount is still there")
			}
		})
	}
}

func TestLifecycleOffline(t *testing.T) {
	img := newRemoteImage(t, 10, 200<<10)
	b := newBox(t)
	dir := b.mount(img.ref)
	img.check(t, dir)
	b.run("umount", dir)

	// Gone: everything is there, by tag and by digest; a digest asks for nothing at all.
	img.down()
	b.mountAt(dir, img.ref, "--deadline=2s")
	img.check(t, dir)
	var reports []statusReport
	if err := json.Unmarshal([]byte(b.run("status", "--json", dir)), &reports); err != nil {
		t.Fatal(err)
	}
	if !reports[0].Stale {
		t.Error("status does not say that the tag could not be looked up")
	}
	b.run("umount", dir)
	byDigest := strings.Replace(img.ref, ":latest", "@"+reports[0].Digest, 1)
	img.up()
	b.run("ls", byDigest) // the cache gets to know the reference
	img.proxy.Forget()
	img.down()
	b.mountAt(dir, byDigest)
	img.check(t, dir)
	if seen := img.proxy.Seen(nil); len(seen) != 0 {
		t.Errorf("a digest that is cached cost %d requests, first %+v", len(seen), seen[0])
	}
	b.run("umount", dir)
}

// TestLifecycleRegistryAway: what is cached is served, also to files that were open; what is
// not is EIO within the deadline, never ENOENT, while names need no registry at all (ERR-2, ERR-4);
// and all is well when the registry is back. The same when it stands but refuses: credentials that
// expired, a repository that was deleted (ERR-5).
func TestLifecycleRegistryAway(t *testing.T) {
	for name, fault := range map[string]registrytest.Fault{
		"gone":    registrytest.Reset(0),
		"refuses": registrytest.Status(http.StatusUnauthorized, nil, ""),
		"deleted": registrytest.Status(http.StatusNotFound, nil, ""),
	} {
		t.Run(name, func(t *testing.T) { registryAway(t, fault) })
	}
}

func registryAway(t *testing.T, fault registrytest.Fault) {
	img := newRemoteImage(t, 12, 600<<10)
	img.shared(t)
	b := newBox(t)
	dir := b.mount(img.ref, "--trust=registry", "--prefetch=none", "--deadline=3s")
	first := filepath.Join(dir, "dir0/file0")
	open, err := os.Open(first)
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	if _, err := io.ReadAll(open); err != nil {
		t.Fatal(err)
	}
	img.proxy.SetRules(&registrytest.Rule{Match: registrytest.Any(registrytest.Front), Count: -1, Fault: fault})
	if _, err := open.Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(open); err != nil || !bytes.Equal(got, img.files["dir0/file0"]) {
		t.Errorf("an open file lost what was read: %v", err)
	}
	if _, err := os.ReadFile(filepath.Join(dir, "dir1/file11")); !errors.Is(err, unix.EIO) {
		t.Errorf("a file that is not cached: %v, want EIO", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "dir1/file11")); err != nil {
		t.Errorf("its name: %v", err)
	}
	img.up()
	img.recovered(t, dir)
}

// TestLifecycleLies: bytes that the registry changes never come through.
func TestLifecycleLies(t *testing.T) {
	img := newRemoteImage(t, 6, 300<<10)
	img.shared(t)
	b := newBox(t)
	dir := b.mount(img.ref, "--trust=registry", "--prefetch=none", "--deadline=5s")
	img.proxy.SetRules(&registrytest.Rule{Match: registrytest.Blobs(registrytest.Front), Count: -1, Fault: registrytest.Corrupt()})
	for name, want := range img.files {
		got, err := os.ReadFile(filepath.Join(dir, name))
		if err == nil && !bytes.Equal(got, want) {
			t.Fatalf("%s: wrong bytes", name)
		}
		if err != nil && !errors.Is(err, unix.EIO) {
			t.Errorf("%s: %v, want EIO", name, err)
		}
	}
	out := b.run("status", dir)
	if !strings.Contains(out, "last error") {
		t.Errorf("status does not tell what went wrong:\n%s", out)
	}
	// Without an index, the layer is refused.
	if _, errText, err := newBox(t).try("ls", "--trust=strict", img.ref); err == nil || !strings.Contains(errText, "sha256:") {
		t.Errorf("a changed layer: %v, %s", err, errText)
	}
}

// TestLifecycleShare: two mounts and ten processes use one cache at the same time.
func TestLifecycleShare(t *testing.T) {
	img := newRemoteImage(t, 12, 400<<10)
	img.shared(t)
	b := newBox(t)
	dirs := []string{b.mount(img.ref, "--trust=registry"), b.mount(img.ref, "--trust=registry", "--cache-size=4MiB")}
	errs := make(chan error)
	readers := 0
	for i := range 10 {
		readers++
		go func() {
			rnd := rand.New(rand.NewPCG(uint64(i), 2))
			for range 30 {
				name := fmt.Sprintf("dir%d/file%d", rnd.IntN(5), rnd.IntN(12))
				want, ok := img.files[name]
				if !ok {
					continue
				}
				var got []byte
				var said string
				var err error
				if i%5 == 0 {
					var out string
					out, said, err = b.try("cat", "--trust=registry", img.ref, "/"+name)
					got = []byte(out)
				} else {
					got, err = os.ReadFile(filepath.Join(dirs[i%2], name))
				}
				if err != nil || !bytes.Equal(got, want) {
					errs <- fmt.Errorf("reader %d: %s: %w, %d bytes of %d\n%s", i, name, err, len(got), len(want), said)
					return
				}
			}
			errs <- nil
		}()
	}
	for range readers {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

// TestLifecycleKillLoop: an index build that is killed again and again goes on, and ends right.
func TestLifecycleKillLoop(t *testing.T) {
	img := newRemoteImage(t, 20, 1<<20)
	b := newBox(t)
	rnd := rand.New(rand.NewPCG(3, 4))
	for i := range 12 {
		cmd := b.command("index", "build", img.ref)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- cmd.Wait() }()
		select {
		case <-done:
		case <-time.After(time.Duration(rnd.IntN(40*(i+1))) * time.Millisecond):
			_ = cmd.Process.Kill()
			<-done
		}
	}
	b.run("index", "verify", img.ref)
	b.run("cache", "verify")
	dir := b.mount(img.ref)
	img.check(t, dir)
}
