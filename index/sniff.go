package index

import (
	"fmt"

	"github.com/shalefs/shalefs/layout"
)

// Sniff tells a layer's compression from its first bytes (D7, FMT-4): 512 of them, or
// all there are. It returns "gzip", "zstd" or "tar"; a blob that is empty or zeros is a tar.
// Errors: layout.ErrUnsupported.
func Sniff(b []byte) (string, error) {
	switch {
	case len(b) == 0:
		return "tar", nil
	case len(b) >= 512 && tarSum(b[:512]):
		return "tar", nil
	case len(b) >= 2 && b[0] == 0x1f && b[1] == 0x8b:
		return "gzip", nil
	case len(b) >= 4 && (le.Uint32(b) == 0xfd2fb528 || le.Uint32(b)&^0xf == 0x184d2a50):
		return "zstd", nil
	case allZero(b[:min(len(b), 512)]):
		return "tar", nil
	}
	return "", fmt.Errorf("%w: neither tar nor gzip nor zstd, it starts with % x", layout.ErrUnsupported, b[:min(len(b), 8)])
}

// tarSum says whether the header checksum of a tar block is right.
func tarSum(b []byte) bool {
	var want, got int64
	digits := 0
	for _, c := range b[148:156] {
		switch {
		case c >= '0' && c <= '7':
			want, digits = want<<3|int64(c-'0'), digits+1
		case digits > 0 || c != ' ':
			if c != ' ' && c != 0 {
				return false
			}
		}
	}
	if digits == 0 {
		return false
	}
	for i, c := range b {
		if i >= 148 && i < 156 {
			c = ' '
		}
		got += int64(c)
	}
	return got == want
}

func allZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
