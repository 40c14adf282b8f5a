package open

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/shalefs/shalefs/layout"
)

// A docs keeps small files between runs: the cache, as this file needs it.
type docs interface {
	GetDoc(kind, name string) ([]byte, error)
	PutDoc(kind, name string, b []byte) error
}

// A keptStore remembers what another Store said: documents by their digest, and
// what a reference stood for. A digest that is remembered costs no request; a tag
// is asked for each time, and what it last stood for is used when the store does
// not answer, with a warning.
type keptStore struct {
	layout.Store
	docs   docs
	ref    layout.Reference
	logger *slog.Logger
	stale  bool // Resolve answered from memory because the store did not
}

// A tag is what a reference stood for, as the cache keeps it.
type tag struct {
	Reference  string             `json:"reference"`
	Descriptor ocispec.Descriptor `json:"descriptor"`
	Seen       time.Time          `json:"seen"`
}

func tagName(ref layout.Reference) string {
	sum := sha256.Sum256([]byte(ref.String()))
	return hex.EncodeToString(sum[:])
}

func (s *keptStore) Resolve(ctx context.Context) (ocispec.Descriptor, error) {
	if s.ref.Digest != "" {
		if t, ok := s.remembered(); ok {
			return t.Descriptor, nil
		}
	}
	desc, err := s.Store.Resolve(ctx)
	if err == nil {
		s.remember(desc)
		return desc, nil
	}
	if !errors.Is(err, layout.ErrUnavailable) && !errors.Is(err, context.DeadlineExceeded) {
		return desc, err
	}
	t, ok := s.remembered()
	if !ok {
		return desc, err
	}
	s.stale = true
	s.logger.Warn("the store does not answer: going on with what the reference stood for last time",
		"reference", s.ref.String(), "digest", t.Descriptor.Digest, "seen", t.Seen, "err", err)
	return t.Descriptor, nil
}

func (s *keptStore) remembered() (tag, bool) {
	var t tag
	b, err := s.docs.GetDoc("tag", tagName(s.ref))
	if err != nil || json.Unmarshal(b, &t) != nil || t.Reference != s.ref.String() || t.Descriptor.Digest.Validate() != nil {
		return tag{}, false
	}
	if s.ref.Digest != "" && t.Descriptor.Digest != s.ref.Digest {
		return tag{}, false
	}
	return t, true
}

// remember keeps what the reference stands for. A cache that does not take it costs the
// next offline start, not this one.
func (s *keptStore) remember(desc ocispec.Descriptor) {
	desc.Data = nil
	b, err := json.Marshal(tag{Reference: s.ref.String(), Descriptor: desc, Seen: time.Now().UTC()})
	if err == nil {
		err = s.docs.PutDoc("tag", tagName(s.ref), b)
	}
	if err != nil {
		s.logger.Debug("not kept in the cache", "what", "tag", "err", err)
	}
}

func docName(d digest.Digest) string { return d.Algorithm().String() + "-" + d.Encoded() }

func (s *keptStore) Document(ctx context.Context, desc ocispec.Descriptor, manifest bool) ([]byte, error) {
	if err := layout.CheckDigest(desc.Digest); err != nil {
		return nil, fmt.Errorf("%w: digest %q: %w", layout.ErrInvalid, desc.Digest, err)
	}
	name := docName(desc.Digest)
	if b, err := s.docs.GetDoc("document", name); err == nil && layout.VerifyBytes(desc, b) == nil {
		return b, nil
	}
	b, err := s.Store.Document(ctx, desc, manifest)
	if err != nil {
		return nil, err
	}
	if err := s.docs.PutDoc("document", name, b); err != nil {
		s.logger.Debug("not kept in the cache", "what", name, "err", err)
	}
	return b, nil
}
