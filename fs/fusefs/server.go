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
	dev    Device
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
	m, err := FindMount(abs)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("mount %s: %w", abs, err), s.Shutdown(context.Background()))
	}
	s.dev = m.Device
	s.raiseReadAhead(opt.ReadAheadKiB)
	return s, nil
}

// Dir is the mount point, absolute, without symlinks.
func (s *Server) Dir() string { return s.dir }

// Device is the mount's device number, which names its connection in /sys/fs/fuse/connections.
func (s *Server) Device() Device { return s.dev }

// Wait returns when the mount is gone and no request is being answered.
func (s *Server) Wait() { <-s.served }

// Done is closed when the mount is gone and no request is being answered.
func (s *Server) Done() <-chan struct{} { return s.served }

// Unmount unmounts the tree if nobody uses it, else the error is EBUSY and nothing has changed.
func (s *Server) Unmount() error {
	if os.Geteuid() == 0 {
		if err := unix.Unmount(s.dir, unix.UMOUNT_NOFOLLOW); err != nil {
			return fmt.Errorf("umount %s: %w", s.dir, err)
		}
		<-s.served
		return nil
	}
	if err := s.fuse.Unmount(); err != nil {
		return fmt.Errorf("umount %s: %w", s.dir, err)
	}
	<-s.served
	return nil
}

// shutdownWait is how long Shutdown lets reads in flight end by themselves.
const shutdownWait = 200 * time.Millisecond

// Shutdown takes the mount away, also when it is in use and when reads hang: it
// detaches the mount point, and then ends the connection, so that whoever still waits
// gets an error. It returns within a second, but for ctx; an error means that
// something still hangs, and ends with the process.
func (s *Server) Shutdown(ctx context.Context) error {
	err := Detach(s.dir)
	select {
	case <-s.served:
		return err
	case <-time.After(shutdownWait):
	case <-ctx.Done():
	}
	if abortErr := s.dev.Abort(); abortErr != nil {
		err = errors.Join(err, abortErr)
	}
	select {
	case <-s.served:
		return nil
	case <-time.After(shutdownWait):
		return errors.Join(fmt.Errorf("%s: reads are still in flight", s.dir), err)
	}
}

// mountFlags are what mount(2) gets beside the words. The words set and clear bits of it.
func (o Options) mountFlags() uintptr {
	return unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOATIME
}
