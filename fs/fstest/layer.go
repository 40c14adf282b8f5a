package fstest

import (
	"context"
	"fmt"
	"io"
	"testing"

	"github.com/shalefs/shalefs/fs"
	"github.com/shalefs/shalefs/index/tarx"
)

// A Layer is a layer in memory.
type Layer struct {
	Entries  []tarx.Entry
	Warnings []string // KIND PATH
	Bytes    []byte   // the tar
}

var _ fs.Layer = (*Layer)(nil)

// NumEntries is part of fs.Layer.
func (l *Layer) NumEntries() int { return len(l.Entries) }

// Entry is part of fs.Layer.
func (l *Layer) Entry(i int, e *tarx.Entry) error {
	*e = l.Entries[i]
	return nil
}

// ReadAt reads the tar, as a loader does.
func (l *Layer) ReadAt(_ context.Context, p []byte, off int64) (int, error) {
	n := copy(p, l.Bytes[min(off, int64(len(l.Bytes))):])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// handler collects what a parser finds.
type handler struct{ l *Layer }

func (h handler) Entry(e *tarx.Entry) error {
	h.l.Entries = append(h.l.Entries, *e)
	return nil
}

func (h handler) Content([]byte) error { return nil }
func (h handler) EndContent() error    { return nil }

func (h handler) Warning(kind tarx.WarningKind, path string) {
	h.l.Warnings = append(h.l.Warnings, fmt.Sprintf("%s %q", kind, path))
}

// Parse makes a layer from a tar.
func Parse(b []byte) (*Layer, error) {
	l := &Layer{Bytes: b}
	p := tarx.NewParser(tarx.Options{}, handler{l})
	if _, err := p.Write(b); err != nil {
		return nil, err
	}
	return l, p.Close()
}

// Layers makes layers from texts, base first.
func Layers(texts ...string) ([]fs.Layer, error) {
	var layers []fs.Layer
	for i, text := range texts {
		b, err := Tar(text)
		if err != nil {
			return nil, fmt.Errorf("layer %d: %w", i, err)
		}
		l, err := Parse(b)
		if err != nil {
			return nil, fmt.Errorf("layer %d: %w", i, err)
		}
		layers = append(layers, l)
	}
	return layers, nil
}

// Tree merges layers made from texts, base first, and returns the tree with its content.
func Tree(tb testing.TB, texts ...string) (*fs.Tree, fs.Content) {
	tb.Helper()
	layers, err := Layers(texts...)
	if err != nil {
		tb.Fatal(err)
	}
	t, err := fs.Merge(context.Background(), layers, fs.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	return t, Content(t, layers)
}

// Content reads files of layers in memory.
func Content(t *fs.Tree, layers []fs.Layer) fs.Content { return memory{t, layers} }

type memory struct {
	t      *fs.Tree
	layers []fs.Layer
}

// ReadAt builds the whole file, holes and all, and cuts out what is wanted.
func (m memory) ReadAt(ctx context.Context, ino fs.Ino, p []byte, off int64) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	ext, err := m.t.Open(ino)
	if err != nil {
		return 0, err
	}
	stored := m.layers[ext.Layer].(*Layer).Bytes[ext.Off : ext.Off+ext.Stored]
	file := stored
	if ext.Sparse != nil {
		file = make([]byte, ext.Size)
		for _, run := range ext.Sparse {
			copy(file[run.Off:run.Off+run.Len], stored)
			stored = stored[run.Len:]
		}
	}
	n := copy(p, file[min(off, ext.Size):])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}
