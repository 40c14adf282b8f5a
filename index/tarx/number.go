package tarx

import (
	"bytes"
	"math"
	"strconv"
	"strings"
)

// cString returns the bytes of a header field up to its first NUL.
func cString(b []byte) []byte {
	if i := bytes.IndexByte(b, 0); i >= 0 {
		return b[:i]
	}
	return b
}

// number reads a numeric header field: octal digits with spaces and NULs around
// them, or, with the top bit set, a big-endian two's complement number (GNU, star).
// An empty field is 0.
func number(b []byte) (int64, bool) {
	if len(b) > 0 && b[0]&0x80 != 0 {
		return base256(b)
	}
	i := 0
	for i < len(b) && (b[i] == ' ' || b[i] == 0) {
		i++
	}
	var v int64
	for ; i < len(b) && b[i] >= '0' && b[i] <= '7'; i++ {
		if v > math.MaxInt64>>3 {
			return 0, false
		}
		v = v<<3 | int64(b[i]-'0')
	}
	// What follows the digits' end is a terminator; after a NUL anything may stand.
	for ; i < len(b) && b[i] != 0; i++ {
		if b[i] != ' ' {
			return 0, false
		}
	}
	return v, true
}

// base256 reads the binary form of number. Bit 7 of the first byte marks the form,
// bit 6 is the sign.
func base256(b []byte) (int64, bool) {
	v := int64(b[0] & 0x3f)
	if b[0]&0x40 != 0 {
		v |= ^0x3f
	}
	for _, c := range b[1:] {
		if v > math.MaxInt64>>8 || v < math.MinInt64>>8 {
			return 0, false
		}
		v = v<<8 | int64(c)
	}
	return v, true
}

// decimal reads an integer of a PAX record.
func decimal(s string) (int64, bool) {
	v, err := strconv.ParseInt(s, 10, 64)
	return v, err == nil
}

// paxTime reads a time of a PAX record, "-12.345", as seconds and nanoseconds [0, 1e9).
// Digits after the ninth are cut off.
func paxTime(s string) (sec int64, nsec uint32, ok bool) {
	whole, frac, _ := strings.Cut(s, ".")
	sec, ok = decimal(whole)
	if !ok {
		return 0, 0, false
	}
	scale := uint32(100_000_000)
	for i := range len(frac) {
		c := frac[i]
		if c < '0' || c > '9' {
			return 0, 0, false
		}
		nsec += uint32(c-'0') * scale
		scale /= 10
	}
	if nsec > 0 && whole[0] == '-' {
		if sec == math.MinInt64 {
			return 0, 0, false
		}
		sec, nsec = sec-1, 1_000_000_000-nsec
	}
	return sec, nsec, true
}
