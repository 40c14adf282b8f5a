package index

import (
	digest "github.com/opencontainers/go-digest"

	"github.com/shalefs/shalefs/lazy/cache"
)

// A Keeper takes the content of a layer while its index is built, so that it need not
// be fetched and decoded again. What it fails to keep is fetched when it is read;
// after an error the pass offers no more. Its methods are called from one goroutine.
type Keeper interface {
	// Tar keeps a chunk of the tar that is not part of a large file.
	Tar(off int64, p []byte) error
	// File begins a large file of size bytes.
	File(size int64) (FileKeeper, error)
	// Close ends the keeping, after the pass, whether it succeeded or not.
	Close() error
}

// A FileKeeper takes one large file. It ends with Commit or Abort.
type FileKeeper interface {
	// Write takes the next bytes.
	Write(p []byte) (int, error)
	// Commit says that all is written, and which blake3 it has.
	Commit(sum [32]byte) error
	// Abort throws away what was written.
	Abort()
}

// TarPartBytes is how much of a tar stream one cache object holds. The stream is kept
// in parts so that an object's size is known before the tar's is.
const TarPartBytes = 64 << 20

// TarObject says where the cache keeps the chunk of a tar stream that starts at off.
func TarObject(diffID digest.Digest, off int64) (key cache.Key, size, at int64) {
	part := off / TarPartBytes
	return tarKey(diffID, part), TarPartBytes + cache.UnitBytes, off - part*TarPartBytes
}

// CacheKeeper keeps the content of the layer with that diffID in a cache.
func CacheKeeper(c *cache.Cache, diffID digest.Digest) Keeper {
	return &cacheKeeper{c: c, diffID: diffID}
}

type cacheKeeper struct {
	c      *cache.Cache
	diffID digest.Digest
	key    cache.Key // of part
	part   *cache.Object
}

func (k *cacheKeeper) Tar(off int64, p []byte) error {
	key, size, at := TarObject(k.diffID, off)
	if k.part == nil || k.key != key {
		if err := k.Close(); err != nil {
			return err
		}
		o, err := k.c.Object(key, size)
		if err != nil {
			return err
		}
		k.key, k.part = key, o
	}
	return k.part.WriteAt(p, at)
}

func (k *cacheKeeper) Close() error {
	if k.part == nil {
		return nil
	}
	o := k.part
	k.part = nil
	return o.Close()
}

func (k *cacheKeeper) File(size int64) (FileKeeper, error) {
	t, err := k.c.NewTemp(size)
	if err != nil {
		return nil, err
	}
	return &cacheFile{t: t}, nil
}

type cacheFile struct {
	t  *cache.Temp
	at int64
}

func (f *cacheFile) Write(p []byte) (int, error) {
	n, err := f.t.WriteAt(p, f.at)
	f.at += int64(n)
	return n, err
}

func (f *cacheFile) Commit(sum [32]byte) error { return f.t.Commit(FileKey(sum)) }
func (f *cacheFile) Abort()                    { f.t.Abort() }
