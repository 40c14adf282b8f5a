package layouttest

import (
	"context"
	"testing"

	"github.com/shalefs/shalefs/layout"
)

func testImageLayers() [][]byte {
	a := Tar(Dir("etc/"), File("etc/a", string(Bytes(5000))))
	b := Tar(File("etc/b", "b"), Symlink("l", "etc/b"), Hardlink("h", "etc/b"))
	return [][]byte{a, Gzip(b), Zstd(a)}
}

func TestMemory(t *testing.T) {
	TestStore(t, func(t *testing.T) (layout.Store, Expected) {
		m := Image(testImageLayers()...)
		return m, m.Expect(t)
	})
}

func TestCounters(t *testing.T) {
	m := Image(testImageLayers()...)
	img := loadImage(t, m)
	if got := m.Counters.Documents.Load(); got != 2 {
		t.Errorf("an image took %d documents, want 2", got)
	}
	b, err := m.Blob(context.Background(), img.Layers[0])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.ReadAt(context.Background(), make([]byte, 100), 7); err != nil {
		t.Fatal(err)
	}
	if r, n := m.Counters.Requests.Load(), m.Counters.Bytes.Load(); r != 1 || n != 100 {
		t.Errorf("got %d requests and %d bytes, want 1 and 100", r, n)
	}
}

func TestWriteLayout(t *testing.T) {
	TestStore(t, func(t *testing.T) (layout.Store, Expected) {
		m := Image(testImageLayers()...)
		dir := t.TempDir()
		if err := m.WriteLayout(dir); err != nil {
			t.Fatal(err)
		}
		s, err := layout.OpenLayout(dir, layout.Reference{})
		if err != nil {
			t.Fatal(err)
		}
		return s, m.Expect(t)
	})
}
