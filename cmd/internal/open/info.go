package open

import (
	"log/slog"

	digest "github.com/opencontainers/go-digest"

	"github.com/shalefs/shalefs/index"
	"github.com/shalefs/shalefs/lazy"
)

// A LayerInfo is the state of a layer of an opened image.
type LayerInfo struct {
	Number    int             `json:"layer"`
	Digest    digest.Digest   `json:"digest"`
	DiffID    digest.Digest   `json:"diff_id"`
	MediaType string          `json:"media_type"`
	Size      int64           `json:"size"`     // compressed bytes
	TarSize   int64           `json:"tar_size"` // bytes
	Format    string          `json:"format"`
	Source    Source          `json:"index_source"`
	Checked   string          `json:"checked"` // whether the index was compared with the layer
	NotLazy   string          `json:"not_lazy,omitempty"`
	Spans     int             `json:"spans"`
	Warnings  []index.Warning `json:"warnings,omitempty"`
	Stats     lazy.Stats      `json:"stats"`
}

// LayerInfos returns the state of each layer, once each.
func (img *Image) LayerInfos() []LayerInfo {
	var out []LayerInfo
	for _, l := range img.Each() {
		out = append(out, LayerInfo{
			Number: l.Number, Digest: l.Descriptor.Digest, DiffID: l.DiffID, MediaType: l.Descriptor.MediaType,
			Size: l.Descriptor.Size, TarSize: l.Index.Size(), Format: l.Index.Format(), Source: l.Source,
			Checked: l.Checked(), NotLazy: l.NotLazy, Spans: l.Index.Spans(), Warnings: l.Index.Warnings(),
			Stats: l.Loader.Stats(),
		})
	}
	return out
}

// Checked says in a word or two whether the layer's index was compared with the layer.
func (l *Layer) Checked() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.checking != "":
		return l.checking
	case l.Index.Bound():
		return "yes"
	}
	return "no"
}

func (l *Layer) setChecking(s string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.checking = s
}

// Logger is the session's logger, never nil.
func (s *Session) Logger() *slog.Logger { return s.logger }

// Trust is the policy the session was opened with.
func (s *Session) Trust() Trust { return s.opt.Trust }
