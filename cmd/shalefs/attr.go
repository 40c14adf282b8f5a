package main

import (
	"encoding/base64"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/shalefs/shalefs/fs"
	"github.com/shalefs/shalefs/index/tarx"
)

// kindLetters are what "ls -l" prints first.
var kindLetters = map[tarx.Kind]byte{
	tarx.Regular: '-', tarx.Directory: 'd', tarx.Symlink: 'l', tarx.Char: 'c', tarx.Block: 'b', tarx.Fifo: 'p',
}

var kindNames = map[tarx.Kind]string{
	tarx.Regular: "file", tarx.Directory: "directory", tarx.Symlink: "symlink", tarx.Char: "char", tarx.Block: "block", tarx.Fifo: "fifo",
}

// modeString is the ten characters of "ls -l".
func modeString(a fs.Attr) string {
	b := []byte("?rwxrwxrwx")
	if c, ok := kindLetters[a.Kind]; ok {
		b[0] = c
	}
	for i := range 9 {
		if a.Perm&(1<<(8-i)) == 0 {
			b[i+1] = '-'
		}
	}
	special := func(bit uint16, at int, with, without byte) {
		switch {
		case a.Perm&bit == 0:
		case b[at] == '-':
			b[at] = without
		default:
			b[at] = with
		}
	}
	special(0o4000, 3, 's', 'S')
	special(0o2000, 6, 's', 'S')
	special(0o1000, 9, 't', 'T')
	return string(b)
}

// sizeString is the size, or the device numbers.
func sizeString(a fs.Attr) string {
	if a.Kind == tarx.Char || a.Kind == tarx.Block {
		return fmt.Sprintf("%d, %d", a.Major, a.Minor)
	}
	return fmt.Sprint(a.Size)
}

func mtime(a fs.Attr) time.Time { return time.Unix(a.MTime, int64(a.MTimeNano)).UTC() }

// An entryJSON is a file as the --json outputs show it. Names that are not UTF-8 are in path_base64.
type entryJSON struct {
	Path       string            `json:"path"`
	PathBase64 string            `json:"path_base64,omitempty"`
	Type       string            `json:"type"`
	Mode       string            `json:"mode"` // octal permission bits
	UID        uint32            `json:"uid"`
	GID        uint32            `json:"gid"`
	Size       int64             `json:"size"` // bytes
	MTime      time.Time         `json:"mtime"`
	Inode      fs.Ino            `json:"inode"`
	Nlink      uint32            `json:"nlink"`
	Target     string            `json:"target,omitempty"`
	Major      *uint32           `json:"major,omitempty"`
	Minor      *uint32           `json:"minor,omitempty"`
	Layer      int               `json:"layer"`
	Xattrs     map[string][]byte `json:"xattrs,omitempty"` // base64
	BLAKE3     string            `json:"blake3,omitempty"` // of the stored bytes
}

func newEntryJSON(tree *fs.Tree, path string, ino fs.Ino) (entryJSON, error) {
	a := tree.Attr(ino)
	e := entryJSON{
		Path: path, Type: kindNames[a.Kind], Mode: fmt.Sprintf("%04o", a.Perm), UID: a.UID, GID: a.GID,
		Size: a.Size, MTime: mtime(a), Inode: ino, Nlink: a.Nlink, Layer: a.Layer,
	}
	if !utf8.ValidString(path) {
		e.PathBase64 = base64.StdEncoding.EncodeToString([]byte(path))
	}
	switch a.Kind {
	case tarx.Symlink:
		target, err := tree.Readlink(ino)
		if err != nil {
			return e, err
		}
		e.Target = target
	case tarx.Char, tarx.Block:
		e.Major, e.Minor = &a.Major, &a.Minor
	case tarx.Regular:
		x, err := tree.Open(ino)
		if err != nil {
			return e, err
		}
		if x.Digest != [32]byte{} {
			e.BLAKE3 = fmt.Sprintf("%x", x.Digest)
		}
	}
	xattrs, err := tree.Xattrs(ino)
	if err != nil {
		return e, err
	}
	for _, x := range xattrs {
		if e.Xattrs == nil {
			e.Xattrs = map[string][]byte{}
		}
		e.Xattrs[x.Name] = x.Value
	}
	return e, nil
}
