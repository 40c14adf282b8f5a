package open

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	digest "github.com/opencontainers/go-digest"

	"github.com/shalefs/shalefs/layout"
)

// A Profile says which parts of an image a workload read, in order. It speaks of bytes
// of the layers' tars, so it serves any compression of the same layers.
type Profile struct {
	Version int            `json:"version"` // 1
	Image   digest.Digest  `json:"image"`   // the manifest it was recorded with
	Layers  []ProfileLayer `json:"layers"`
}

// A ProfileLayer is one layer's part of a profile.
type ProfileLayer struct {
	DiffID digest.Digest `json:"diff_id"`
	// Ranges are offset and length in the tar, in the order of their first use.
	Ranges [][2]int64 `json:"ranges"`
}

const (
	profileVersion = 1
	maxProfile     = 16 << 20 // bytes of JSON
)

// ParseProfile reads a profile. The error wraps layout.ErrInvalid or layout.ErrTooLarge.
func ParseProfile(b []byte) (*Profile, error) {
	if len(b) > maxProfile {
		return nil, fmt.Errorf("profile: %d bytes: %w", len(b), layout.ErrTooLarge)
	}
	var p Profile
	if err := json.Unmarshal(b, &p); err != nil {
		return nil, fmt.Errorf("profile: %w: %w", layout.ErrInvalid, err)
	}
	if p.Version != profileVersion {
		return nil, fmt.Errorf("profile: version %d, not %d: %w", p.Version, profileVersion, layout.ErrInvalid)
	}
	for _, l := range p.Layers {
		if err := layout.CheckDigest(l.DiffID); err != nil {
			return nil, fmt.Errorf("profile: %w", err)
		}
		for _, r := range l.Ranges {
			if r[0] < 0 || r[1] < 0 || r[0]+r[1] < r[0] {
				return nil, fmt.Errorf("profile: range [%d, +%d): %w", r[0], r[1], layout.ErrInvalid)
			}
		}
	}
	return &p, nil
}

// recorded makes a profile of what was read since the image was opened.
func (img *Image) recorded() *Profile {
	p := &Profile{Version: profileVersion, Image: img.Meta.Descriptor.Digest}
	for _, l := range img.Each() {
		pl := ProfileLayer{DiffID: l.DiffID}
		for _, i := range l.Loader.Recorded() {
			c := l.Index.Chunk(i)
			if n := len(pl.Ranges); n > 0 && pl.Ranges[n-1][0]+pl.Ranges[n-1][1] == c.Off {
				pl.Ranges[n-1][1] += int64(c.Len)
				continue
			}
			pl.Ranges = append(pl.Ranges, [2]int64{c.Off, int64(c.Len)})
		}
		if len(pl.Ranges) > 0 {
			p.Layers = append(p.Layers, pl)
		}
	}
	return p
}

// chunks are the numbers of the layer's chunks that a profile names, in its order.
func (p *Profile) chunks(l *Layer) []int {
	var out []int
	for _, pl := range p.Layers {
		if pl.DiffID != l.DiffID {
			continue
		}
		for _, r := range pl.Ranges {
			if r[1] == 0 || r[0] >= l.Index.Size() {
				continue
			}
			last := l.Index.ChunkAt(min(r[0]+r[1], l.Index.Size()) - 1)
			for c := l.Index.ChunkAt(r[0]); c <= last; c++ {
				out = append(out, c)
			}
		}
	}
	return out
}

// WriteProfile writes a profile of what was read to a file, and keeps it in the cache for the
// next mount of the image.
func (img *Image) WriteProfile(path string) error {
	b, err := json.Marshal(img.recorded())
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".profile-*")
	if err != nil {
		return fmt.Errorf("profile: %w", err)
	}
	_, err = tmp.Write(append(b, '\n'))
	err = errors.Join(err, tmp.Chmod(0o644), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("profile: %w", err), os.Remove(tmp.Name()))
	}
	if err := img.Cache.PutDoc("profile", docName(img.Meta.Descriptor.Digest), b); err != nil {
		img.logger.Warn("the profile is not kept in the cache", "err", err)
	}
	return nil
}
