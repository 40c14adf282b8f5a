package layout

import (
	"context"
	"fmt"
	"slices"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// A chosen manifest, read and parsed.
type chosen struct {
	desc   ocispec.Descriptor
	doc    *Document
	raw    []byte
	direct bool // it was named itself, not found through an image index
}

// A candidate is an entry of an image index that may be the one.
type candidate struct {
	desc ocispec.Descriptor
	rank int  // distance of its variant from the wanted one
	bare bool // it has no platform; its config decides (IDX-11)
}

// A walk gathers the candidates of an image index and of those nested in it.
type walk struct {
	candidates []candidate
	offered    wordList // platforms, for a message
	absent     error    // the first nested image index that is not there
}

// choose finds the manifest for the wanted platform below root.
func (l *loader) choose(ctx context.Context, root ocispec.Descriptor) (chosen, error) {
	doc, raw, err := l.document(ctx, root)
	if err != nil {
		return chosen{}, err
	}
	if doc.Manifest != nil {
		return chosen{root, doc, raw, true}, nil
	}
	var w walk
	if err := l.walk(ctx, &w, doc, nil, 1); err != nil {
		return chosen{}, fmt.Errorf("image index %s: %w", root.Digest, err)
	}
	// Those with a platform go first, by nearness, then by place in the list (IDX-7).
	slices.SortStableFunc(w.candidates, func(a, b candidate) int {
		if a.bare != b.bare {
			return boolInt(a.bare) - boolInt(b.bare)
		}
		return a.rank - b.rank
	})
	c, ok, err := l.pick(ctx, &w)
	if err != nil {
		return chosen{}, fmt.Errorf("image index %s: %w", root.Digest, err)
	}
	if ok {
		return c, nil
	}
	if w.absent != nil {
		return chosen{}, fmt.Errorf("image index %s: %w", root.Digest, w.absent)
	}
	return chosen{}, fmt.Errorf("image index %s: no manifest for %s: %w%s", root.Digest, l.wanted(), ErrNotFound, offers(&w.offered))
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (l *loader) wanted() string {
	if l.opt.ArtifactType != "" {
		return fmt.Sprintf("artifact type %q", l.opt.ArtifactType)
	}
	return "platform " + FormatPlatform(l.want)
}

func offers(offered *wordList) string {
	if len(offered.first) == 0 {
		return "; it lists no images"
	}
	return "; there are: " + offered.String()
}

// walk gathers the candidates of an image index, depth first in list order (IDX-3). outer is
// the platform of the entry that led here, if it has one.
func (l *loader) walk(ctx context.Context, w *walk, doc *Document, outer *Platform, depth int) error {
	for _, d := range doc.Index.Manifests {
		kind := KindOf(d.MediaType)
		if kind != KindManifest && kind != KindIndex || l.skip(d) { // IDX-2, IDX-4
			continue
		}
		p := d.Platform
		if p != nil && p.OS == "" && p.Architecture == "" {
			p = nil
		}
		rank, fits := l.fits(p, outer)
		if p != nil && (!fits || kind == KindManifest) {
			w.offer(*p)
		}
		if !fits {
			continue
		}
		if kind == KindManifest {
			w.candidates = append(w.candidates, candidate{d, rank, p == nil && outer == nil})
			continue
		}
		if depth >= l.limits.Depth {
			return fmt.Errorf("image indexes are nested more than %d deep: %w", l.limits.Depth, ErrTooLarge)
		}
		if p == nil {
			p = outer
		}
		if err := l.nested(ctx, w, d, p, depth); err != nil {
			return err
		}
	}
	return nil
}

func (l *loader) nested(ctx context.Context, w *walk, d ocispec.Descriptor, p *Platform, depth int) error {
	doc, _, err := l.document(ctx, d)
	if missing(err) { // IDX-5
		if w.absent == nil {
			w.absent = err
		}
		return nil
	}
	if err != nil {
		return err
	}
	return l.walk(ctx, w, doc, p, depth+1)
}

// fits says whether an entry's platform, and that of the entry around it, are the
// wanted one. An artifact is chosen by its type, whatever its platform.
func (l *loader) fits(p, outer *Platform) (rank int, ok bool) {
	if l.opt.ArtifactType != "" && !l.explicit {
		return 0, true
	}
	for _, have := range []*Platform{outer, p} {
		if have == nil {
			continue
		}
		if rank, ok = MatchPlatform(l.want, *have); !ok {
			return 0, false
		}
	}
	return rank, true
}

func (w *walk) offer(p Platform) {
	s := FormatPlatform(NormalizePlatform(p))
	if len(p.OSFeatures) > 0 {
		s += fmt.Sprintf(" (needs %s)", strings.Join(p.OSFeatures, ", "))
	}
	s = fmt.Sprintf("%q", s) // the names are foreign; without the quotes it reads better
	w.offered.add(s[1 : len(s)-1])
}

// skip passes over entries that are not images: attestations, and artifacts that were
// not asked for (IDX-10).
func (l *loader) skip(d ocispec.Descriptor) bool {
	if d.Platform != nil && d.Platform.OS == "unknown" && d.Platform.Architecture == "unknown" {
		return true
	}
	if d.Annotations["vnd.docker.reference.type"] != "" {
		return true
	}
	return d.ArtifactType != "" && d.ArtifactType != l.opt.ArtifactType
}

// pick reads candidates in order until one is what was wanted.
func (l *loader) pick(ctx context.Context, w *walk) (chosen, bool, error) {
	for _, c := range w.candidates {
		doc, raw, err := l.document(ctx, c.desc)
		if c.bare && missing(err) {
			if w.absent == nil {
				w.absent = err
			}
			continue
		}
		if err != nil {
			return chosen{}, false, err
		}
		if doc.Manifest == nil {
			return chosen{}, false, fmt.Errorf("%s is an image index, not a manifest: %w", c.desc.Digest, ErrInvalid)
		}
		if ok, err := l.isWanted(ctx, w, c, doc); err != nil {
			return chosen{}, false, err
		} else if ok {
			return chosen{c.desc, doc, raw, false}, true, nil
		}
	}
	return chosen{}, false, nil
}

// isWanted looks into a candidate's documents where its entry does not say enough.
func (l *loader) isWanted(ctx context.Context, w *walk, c candidate, doc *Document) (bool, error) {
	isImage := IsImageConfig(doc.MediaType, doc.Manifest.Config.MediaType)
	if l.opt.ArtifactType != "" {
		return !isImage && ArtifactType(*doc.Manifest) == l.opt.ArtifactType, nil
	}
	if !isImage {
		return false, nil
	}
	if !c.bare {
		return true, nil
	}
	raw, err := l.config(ctx, doc.Manifest.Config)
	if missing(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("config %s: %w", doc.Manifest.Config.Digest, err)
	}
	cfg, _, err := ParseConfig(raw)
	if err != nil {
		return false, fmt.Errorf("config %s: %w", doc.Manifest.Config.Digest, err)
	}
	if _, ok := MatchPlatform(l.want, cfg.Platform); !ok {
		w.offer(cfg.Platform)
		return false, nil
	}
	return true, nil
}
