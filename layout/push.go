package layout

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"
)

// PushBlob stores a blob in the layout, under its digest. The file appears whole or not at all.
func (d *Dir) PushBlob(ctx context.Context, desc ocispec.Descriptor, content []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := VerifyBytes(desc, content); err != nil {
		return err
	}
	name, err := blobPath(desc.Digest)
	if err != nil {
		return err
	}
	path := filepath.Join(d.dir, filepath.FromSlash(name))
	if fi, err := os.Lstat(path); err == nil && fi.Mode().IsRegular() && fi.Size() == desc.Size {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("layout %s: %w", d.ref.Path, err)
	}
	if err := writeFileAtomic(path, content, 0o644); err != nil {
		return fmt.Errorf("layout %s: blob %s: %w", d.ref.Path, desc.Digest, err)
	}
	return nil
}

// PushReferrer stores a manifest and lists it in index.json, where Referrers finds it.
// Processes that do this at one time wait for one another: they lock the file oci-layout.
func (d *Dir) PushReferrer(ctx context.Context, desc ocispec.Descriptor, manifest []byte, subject ocispec.Descriptor) error {
	doc, err := ParseDocument(manifest, desc.MediaType)
	if err != nil {
		return fmt.Errorf("manifest %s: %w", desc.Digest, err)
	}
	if s := doc.subject(); s == nil || s.Digest != subject.Digest {
		return fmt.Errorf("manifest %s does not have the subject %s: %w", desc.Digest, subject.Digest, ErrInvalid)
	}
	if err := d.PushBlob(ctx, desc, manifest); err != nil {
		return err
	}
	entry := doc.referrer(desc)
	entry.Annotations = nil // they would be taken for names
	if err := d.addEntry(ctx, entry); err != nil {
		return fmt.Errorf("layout %s: index.json: %w", d.ref.Path, err)
	}
	return nil
}

// addEntry appends to index.json what is not there yet. Everything else in the
// file is kept, also what this package does not know.
func (d *Dir) addEntry(ctx context.Context, entry ocispec.Descriptor) error {
	unlock, err := lockFile(ctx, filepath.Join(d.dir, ocispec.ImageLayoutFile))
	if err != nil {
		return err
	}
	defer unlock()
	idx, err := d.index()
	if err != nil {
		return err
	}
	for _, m := range idx.Manifests {
		if m.Digest == entry.Digest {
			return nil
		}
	}
	raw, err := d.files.ReadFile(ocispec.ImageIndexFile, d.limits.IndexBytes)
	if err != nil {
		return err
	}
	out, err := appendEntry(raw, entry)
	if err != nil {
		return err
	}
	if int64(len(out)) > d.limits.IndexBytes {
		return tooLarge(ocispec.ImageIndexFile, int64(len(out)), d.limits.IndexBytes)
	}
	return writeFileAtomic(filepath.Join(d.dir, ocispec.ImageIndexFile), out, 0o644)
}

func appendEntry(raw []byte, entry ocispec.Descriptor) ([]byte, error) {
	var doc map[string]json.RawMessage
	if err := json.Unmarshal(raw, &doc); err != nil {
		return nil, err
	}
	var entries []json.RawMessage
	if m := doc["manifests"]; len(m) > 0 {
		if err := json.Unmarshal(m, &entries); err != nil {
			return nil, err
		}
	}
	e, err := json.Marshal(entry)
	if err != nil {
		return nil, err
	}
	if doc["manifests"], err = json.Marshal(append(entries, e)); err != nil {
		return nil, err
	}
	return json.Marshal(doc)
}

// lockFile takes the advisory lock of a file that exists. It waits for other
// processes, which hold it only for moments.
func lockFile(ctx context.Context, path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { _ = f.Close() }, nil
		}
		if err != unix.EINTR && err != unix.EWOULDBLOCK {
			return nil, errors.Join(fmt.Errorf("lock: %w", err), f.Close())
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), f.Close())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// writeFileAtomic writes a file under a temporary name beside it, and renames it.
func writeFileAtomic(path string, content []byte, mode os.FileMode) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".tmp-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = f.Write(content)
	if err == nil {
		err = f.Chmod(mode)
	}
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	return err
}
