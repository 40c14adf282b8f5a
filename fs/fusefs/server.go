package fusefs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/shalefs/shalefs/fs"
)

// A Server is a mount that is being served. Its methods may be called from several goroutines.
type Server struct {
	dir    string // absolute
	fuse   *fuse.Server
	raw    *rawFS
	info   MountInfo
	log    *slog.Logger
	served chan struct{} // closed when serving has ended
}

// Mount mounts the tree on a directory and serves it. It returns when the tree
// answers. As root it mounts by itself, else by fusermount3.
// Errors: what mount or fusermount3 say; then nothing is mounted.
func Mount(t *fs.Tree, c fs.Content, dir string, opt Options) (*Server, error) {
	opt = opt.withDefaults()
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("mount: %w", err)
	}
	if abs, err = filepath.EvalSymlinks(abs); err != nil {
		return nil, fmt.Errorf("mount: %w", err)
	}
	raw := newRawFS(t, c, opt)
	root := os.Geteuid() == 0
	srv, err := fuse.NewServer(raw, abs, &fuse.MountOptions{
		FsName: opt.FSName, Name: "shalefs",
		AllowOther:               opt.AllowOther,
		Options:                  opt.mountOptions(),
		DirectMount:              root,
		DirectMountStrict:        root,
		DirectMountFlags:         opt.mountFlags(),
		MaxWrite:                 maxReadBytes,
		MaxBackground:            opt.MaxBackground,
		MaxInflightRequestBytes:  opt.MaxInflightBytes,
		EnableSymlinkCaching:     true,
		DisableSplice:            true, // replies are in memory: a pipe on the way only costs
		ExplicitDataCacheControl: true,
		ExtraCapabilities:        fuse.CAP_NO_OPENDIR_SUPPORT,
		DisabledCapabilities:     raw.handles.disabled(),
		Logger:                   slog.NewLogLogger(opt.Logger.Handler(), slog.LevelDebug),
	})
	if err != nil {
		return nil, fmt.Errorf("mount %s: %w", abs, err)
	}
	s := &Server{dir: abs, fuse: srv, raw: raw, log: opt.Logger, served: make(chan struct{})}
	go func() {
		defer close(s.served)
		srv.Serve()
	}()
	if err := srv.WaitMount(); err != nil && !errors.Is(err, syscall.EACCES) {
		return nil, errors.Join(fmt.Errorf("mount %s: %w", abs, err), s.Shutdown(context.Background()))
	}
	if s.info, err = FindMount(abs); err != nil {
		return nil, errors.Join(fmt.Errorf("mount %s: %w", abs, err), s.Shutdown(context.Background()))
	}
	s.raiseReadAhead(opt.ReadAheadKiB)
	return s, nil
}

// Dir is the mount point, absolute, without symlinks.
func (s *Server) Dir() string { return s.dir }

// Device is the mount's device number, which names its connection in /sys/fs/fuse/connections.
func (s *Server) Device() Device { return s.info.Device }

// Wait returns when the mount is gone and no request is being answered.
func (s *Server) Wait() { <-s.served }

// Done is closed when the mount is gone and no request is being answered.
func (s *Server) Done() <-chan struct{} { return s.served }

// Unmount unmounts the tree if nobody uses it, else it is an error (EBUSY where umount2 says so)
// and nothing has changed.
func (s *Server) Unmount() error {
	if err := unmount(s.dir, 0, "-u"); err != nil {
		return err
	}
	<-s.served
	return nil
}

// shutdownWait is how long Shutdown lets requests in flight end by themselves.
const shutdownWait = 300 * time.Millisecond

// Shutdown takes the mount away, also when it is in use and when reads hang. Reads in
// flight end with EIO. If somebody still uses the mount, the connection is ended, so that
// whatever they do with it gets an error, and the mount point is detached. It returns
// within a second, or when ctx ends; an error means that something is still there, which
// ends with this process.
func (s *Server) Shutdown(ctx context.Context) error {
	s.raw.stopReads()
	err := unmount(s.dir, 0, "-u")
	if err != nil {
		err = errors.Join(s.info.Abort(), Detach(s.dir))
	}
	select {
	case <-s.served:
		return nil
	case <-ctx.Done():
	case <-time.After(shutdownWait):
	}
	return errors.Join(fmt.Errorf("%s: requests are still in flight", s.dir), err)
}

// mountFlags are what mount(2) gets beside the words. The words set and clear bits of it.
func (o Options) mountFlags() uintptr {
	return unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOATIME
}
