package layout

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"

	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/zeebo/blake3"
)

// TestDIG3 checks the grammar of digests (DIG-3, DIG-4, LAY-11).
func TestDIG3(t *testing.T) {
	hex64 := strings.Repeat("0123456789abcdef", 4)
	for s, ok := range map[string]bool{
		"sha256:" + hex64:                      true,
		"sha512:" + hex64 + hex64:              true,
		"blake3:" + hex64:                      true,
		"sha999:xyz":                           true,
		"sha256+b64u:LCa0a2j_xo_5m0U8HTBBNBNC": true,
		"multihash+base58:QmRZxt2b1FVZPNqd8hs": true,
		"a.b_c-d:e=_-F":                        true,
		"sha256:" + strings.ToUpper(hex64):     false,
		"sha256:" + hex64 + "0":                false,
		"sha256:" + hex64[1:]:                  false,
		"sha512:" + hex64:                      false,
		"blake3:" + hex64 + hex64:              false,
		"sha256:../../x":                       false,
		"sha999:../../x":                       false,
		"../x:abc":                             false,
		"a/b:abc":                              false,
		"sha256:":                              false,
		":abc":                                 false,
		"":                                     false,
		"sha256":                               false,
		"SHA256:" + hex64:                      false,
		"a++b:c":                               false,
		"+a:b":                                 false,
		"a+:b":                                 false,
		"x:" + strings.Repeat("a", 600):        false,
		"x:a:b":                                false,
		"x:a\x00":                              false,
	} {
		err := CheckDigest(digest.Digest(s))
		if ok && err != nil || !ok && !errors.Is(err, ErrInvalid) {
			t.Errorf("%q: got %v, want ok %v", s, err, ok)
		}
		if _, perr := blobPath(digest.Digest(s)); (perr == nil) != ok {
			t.Errorf("blobPath(%q): %v", s, perr)
		}
	}
}

// TestDIG1 verifies content by each algorithm: right, one bit, one byte more, one less
// (DIG-1, DIG-5, DIG-6).
func TestDIG1(t *testing.T) {
	content := []byte("some content")
	s256, s512, b3 := sha256.Sum256(content), sha512.Sum512(content), blake3.Sum256(content)
	for _, d := range []string{
		"sha256:" + hex.EncodeToString(s256[:]),
		"sha512:" + hex.EncodeToString(s512[:]),
		"blake3:" + hex.EncodeToString(b3[:]),
	} {
		desc := ocispec.Descriptor{Digest: digest.Digest(d), Size: int64(len(content))}
		if err := VerifyBytes(desc, content); err != nil {
			t.Errorf("%s: %v", d, err)
		}
		flipped := bytes.Clone(content)
		flipped[3] ^= 1
		for name, bad := range map[string][]byte{
			"flipped": flipped, "longer": append(bytes.Clone(content), 0), "shorter": content[1:], "empty": nil,
		} {
			var de *DigestError
			if err := VerifyBytes(desc, bad); !errors.As(err, &de) || !errors.Is(err, ErrDigest) || de.Want != desc.Digest {
				t.Errorf("%s, %s: got %v", d, name, err)
			}
			v, err := NewVerifier(desc.Digest, desc.Size)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range bad { // byte by byte
				_, _ = v.Write([]byte{c})
			}
			if err := v.Verify(); !errors.Is(err, ErrDigest) {
				t.Errorf("%s, %s: Verifier: %v", d, name, err)
			}
		}
	}
}

func TestBlake3Vector(t *testing.T) {
	// The digest of no bytes, as the authors of BLAKE3 publish it.
	const empty = "blake3:af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"
	if err := VerifyBytes(ocispec.Descriptor{Digest: empty}, nil); err != nil {
		t.Error(err)
	}
}

// TestDIG2 refuses sizes below 0 and above the largest int64.
func TestDIG2(t *testing.T) {
	if err := CheckDescriptor(ocispec.Descriptor{Digest: digest.Digest(d256), Size: -1}); !errors.Is(err, ErrInvalid) {
		t.Errorf("got %v", err)
	}
	doc := `{"schemaVersion":2,"config":{"mediaType":"a/b","digest":"%s","size":%s},"layers":[]}`
	for size, ok := range map[string]bool{"9223372036854775807": true, "9223372036854775808": false, "1.5": false, `"1"`: false} {
		_, err := ParseDocument(fmt.Appendf(nil, doc, d256, size), ocispec.MediaTypeImageManifest)
		if (err == nil) != ok || err != nil && !errors.Is(err, ErrInvalid) {
			t.Errorf("size %s: got %v", size, err)
		}
	}
}

func TestUnknownAlgorithm(t *testing.T) {
	err := VerifyBytes(ocispec.Descriptor{Digest: "sha999:abc", Size: 1}, []byte("a"))
	if !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), "sha999") {
		t.Errorf("got %v", err)
	}
}

func TestDigestErrorText(t *testing.T) {
	e := &DigestError{Want: "sha256:a", Got: "sha256:b", WantSize: 1, GotSize: 1}
	if got, want := e.Error(), "sha256:a: got sha256:b: digest mismatch"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	e.GotSize = 2
	if got, want := e.Error(), "sha256:a: want 1 bytes, got 2: digest mismatch"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestDIG9 uses good embedded data and refuses bad (DIG-9 to DIG-11).
func TestDIG9(t *testing.T) {
	good := []byte("hello")
	desc := ocispec.Descriptor{Digest: digest.FromBytes(good), Size: 5}
	with := func(data []byte) ocispec.Descriptor {
		d := desc
		d.Data = data
		return d
	}
	tests := []struct {
		name    string
		desc    ocispec.Descriptor
		ok, bad bool
	}{
		{"none", desc, false, false},
		{"good", with(good), true, false},
		{"wrong", with([]byte("hellO")), false, true},
		{"oversized", with([]byte("hello!")), false, true},
		{"empty object", ocispec.Descriptor{Digest: EmptyDigest, Size: 2}, true, false},
		{"size 0", ocispec.Descriptor{Digest: digest.FromBytes(nil)}, true, false},
		{"size 0 with another digest", ocispec.Descriptor{Digest: digest.Digest(d256)}, false, false},
	}
	for _, tt := range tests {
		b, ok, err := Embedded(tt.desc)
		if ok != tt.ok || (err != nil) != tt.bad || ok && int64(len(b)) != tt.desc.Size {
			t.Errorf("%s: got %q, %v, %v", tt.name, b, ok, err)
		}
	}
}

// TestREG32 makes the fallback tag of referrers.
func TestREG32(t *testing.T) {
	for d, want := range map[string]string{
		d256:                 "sha256-" + strings.Repeat("a", 64),
		d512:                 "sha512-" + strings.Repeat("0", 64),
		"test+algo:" + "a=b": "test-algo-a-b",
		strings.Repeat("x", 40) + ":" + strings.Repeat("y", 70): strings.Repeat("x", 32) + "-" + strings.Repeat("y", 64),
	} {
		if got := FallbackTag(digest.Digest(d)); got != want {
			t.Errorf("%s: got %s, want %s", d, got, want)
		}
	}
}
