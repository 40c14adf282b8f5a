package layout

import (
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"hash"
	"strings"

	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/zeebo/blake3"
)

// BLAKE3 is the digest algorithm that go-digest does not know (DIG-6): 256 bits of
// output, 64 hexadecimal digits.
const BLAKE3 digest.Algorithm = "blake3"

// EmptyDigest is the digest of the empty JSON object, which is never fetched (DIG-10).
const EmptyDigest digest.Digest = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"

// maxDigestLen bounds a digest string; the longest known one has 135 bytes.
const maxDigestLen = 512

// algorithms are those that can be computed, with the number of their hexadecimal digits.
var algorithms = map[digest.Algorithm]struct {
	hexLen int
	new    func() hash.Hash
}{
	digest.SHA256: {64, sha256.New},
	digest.SHA512: {128, sha512.New},
	BLAKE3:        {64, func() hash.Hash { return blake3.New() }},
}

// CheckDigest checks a digest against the grammar, and against the digits of its
// algorithm when that is known (DIG-3, DIG-4). The error wraps ErrInvalid.
// Source: image-spec descriptor.md, "Digests".
func CheckDigest(d digest.Digest) error {
	alg, enc, ok := strings.Cut(string(d), ":")
	if !ok || len(d) > maxDigestLen || !validAlgorithm(alg) || !validEncoded(enc) {
		return fmt.Errorf("digest %q: %w", d, ErrInvalid)
	}
	known, ok := algorithms[digest.Algorithm(alg)]
	if !ok {
		return nil
	}
	if len(enc) != known.hexLen || strings.Trim(enc, "0123456789abcdef") != "" {
		return fmt.Errorf("digest %q: %s needs %d lower-case hexadecimal digits: %w", d, alg, known.hexLen, ErrInvalid)
	}
	return nil
}

// validAlgorithm: parts of [a-z0-9]+ joined by one of "+._-".
func validAlgorithm(s string) bool {
	sep := true
	for _, c := range []byte(s) {
		switch {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
			sep = false
		case strings.IndexByte("+._-", c) >= 0 && !sep:
			sep = true
		default:
			return false
		}
	}
	return !sep
}

// validEncoded: one or more of [a-zA-Z0-9=_-].
func validEncoded(s string) bool {
	for _, c := range []byte(s) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '=', c == '_', c == '-':
		default:
			return false
		}
	}
	return s != ""
}

// NewHash returns a hash of the algorithm of d, chosen per digest (DIG-7).
// Errors: ErrInvalid for the grammar, ErrUnsupported for an unknown algorithm.
func NewHash(d digest.Digest) (hash.Hash, error) {
	if err := CheckDigest(d); err != nil {
		return nil, err
	}
	known, ok := algorithms[d.Algorithm()]
	if !ok {
		return nil, fmt.Errorf("digest algorithm %q: %w", string(d.Algorithm()), ErrUnsupported)
	}
	return known.new(), nil
}

// A Verifier takes bytes and tells at the end whether they have a wanted size and digest.
type Verifier struct {
	want digest.Digest
	size int64
	n    int64
	h    hash.Hash
}

// NewVerifier makes a Verifier for the content of a descriptor. Errors as NewHash.
func NewVerifier(want digest.Digest, size int64) (*Verifier, error) {
	h, err := NewHash(want)
	if err != nil {
		return nil, err
	}
	return &Verifier{want: want, size: size, h: h}, nil
}

// Write takes the next bytes. It never fails.
func (v *Verifier) Write(p []byte) (int, error) {
	v.n += int64(len(p))
	return v.h.Write(p)
}

// Verify compares size, then digest (DIG-1). The error is a *DigestError.
func (v *Verifier) Verify() error {
	got := digest.NewDigest(v.want.Algorithm(), v.h)
	if v.n != v.size || got != v.want {
		return &DigestError{Want: v.want, Got: got, WantSize: v.size, GotSize: v.n}
	}
	return nil
}

// A DigestError is content that is not what its descriptor says. It wraps ErrDigest.
type DigestError struct {
	Want, Got         digest.Digest // Got is empty when only the size was looked at
	WantSize, GotSize int64         // bytes
}

func (e *DigestError) Error() string {
	if e.WantSize != e.GotSize {
		return fmt.Sprintf("%s: want %d bytes, got %d: %v", e.Want, e.WantSize, e.GotSize, ErrDigest)
	}
	return fmt.Sprintf("%s: got %s: %v", e.Want, e.Got, ErrDigest)
}

// Unwrap makes errors.Is(err, ErrDigest) true.
func (e *DigestError) Unwrap() error { return ErrDigest }

// VerifyBytes checks content that is in memory against a descriptor: size, then digest.
func VerifyBytes(desc ocispec.Descriptor, b []byte) error {
	if int64(len(b)) != desc.Size {
		return &DigestError{Want: desc.Digest, WantSize: desc.Size, GotSize: int64(len(b))}
	}
	v, err := NewVerifier(desc.Digest, desc.Size)
	if err != nil {
		return err
	}
	_, _ = v.Write(b)
	return v.Verify()
}

// CheckDescriptor checks what every descriptor that is used must have: a digest in
// the grammar and a size that is not negative (DIG-2). The error wraps ErrInvalid.
func CheckDescriptor(desc ocispec.Descriptor) error {
	if err := CheckDigest(desc.Digest); err != nil {
		return err
	}
	if desc.Size < 0 {
		return fmt.Errorf("%s: size %d: %w", desc.Digest, desc.Size, ErrInvalid)
	}
	return nil
}
