// Decode decompresses a file with klauspost/compress, which is the yardstick for what
// building an index costs. It takes gzip and zstd.
//
//	decode FILE
package main

import (
	"bufio"
	"bytes"
	"io"
	"log"
	"os"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("decode: ")
	if len(os.Args) != 2 {
		log.Fatal("usage: decode FILE")
	}
	f, err := os.Open(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	if err := decode(bufio.NewReaderSize(f, 1<<20)); err != nil {
		log.Fatalf("%s: %v", os.Args[1], err)
	}
}

func decode(r *bufio.Reader) error {
	head, err := r.Peek(2)
	if err != nil {
		return err
	}
	if bytes.Equal(head, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(r)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, z)
		return err
	}
	z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1))
	if err != nil {
		return err
	}
	defer z.Close()
	_, err = io.Copy(io.Discard, z)
	return err
}
