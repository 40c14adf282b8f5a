package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// maxDocument bounds a manifest.
const maxDocument = 4 << 20

// layouts answers the distribution API from layout directories, which it leaves alone.
type layouts struct {
	images  []string
	uploads string

	mu        sync.Mutex                      // guards what follows
	tags      map[string]digest.Digest        // by repository:tag, of what was pushed
	types     map[digest.Digest]string        // media types of pushed manifests
	referrers map[string][]ocispec.Descriptor // by repository@digest
}

func newLayouts(images []string, uploads string) *layouts {
	return &layouts{images: images, uploads: uploads, tags: map[string]digest.Digest{}, types: map[digest.Digest]string{}, referrers: map[string][]ocispec.Descriptor{}}
}

var route = regexp.MustCompile(`^/v2/([a-z0-9][a-z0-9._-]*)/(manifests|blobs|referrers|blobs/uploads)/([^/]*)$`)

func (l *layouts) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/v2/" {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte("{}"))
		return
	}
	m := route.FindStringSubmatch(r.URL.Path)
	if m == nil {
		fail(w, http.StatusNotFound, "NAME_UNKNOWN")
		return
	}
	repository, name := m[1], m[3]
	read := r.Method == http.MethodGet || r.Method == http.MethodHead
	switch {
	case m[2] == "blobs" && read:
		l.blob(w, r, repository, digest.Digest(name), "application/octet-stream")
	case m[2] == "manifests" && read:
		l.manifest(w, r, repository, name)
	case m[2] == "manifests" && r.Method == http.MethodPut:
		l.putManifest(w, r, repository, name)
	case m[2] == "referrers" && read:
		l.listReferrers(w, r, repository, name)
	case m[2] == "blobs/uploads":
		l.upload(w, r, repository, name)
	default:
		fail(w, http.StatusMethodNotAllowed, "UNSUPPORTED")
	}
}

// fail answers with an error of the distribution API.
func fail(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, `{"errors":[{"code":%q}]}`, code)
}

// open finds a blob among the uploads and in the layouts named repository.
func (l *layouts) open(repository string, d digest.Digest) (*os.File, error) {
	if err := d.Validate(); err != nil {
		return nil, err
	}
	f, err := os.Open(l.uploaded(d))
	for i := 0; err != nil && i < len(l.images); i++ {
		f, err = os.Open(filepath.Join(l.images[i], repository, "blobs", d.Algorithm().String(), d.Encoded()))
	}
	return f, err
}

func (l *layouts) uploaded(d digest.Digest) string {
	return filepath.Join(l.uploads, d.Algorithm().String()+"-"+d.Encoded())
}

func (l *layouts) blob(w http.ResponseWriter, r *http.Request, repository string, d digest.Digest, mediaType string) {
	f, err := l.open(repository, d)
	if err != nil {
		fail(w, http.StatusNotFound, "BLOB_UNKNOWN")
		return
	}
	defer func() { _ = f.Close() }() // it was only read
	w.Header().Set("Content-Type", mediaType)
	w.Header().Set("Docker-Content-Digest", d.String())
	http.ServeContent(w, r, "", time.Time{}, f)
}

func (l *layouts) manifest(w http.ResponseWriter, r *http.Request, repository, name string) {
	l.mu.Lock()
	d, ok := l.tags[repository+":"+name]
	mediaType := l.types[digest.Digest(name)]
	l.mu.Unlock()
	if strings.Contains(name, ":") {
		d, ok = digest.Digest(name), true
	}
	for _, desc := range l.index(repository) {
		if !ok && desc.Annotations[ocispec.AnnotationRefName] == name {
			d, ok = desc.Digest, true
		}
		if desc.Digest == d {
			mediaType = desc.MediaType
		}
	}
	if !ok {
		fail(w, http.StatusNotFound, "MANIFEST_UNKNOWN")
		return
	}
	if mediaType == "" {
		mediaType = ocispec.MediaTypeImageManifest
	}
	l.blob(w, r, repository, d, mediaType)
}

// index lists what the index.json of a repository's layouts names.
func (l *layouts) index(repository string) []ocispec.Descriptor {
	var all []ocispec.Descriptor
	for _, dir := range l.images {
		b, err := os.ReadFile(filepath.Join(dir, repository, "index.json"))
		var doc ocispec.Index
		if err == nil && json.Unmarshal(b, &doc) == nil {
			all = append(all, doc.Manifests...)
		}
	}
	return all
}

func (l *layouts) listReferrers(w http.ResponseWriter, r *http.Request, repository, name string) {
	l.mu.Lock()
	all := l.referrers[repository+"@"+name]
	l.mu.Unlock()
	doc := ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{}}
	doc.SchemaVersion = 2
	want := r.URL.Query().Get("artifactType")
	for _, d := range all {
		if want == "" || d.ArtifactType == want {
			doc.Manifests = append(doc.Manifests, d)
		}
	}
	if want != "" {
		w.Header().Set("Oci-Filters-Applied", "artifactType")
	}
	w.Header().Set("Content-Type", ocispec.MediaTypeImageIndex)
	_ = json.NewEncoder(w).Encode(doc) // a client that is gone needs no answer
}
