// Randread reads 4 KiB at random places of the files in a tree, each once, and prints
// the mean, the median and the 99th percentile of the times, in milliseconds.
//
//	randread [-n 400] [-seed 1] DIR
//
// The places are chosen among all 64 KiB blocks of the regular files, so that no read
// profits from another one that hit the same block. The kernel is told not to read ahead.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	iofs "io/fs"
	"log"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

const (
	block = 64 << 10
	size  = 4 << 10
)

// A place is one block of a file.
type place struct {
	path string
	off  int64
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("randread: ")
	n := flag.Int("n", 400, "number of reads")
	seed := flag.Uint64("seed", 1, "of the random numbers")
	flag.Parse()
	if flag.NArg() != 1 || *n < 1 {
		flag.Usage()
		os.Exit(2)
	}
	all, err := places(flag.Arg(0))
	if err != nil {
		log.Fatal(err)
	}
	if len(all) == 0 {
		log.Fatalf("%s: no file of %d bytes", flag.Arg(0), size)
	}
	rng := rand.New(rand.NewPCG(*seed, 0))
	rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	all = all[:min(*n, len(all))]
	took := make([]time.Duration, 0, len(all))
	var sum time.Duration
	for _, p := range all {
		t, err := p.read()
		if err != nil {
			log.Fatal(err)
		}
		took = append(took, t)
		sum += t
	}
	slices.Sort(took)
	ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
	fmt.Printf("%.3f %.3f %.3f\n", ms(sum)/float64(len(took)), ms(took[len(took)/2]), ms(took[(len(took)*99)/100]))
}

// places lists the blocks below dir that hold at least one read.
func places(dir string) ([]place, error) {
	var all []place
	err := filepath.WalkDir(dir, func(path string, d iofs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		for off := int64(0); off+size <= info.Size(); off += block {
			all = append(all, place{path, off})
		}
		return nil
	})
	return all, err
}

// read reads one place and returns how long that took, without opening the file.
func (p place) read() (took time.Duration, err error) {
	f, err := os.Open(p.path)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_RANDOM); err != nil {
		return 0, fmt.Errorf("%s: %w", p.path, err)
	}
	var b [size]byte
	began := time.Now()
	n, err := f.ReadAt(b[:], p.off)
	took = time.Since(began)
	if err == io.EOF && n == size {
		err = nil
	}
	return took, err
}
