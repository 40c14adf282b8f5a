package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func (l *layouts) putManifest(w http.ResponseWriter, r *http.Request, repository, name string) {
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxDocument))
	var m ocispec.Manifest
	if err == nil {
		err = json.Unmarshal(b, &m)
	}
	d := digest.FromBytes(b)
	if err == nil && strings.Contains(name, ":") && name != d.String() {
		err = errors.New("another digest")
	}
	if err == nil {
		err = os.WriteFile(l.uploaded(d), b, 0o600)
	}
	if err != nil {
		fail(w, http.StatusBadRequest, "MANIFEST_INVALID")
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.types[d] = r.Header.Get("Content-Type")
	if !strings.Contains(name, ":") {
		l.tags[repository+":"+name] = d
	}
	if m.Subject != nil {
		l.refer(repository, m, ocispec.Descriptor{MediaType: l.types[d], Digest: d, Size: int64(len(b))})
		w.Header().Set("Oci-Subject", m.Subject.Digest.String())
	}
	w.Header().Set("Docker-Content-Digest", d.String())
	w.Header().Set("Location", "/v2/"+repository+"/manifests/"+d.String())
	w.WriteHeader(http.StatusCreated)
}

// refer lists a manifest as a referrer, once, the newest first. The caller holds l.mu.
func (l *layouts) refer(repository string, m ocispec.Manifest, desc ocispec.Descriptor) {
	desc.Annotations = m.Annotations
	if desc.ArtifactType = m.ArtifactType; desc.ArtifactType == "" {
		desc.ArtifactType = m.Config.MediaType
	}
	key := repository + "@" + m.Subject.Digest.String()
	all := []ocispec.Descriptor{desc}
	for _, d := range l.referrers[key] {
		if d.Digest != desc.Digest {
			all = append(all, d)
		}
	}
	l.referrers[key] = all
}

var uploadName = regexp.MustCompile(`^upload-[0-9]+$`)

// upload takes the three requests of an upload: POST, any number of PATCH, PUT.
func (l *layouts) upload(w http.ResponseWriter, r *http.Request, repository, name string) {
	var err error
	switch {
	case r.Method == http.MethodPost && name == "":
		var f *os.File
		if f, err = os.CreateTemp(l.uploads, "upload-*"); err != nil {
			break
		}
		name = filepath.Base(f.Name())
		err = f.Close()
		l.answerUpload(w, repository, name, 0)
	case !uploadName.MatchString(name):
		fail(w, http.StatusNotFound, "BLOB_UPLOAD_UNKNOWN")
	case r.Method == http.MethodPatch:
		var size int64
		if size, err = l.append(name, r.Body); err == nil {
			l.answerUpload(w, repository, name, size)
		}
	case r.Method == http.MethodPut:
		if _, err = l.append(name, r.Body); err == nil {
			err = l.finish(w, r, repository, name)
		}
	case r.Method == http.MethodDelete:
		if err = os.Remove(filepath.Join(l.uploads, name)); err == nil {
			w.WriteHeader(http.StatusNoContent)
		}
	default:
		fail(w, http.StatusMethodNotAllowed, "UNSUPPORTED")
	}
	if err != nil {
		fail(w, http.StatusBadRequest, "BLOB_UPLOAD_INVALID")
	}
}

func (l *layouts) answerUpload(w http.ResponseWriter, repository, name string, size int64) {
	w.Header().Set("Location", "/v2/"+repository+"/blobs/uploads/"+name)
	w.Header().Set("Docker-Upload-Uuid", name)
	w.Header().Set("Range", fmt.Sprintf("0-%d", max(0, size-1)))
	w.WriteHeader(http.StatusAccepted)
}

// append adds a body to an upload and returns the length that it has then.
func (l *layouts) append(name string, body io.Reader) (int64, error) {
	f, err := os.OpenFile(filepath.Join(l.uploads, name), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(f, body)
	size, serr := f.Seek(0, io.SeekEnd)
	return size, errors.Join(err, serr, f.Close())
}

// finish checks the digest of an upload and gives it its name.
func (l *layouts) finish(w http.ResponseWriter, r *http.Request, repository, name string) error {
	want := digest.Digest(r.URL.Query().Get("digest"))
	if err := want.Validate(); err != nil {
		return err
	}
	path := filepath.Join(l.uploads, name)
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	got, err := want.Algorithm().FromReader(f)
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if got != want {
		return fmt.Errorf("digest is %s, not %s", got, want)
	}
	if err := os.Rename(path, l.uploaded(want)); err != nil {
		return err
	}
	w.Header().Set("Docker-Content-Digest", want.String())
	w.Header().Set("Location", "/v2/"+repository+"/blobs/"+want.String())
	w.WriteHeader(http.StatusCreated)
	return nil
}
