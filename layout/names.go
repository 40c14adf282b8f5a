package layout

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// containerdName is the annotation in which containerd and docker keep full names.
const containerdName = "io.containerd.image.name"

// entryName is what an entry of index.json is called, "" if nothing.
func entryName(d ocispec.Descriptor) string {
	if n := d.Annotations[ocispec.AnnotationRefName]; n != "" {
		return n
	}
	return d.Annotations[containerdName]
}

// selectEntry chooses among the entries of index.json (LAY-7, LAY-8). Several entries of one
// name become one image index, which is made up and embedded in the descriptor.
func (s *fileStore) selectEntry(ctx context.Context, all []ocispec.Descriptor) (ocispec.Descriptor, error) {
	var known []ocispec.Descriptor
	for _, d := range all { // LAY-5
		if KindOf(d.MediaType) != KindUnknown {
			known = append(known, d)
		}
	}
	if s.ref.Digest != "" {
		return s.selectDigest(ctx, known)
	}
	if len(known) == 0 {
		return ocispec.Descriptor{}, fmt.Errorf("no manifests: %w", ErrNotFound)
	}
	if s.ref.Name == "" {
		return s.selectOnly(ctx, known)
	}
	for _, match := range nameRules(s.ref.Name) {
		var found []ocispec.Descriptor
		for _, d := range known {
			if match(d) {
				found = append(found, d)
			}
		}
		if len(found) > 0 {
			return s.combine(ctx, found)
		}
	}
	return ocispec.Descriptor{}, fmt.Errorf("name %q: %w; there are: %s", s.ref.Name, ErrNotFound, nameList(known))
}

// nameRules are the ways in which an entry may fit a name, the best first (LAY-7). The last
// one is for people who type "alpine" and mean docker.io/library/alpine:latest.
func nameRules(name string) []func(ocispec.Descriptor) bool {
	full := FullName(name)
	return []func(ocispec.Descriptor) bool{
		func(d ocispec.Descriptor) bool { return d.Annotations[ocispec.AnnotationRefName] == name },
		func(d ocispec.Descriptor) bool { return d.Annotations[containerdName] == name },
		func(d ocispec.Descriptor) bool {
			return strings.HasSuffix(d.Annotations[ocispec.AnnotationRefName], ":"+name)
		},
		func(d ocispec.Descriptor) bool {
			return full != "" && (FullName(d.Annotations[containerdName]) == full ||
				FullName(d.Annotations[ocispec.AnnotationRefName]) == full)
		},
	}
}

// selectDigest finds a digest in index.json, else as a blob that is a manifest or an image index.
func (s *fileStore) selectDigest(ctx context.Context, known []ocispec.Descriptor) (ocispec.Descriptor, error) {
	for _, d := range known {
		if d.Digest == s.ref.Digest {
			return d, nil
		}
	}
	name, err := blobPath(s.ref.Digest)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	raw, err := s.files.ReadFile(name, s.limits.ManifestBytes)
	if err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("manifest %s: %w", s.ref.Digest, err)
	}
	d := ocispec.Descriptor{Digest: s.ref.Digest, Size: int64(len(raw))}
	if err := VerifyBytes(d, raw); err != nil {
		return ocispec.Descriptor{}, err
	}
	doc, err := ParseDocument(raw, "")
	if err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("manifest %s: %w", s.ref.Digest, err)
	}
	d.MediaType = doc.MediaType
	return d, ctx.Err()
}

// selectOnly chooses when no name was given. Lists of referrers, and documents about
// another manifest, come with an image and are none themselves.
func (s *fileStore) selectOnly(ctx context.Context, known []ocispec.Descriptor) (ocispec.Descriptor, error) {
	entries := known
	if len(known) > 1 {
		main, err := s.withoutReferrers(ctx, known)
		if err != nil {
			return ocispec.Descriptor{}, err
		}
		if len(main) > 0 {
			entries = main
		}
	}
	for _, d := range entries {
		if entryName(d) != entryName(entries[0]) {
			return ocispec.Descriptor{}, fmt.Errorf("no name was given: %w; there are: %s", ErrAmbiguous, nameList(entries))
		}
	}
	return s.combine(ctx, entries)
}

// fallbackRE matches the tags under which lists of referrers, signatures and the like are kept.
var fallbackRE = regexp.MustCompile(`^(sha256-[0-9a-f]{64}|sha512-[0-9a-f]{64})(\.[a-z]+)?$`)

