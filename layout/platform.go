package layout

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// A Platform is an operating system and a processor architecture.
type Platform = ocispec.Platform

// ParsePlatform parses OS/ARCH or OS/ARCH/VARIANT, and normalises it. The operating system may carry
// a version in parentheses, windows(10.0.20348)/amd64 (IDX-9). The error wraps ErrInvalid.
func ParsePlatform(s string) (Platform, error) {
	parts := strings.Split(s, "/")
	if len(parts) < 2 || len(parts) > 3 {
		return Platform{}, fmt.Errorf("platform %q is not os/architecture[/variant]: %w", s, ErrInvalid)
	}
	p := Platform{OS: parts[0], Architecture: parts[1]}
	if name, rest, ok := strings.Cut(p.OS, "("); ok && strings.HasSuffix(rest, ")") {
		p.OS, p.OSVersion = name, strings.TrimSuffix(rest, ")")
	}
	if len(parts) == 3 {
		p.Variant = parts[2]
	}
	for i, part := range append([]string{p.OS}, parts[1:]...) {
		if !platformWord(part) {
			return Platform{}, fmt.Errorf("platform %q, part %d: %w", s, i+1, ErrInvalid)
		}
	}
	return NormalizePlatform(p), nil
}

func platformWord(s string) bool {
	for _, c := range []byte(s) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '.', c == '_', c == '-':
		default:
			return false
		}
	}
	return s != ""
}

// DefaultPlatform is linux on the processor of this machine (IDX-6).
func DefaultPlatform() Platform {
	p := Platform{OS: "linux", Architecture: runtime.GOARCH}
	if p.Architecture == "arm" {
		p.Variant = armVariant("/proc/cpuinfo")
	}
	return NormalizePlatform(p)
}

// armVariant reads the architecture version of a 32-bit arm processor; v7 if it is not known.
func armVariant(cpuinfo string) string {
	f, err := os.Open(cpuinfo)
	if err != nil {
		return "v7"
	}
	defer f.Close()
	for sc := bufio.NewScanner(f); sc.Scan(); {
		name, value, _ := strings.Cut(sc.Text(), ":")
		if strings.TrimSpace(name) != "CPU architecture" {
			continue
		}
		if n, err := strconv.Atoi(strings.TrimSpace(value)); err == nil && n >= 5 && n <= 8 {
			return "v" + strconv.Itoa(n)
		}
	}
	return "v7"
}

// NormalizePlatform brings the usual spellings of one platform to one form (IDX-6).
func NormalizePlatform(p Platform) Platform {
	p.OS = strings.ToLower(p.OS)
	p.Architecture = strings.ToLower(p.Architecture)
	p.Variant = strings.ToLower(p.Variant)
	if p.OS == "macos" {
		p.OS = "darwin"
	}
	switch p.Architecture {
	case "x86_64", "x86-64":
		p.Architecture = "amd64"
	case "aarch64":
		p.Architecture = "arm64"
	case "armhf":
		p.Architecture, p.Variant = "arm", "v7"
	case "armel":
		p.Architecture, p.Variant = "arm", "v6"
	case "i386":
		p.Architecture, p.Variant = "386", ""
	}
	switch p.Architecture {
	case "arm64":
		switch p.Variant {
		case "8", "v8", "v8.0":
			p.Variant = ""
		case "9", "v9.0":
			p.Variant = "v9"
		}
	case "amd64":
		if p.Variant == "v1" {
			p.Variant = ""
		}
	case "arm":
		switch p.Variant {
		case "":
			p.Variant = "v7"
		case "5", "6", "7", "8":
			p.Variant = "v" + p.Variant
		}
	}
	return p
}

// FormatPlatform is the inverse of ParsePlatform.
func FormatPlatform(p Platform) string {
	s := p.OS
	if p.OSVersion != "" {
		s += "(" + p.OSVersion + ")"
	}
	s += "/" + p.Architecture
	if p.Variant != "" {
		s += "/" + p.Variant
	}
	return s
}

// MatchPlatform says whether an image for the platform have runs where want is wanted, and
// how far its variant is below the wanted one: 0 is the nearest (IDX-7 to IDX-9).
func MatchPlatform(want, have Platform) (rank int, ok bool) {
	want, have = NormalizePlatform(want), NormalizePlatform(have)
	if want.OS != have.OS || want.Architecture != have.Architecture {
		return 0, false
	}
	if want.OSVersion != "" && want.OSVersion != have.OSVersion {
		return 0, false
	}
	if len(have.OSFeatures) > 0 { // none is supported yet
		return 0, false
	}
	for i, v := range variantsBelow(want.Architecture, want.Variant) {
		if v == have.Variant {
			return i, true
		}
	}
	return 0, false
}

// variantsBelow lists a normal variant and those it contains, nearest first. A
// variant that is not known contains only itself (IDX-13).
func variantsBelow(arch, variant string) []string {
	chain := []string{variant}
	switch arch {
	case "amd64":
		for n := oneDigit(variant) - 1; n >= 1; n-- {
			chain = append(chain, amd64Variant(n))
		}
	case "arm":
		if n := oneDigit(variant); n <= 8 {
			for n--; n >= 5; n-- {
				chain = append(chain, "v"+strconv.Itoa(n))
			}
		}
	case "arm64":
		major, minor, ok := arm64Version(variant)
		if !ok {
			break
		}
		if major == 9 {
			for m := minor - 1; m >= 0; m-- {
				chain = append(chain, arm64Variant(9, m))
			}
			major, minor = 8, minor+6 // v9.0 contains v8.5
		}
		for m := minor - 1; m >= 0; m-- {
			chain = append(chain, arm64Variant(major, m))
		}
	}
	return chain
}

// oneDigit returns N of "vN", else 0.
func oneDigit(v string) int {
	if len(v) == 2 && v[0] == 'v' && v[1] >= '1' && v[1] <= '9' {
		return int(v[1] - '0')
	}
	return 0
}

func amd64Variant(n int) string {
	if n == 1 {
		return ""
	}
	return "v" + strconv.Itoa(n)
}

// arm64Version takes a normal variant of arm64 apart: "" is 8.0, "v9.2" is 9.2.
func arm64Version(v string) (major, minor int, ok bool) {
	switch {
	case v == "":
		return 8, 0, true
	case v == "v9":
		return 9, 0, true
	case len(v) == 4 && (strings.HasPrefix(v, "v8.") || strings.HasPrefix(v, "v9.")) && v[3] >= '1' && v[3] <= '9':
		return int(v[1] - '0'), int(v[3] - '0'), true
	}
	return 0, 0, false
}

func arm64Variant(major, minor int) string {
	switch {
	case minor > 0:
		return fmt.Sprintf("v%d.%d", major, minor)
	case major == 8:
		return ""
	}
	return "v" + strconv.Itoa(major)
}
