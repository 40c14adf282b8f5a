package layout

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

func mustPlatform(t *testing.T, s string) Platform {
	t.Helper()
	p, err := ParsePlatform(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestIDX6 normalises platforms.
func TestIDX6(t *testing.T) {
	for in, want := range map[string]string{
		"linux/aarch64":               "linux/arm64",
		"linux/x86_64":                "linux/amd64",
		"linux/x86-64":                "linux/amd64",
		"linux/arm64/v8":              "linux/arm64",
		"linux/arm64/8":               "linux/arm64",
		"linux/arm64/v9.0":            "linux/arm64/v9",
		"linux/arm":                   "linux/arm/v7",
		"linux/arm/6":                 "linux/arm/v6",
		"linux/armhf":                 "linux/arm/v7",
		"linux/armel":                 "linux/arm/v6",
		"linux/amd64/v1":              "linux/amd64",
		"linux/amd64/v3":              "linux/amd64/v3",
		"linux/i386":                  "linux/386",
		"Linux/AMD64":                 "linux/amd64",
		"macos/arm64":                 "darwin/arm64",
		"windows(10.0.20348.1)/amd64": "windows(10.0.20348.1)/amd64",
		"linux/riscv64/rva23u64":      "linux/riscv64/rva23u64",
	} {
		p, err := ParsePlatform(in)
		if got := FormatPlatform(p); err != nil || got != want {
			t.Errorf("%s: got %s, %v; want %s", in, got, err, want)
		}
	}
	for _, in := range []string{"", "linux", "/", "linux/", "/amd64", "a/b/c/d", "linux/am d64", "linux/amd64/", "w(1/amd64", "linux/\x1b"} {
		if p, err := ParsePlatform(in); !errors.Is(err, ErrInvalid) {
			t.Errorf("%q: got %+v, %v", in, p, err)
		}
	}
	if d := DefaultPlatform(); d.OS != "linux" || d.Architecture != runtime.GOARCH {
		t.Errorf("default: %+v", d)
	}
	dir := t.TempDir()
	for content, want := range map[string]string{
		"processor\t: 0\nCPU architecture: 8\n": "v8", "CPU architecture\t: 6\n": "v6", "CPU architecture: 99\n": "v7", "": "v7",
	} {
		path := filepath.Join(dir, "cpuinfo")
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		if got := armVariant(path); got != want {
			t.Errorf("%q: got %s, want %s", content, got, want)
		}
	}
	if got := armVariant(filepath.Join(dir, "none")); got != "v7" {
		t.Errorf("no file: got %s", got)
	}
}

// TestIDX7 matches platforms: rank -1 stands for no match (IDX-7, IDX-9, IDX-13).
func TestIDX7(t *testing.T) {
	tests := []struct {
		want, have string
		rank       int
	}{
		{"linux/amd64", "linux/amd64", 0},
		{"linux/amd64", "linux/amd64/v1", 0},
		{"linux/amd64", "linux/amd64/v2", -1},
		{"linux/amd64/v3", "linux/amd64/v3", 0},
		{"linux/amd64/v3", "linux/amd64/v2", 1},
		{"linux/amd64/v3", "linux/amd64", 2},
		{"linux/amd64/v3", "linux/amd64/v4", -1},
		{"linux/amd64", "linux/arm64", -1},
		{"linux/amd64", "windows/amd64", -1},
		{"linux/arm/v7", "linux/arm/v7", 0},
		{"linux/arm/v7", "linux/arm/v6", 1},
		{"linux/arm/v7", "linux/arm/v5", 2},
		{"linux/arm/v7", "linux/arm/v8", -1},
		{"linux/arm/v5", "linux/arm/v6", -1},
		{"linux/arm/v8", "linux/arm", 1},
		{"linux/arm64", "linux/arm/v7", -1},
		{"linux/arm64", "linux/arm64/v8", 0},
		{"linux/arm64", "linux/arm64/v8.1", -1},
		{"linux/arm64/v8.2", "linux/arm64/v8.2", 0},
		{"linux/arm64/v8.2", "linux/arm64", 2},
		{"linux/arm64/v9", "linux/arm64/v8.5", 1},
		{"linux/arm64/v9", "linux/arm64/v8.6", -1},
		{"linux/arm64/v9.2", "linux/arm64/v9.1", 1},
		{"linux/arm64/v9.2", "linux/arm64/v9", 2},
		{"linux/arm64/v9.2", "linux/arm64/v8.7", 3},
		{"linux/arm64/v9", "linux/arm64", 6},
		{"linux/riscv64/rva23u64", "linux/riscv64/rva23u64", 0},
		{"linux/riscv64/rva23u64", "linux/riscv64", -1},
		{"linux/riscv64", "linux/riscv64/rva23u64", -1},
		{"linux/arm64/strange", "linux/arm64", -1},
		{"linux/amd64/v99", "linux/amd64", -1},
		{"linux/amd64", "linux(5)/amd64", 0},
		{"windows(10.1)/amd64", "windows(10.1)/amd64", 0},
		{"windows(10.1)/amd64", "windows(10.2)/amd64", -1},
		{"windows/amd64", "windows(10.2)/amd64", 0},
	}
	for _, tt := range tests {
		rank, ok := MatchPlatform(mustPlatform(t, tt.want), mustPlatform(t, tt.have))
		if !ok {
			rank = -1
		}
		if rank != tt.rank {
			t.Errorf("want %s, have %s: got %d, want %d", tt.want, tt.have, rank, tt.rank)
		}
	}
}

// TestIDX8: a platform that needs features is not ours.
func TestIDX8(t *testing.T) {
	have := Platform{OS: "linux", Architecture: "amd64", OSFeatures: []string{"erofs"}}
	if _, ok := MatchPlatform(Platform{OS: "linux", Architecture: "amd64"}, have); ok {
		t.Error("matched")
	}
}

// FuzzParsePlatform: a platform prints as what parses to it, and it matches itself best.
func FuzzParsePlatform(f *testing.F) {
	for _, s := range []string{"linux/amd64", "linux/arm64/v8.2", "windows(10.0.1)/amd64", "linux/arm", "linux/arm64/v9.9"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ParsePlatform(s)
		if err != nil {
			return
		}
		again, err := ParsePlatform(FormatPlatform(p))
		if err != nil || FormatPlatform(again) != FormatPlatform(p) {
			t.Errorf("%q: %+v, then %+v, %v", s, p, again, err)
		}
		if rank, ok := MatchPlatform(p, p); !ok || rank != 0 {
			t.Errorf("%q does not match itself: %d, %v", s, rank, ok)
		}
	})
}