func (s *fileStore) withoutReferrers(ctx context.Context, known []ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	here := map[digest.Digest]bool{}
	for _, d := range known {
		here[d.Digest] = true
	}
	var main []ocispec.Descriptor
	for i, d := range known {
		if fallbackRE.MatchString(d.Annotations[ocispec.AnnotationRefName]) {
			continue
		}
		if i < s.limits.Documents {
			doc, err := s.parsed(ctx, d)
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			if err == nil && doc.refersTo(here) {
				continue
			}
		}
		main = append(main, d)
	}
	return main, nil
}

// refersTo reports whether a document is about another: its subject is one of here, or it is an
// artifact with a subject that may be anywhere, such as a platform's manifest.
func (d *Document) refersTo(here map[digest.Digest]bool) bool {
	sub := d.subject()
	if sub == nil {
		return false
	}
	if d.Index != nil {
		return here[sub.Digest] || d.Index.ArtifactType != ""
	}
	return here[sub.Digest] || !IsImageConfig(d.MediaType, d.Manifest.Config.MediaType)
}

// combine makes one descriptor of the entries that share a name. Two of them for one
// platform are refused (LAY-9).
func (s *fileStore) combine(ctx context.Context, entries []ocispec.Descriptor) (ocispec.Descriptor, error) {
	var distinct []ocispec.Descriptor
	seen := map[digest.Digest]bool{}
	for _, d := range entries {
		if !seen[d.Digest] {
			seen[d.Digest] = true
			distinct = append(distinct, d)
		}
	}
	if len(distinct) == 1 {
		return distinct[0], nil
	}
	if len(distinct) > s.limits.Documents {
		return ocispec.Descriptor{}, fmt.Errorf("%d entries share a name, the limit is %d: %w", len(distinct), s.limits.Documents, ErrTooLarge)
	}
	byPlatform := map[string]digest.Digest{}
	for i := range distinct {
		d := &distinct[i]
		if d.Platform == nil && KindOf(d.MediaType) == KindManifest {
			d.Platform = s.configPlatform(ctx, *d)
		}
		key := "no platform"
		if d.Platform != nil {
			p := NormalizePlatform(*d.Platform)
			key = fmt.Sprintf("%s %q", FormatPlatform(p), p.OSFeatures)
		}
		if other, ok := byPlatform[key]; ok {
			return ocispec.Descriptor{}, fmt.Errorf("%w: %q and %q have one name and platform", ErrAmbiguous, other, d.Digest)
		}
		byPlatform[key] = d.Digest
	}
	_, desc, err := encodeIndex(distinct)
	return desc, err
}

// configPlatform reads the platform of a manifest from its config; nil if that cannot be.
func (s *fileStore) configPlatform(ctx context.Context, d ocispec.Descriptor) *Platform {
	doc, err := s.parsed(ctx, d)
	if err != nil || doc.Manifest == nil || !IsImageConfig(doc.MediaType, doc.Manifest.Config.MediaType) {
		return nil
	}
	raw, err := ReadDocument(ctx, s, doc.Manifest.Config, false, s.limits.ConfigBytes, nil)
	if err != nil {
		return nil
	}
	img, _, err := ParseConfig(raw)
	if err != nil {
		return nil
	}
	return &img.Platform
}

// nameList lists the names of entries for a message; at most 20.
func nameList(entries []ocispec.Descriptor) string {
	var names wordList
	for _, d := range entries {
		n := entryName(d)
		if n == "" {
			n = "@" + string(d.Digest)
		}
		names.add(fmt.Sprintf("%q", shorten(n)))
	}
	return names.String()
}

// A wordList gathers different words for a message, which shows the first 20.
type wordList struct {
	first []string
	seen  map[string]bool
}

func (l *wordList) add(word string) {
	if l.seen[word] {
		return
	}
	if l.seen == nil {
		l.seen = map[string]bool{}
	}
	l.seen[word] = true
	if len(l.first) < 20 {
		l.first = append(l.first, word)
	}
}

func (l *wordList) String() string {
	s := strings.Join(l.first, ", ")
	if n := len(l.seen) - len(l.first); n > 0 {
		s += fmt.Sprintf(", and %d more", n)
	}
	return s
}
