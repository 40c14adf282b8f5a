package main

import (
	"archive/tar"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
)

// unit is how long random bytes and text take turns in the big file.
const unit = 256 << 10

// big writes one file of size bytes, "model.bin".
func big(w *tar.Writer, size int64) error {
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "model.bin", Mode: 0o644, Size: size, ModTime: built}); err != nil {
		return err
	}
	_, err := io.CopyN(w, &mixed{rng: rand.New(rand.NewPCG(1, 2))}, size)
	return err
}

// mixed is an endless stream, in turns random bytes and text.
type mixed struct {
	rng  *rand.Rand
	turn int
	left []byte
	buf  [unit]byte
}

func (m *mixed) Read(p []byte) (int, error) {
	if len(m.left) == 0 {
		m.left = m.buf[:]
		if m.turn++; m.turn%2 == 1 {
			for i := 0; i < unit; i += 8 {
				binary.LittleEndian.PutUint64(m.buf[i:], m.rng.Uint64())
			}
		} else {
			for b := m.buf[:]; len(b) > 0; {
				b = b[copy(b, fmt.Sprintf("%s=%d\n", words[m.rng.IntN(len(words))], m.rng.IntN(1000))):]
			}
		}
	}
	n := copy(p, m.left)
	m.left = m.left[n:]
	return n, nil
}

var words = [...]string{"weight", "bias", "scale", "offset", "gamma", "beta", "mean", "variance", "kernel", "stride", "padding", "groups"}

// perDir is how many files many puts into one directory.
const perDir = 100

// many writes n small files, and the directories that they need.
func many(w *tar.Writer, n int) error {
	for i := range n {
		top, dir := fmt.Sprintf("d%04d/", i/perDir/perDir), fmt.Sprintf("d%04d/e%02d/", i/perDir/perDir, i/perDir%perDir)
		if i%(perDir*perDir) == 0 {
			if err := mkdir(w, top); err != nil {
				return err
			}
		}
		if i%perDir == 0 {
			if err := mkdir(w, dir); err != nil {
				return err
			}
		}
		content := fmt.Sprintf("file %d\n", i)
		h := tar.Header{Typeflag: tar.TypeReg, Name: fmt.Sprintf("%sfile-%07d.txt", dir, i), Mode: 0o644, Size: int64(len(content)), ModTime: built}
		if err := w.WriteHeader(&h); err != nil {
			return err
		}
		if _, err := io.WriteString(w, content); err != nil {
			return err
		}
	}
	return nil
}

func mkdir(w *tar.Writer, name string) error {
	return w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: 0o755, ModTime: built})
}
