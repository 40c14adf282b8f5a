package tarx

import (
	"bytes"
	"encoding/binary"
)

// BlockBytes is the size of a tar block.
const BlockBytes = 512

// Fields of a header block: offset, length.
//
//	0 name 100 | 100 mode 8 | 108 uid 8 | 116 gid 8 | 124 size 12 | 136 mtime 12 | 148 checksum 8
//	156 type 1 | 157 link 100 | 257 magic 6 | 263 version 2 | 265 uname 32 | 297 gname 32
//	329 major 8 | 337 minor 8 | 345 prefix 155 (star: 131)
//	GNU:  345 atime 12 | 357 ctime 12 | 386 sparse map 4 x 24 | 482 more 1 | 483 real size 12
//	star: 508 "tar\0"

// A dialect is what a header's magic says of the fields behind it.
type dialect uint8

const (
	v7 dialect = iota
	ustar
	gnu
	star
)

func dialectOf(blk []byte) dialect {
	switch {
	case string(blk[257:265]) == "ustar  \x00":
		return gnu
	case string(blk[257:263]) != "ustar\x00":
		return v7
	case string(blk[508:512]) == "tar\x00":
		return star
	}
	return ustar
}

var zeroBlock [BlockBytes]byte

func isZero(b []byte) bool { return bytes.Equal(b, zeroBlock[:len(b)]) }

// IsHeader says whether b begins with a tar header block: one whose checksum is right (FMT-4).
// A block of zeros is none.
func IsHeader(b []byte) bool {
	return len(b) >= BlockBytes && checkSum(b[:BlockBytes]) == nil
}

// checkSum compares a header's bytes with its checksum field, which counts as spaces.
// Some old writers added the bytes up as signed numbers.
func checkSum(blk []byte) error {
	want, ok := number(blk[148:156])
	if !ok {
		return formatf("no header checksum")
	}
	sum := byteSum(blk) - byteSum8(blk[148:156]) + 8*' '
	if sum == want {
		return nil
	}
	signed := sum
	for i, c := range blk {
		if c >= 0x80 && (i < 148 || i >= 156) {
			signed -= 256
		}
	}
	if signed == want {
		return nil
	}
	return formatf("wrong header checksum")
}

// byteSum adds up the bytes of a block, eight at a time in four 16-bit lanes: each
// lane takes 2 x 64 bytes, at most 32,640.
func byteSum(blk []byte) int64 {
	const lanes = 0x00ff00ff00ff00ff
	var acc uint64
	for i := 0; i+8 <= len(blk); i += 8 {
		w := binary.LittleEndian.Uint64(blk[i:])
		acc += w&lanes + w>>8&lanes
	}
	return int64(acc&0xffff + acc>>16&0xffff + acc>>32&0xffff + acc>>48)
}

func byteSum8(b []byte) int64 {
	var n int64
	for _, c := range b {
		n += int64(c)
	}
	return n
}

// A header is what a header block says by itself.
type header struct {
	typeflag   byte
	dialect    dialect
	mode       int64
	uid, gid   int64
	size       int64
	mtime      int64
	name, link []byte // parts of the block
	prefix     []byte // part of the block, or empty
}

func (h *header) parse(blk []byte) error {
	if err := checkSum(blk); err != nil {
		return err
	}
	h.typeflag, h.dialect = blk[156], dialectOf(blk)
	h.name, h.link, h.prefix = cString(blk[:100]), cString(blk[157:257]), nil
	for _, f := range []struct {
		to   *int64
		b    []byte
		name string
	}{
		{&h.mode, blk[100:108], "mode"},
		{&h.uid, blk[108:116], "uid"},
		{&h.gid, blk[116:124], "gid"},
		{&h.size, blk[124:136], "size"},
		{&h.mtime, blk[136:148], "mtime"},
	} {
		var ok bool
		if *f.to, ok = number(f.b); !ok {
			return formatf("%s field", f.name)
		}
	}
	switch h.dialect {
	case ustar:
		h.prefix = cString(blk[345:500])
	case star:
		h.prefix = cString(blk[345:476])
	case gnu:
		// Go before 1.8 wrote long names as ustar does, under GNU's magic. Where GNU
		// has times, such a header has text.
		_, ok1 := number(blk[345:357])
		_, ok2 := number(blk[357:369])
		if !ok1 || !ok2 {
			h.prefix = cString(blk[345:500])
		}
	}
	return nil
}

// devices reads the device numbers, which v7 headers have none of.
func (h *header) devices(blk []byte) (major, minor uint32, err error) {
	if h.dialect == v7 {
		return 0, 0, nil
	}
	maj, ok1 := number(blk[329:337])
	mnr, ok2 := number(blk[337:345])
	switch {
	case !ok1 || !ok2:
		return 0, 0, formatf("device number field")
	case maj < 0 || maj > 1<<12-1 || mnr < 0 || mnr > 1<<20-1:
		return 0, 0, unsupportedf("device %d:%d", maj, mnr) // ENT-12
	}
	return uint32(maj), uint32(mnr), nil
}

// kindOf maps a type to a kind; ok is false for types that are refused (ENT-5, ENT-6).
// slash says that the name ends in a slash (ENT-7).
func kindOf(typeflag byte, slash bool) (kind Kind, ok bool) {
	switch typeflag {
	case 0:
		if slash {
			return Directory, true
		}
		return Regular, true
	case '0', '7', 'S':
		return Regular, true
	case '1':
		return Hardlink, true
	case '2':
		return Symlink, true
	case '3':
		return Char, true
	case '4':
		return Block, true
	case '5':
		return Directory, true
	case '6':
		return Fifo, true
	}
	return 0, false
}
