package main

import (
	"context"
	"errors"
	"fmt"
	iofs "io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/shalefs/shalefs/cmd/internal/control"
	"github.com/shalefs/shalefs/cmd/internal/daemon"
	"github.com/shalefs/shalefs/cmd/internal/open"
	"github.com/shalefs/shalefs/fs"
	"github.com/shalefs/shalefs/fs/fusefs"
	"github.com/shalefs/shalefs/index/tarx"
)

// A mountCmd is one "mount".
type mountCmd struct {
	settings
	foreground bool
	options    []string
	logFile    string
	metrics    string
	prefetch   string
	record     string
}

func newMount() *cobra.Command {
	var m mountCmd
	c := &cobra.Command{
		Use: "mount REF DIR", Short: "Mount an image on a directory",
		Long: `Mount an image on a directory. The command returns when the tree can be used, and
a process in the background serves it until "shalefs umount DIR" (or umount, or
fusermount3 -u, or SIGTERM). -o takes the options of mount(8) and sshfs: allow_other,
default_permissions, dev, suid, noexec, uid=, gid=, and the flags below as
cache_dir=, platform=, trust= and so on.`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error { return m.run(cmd.Context(), args[0], args[1]) },
	}
	m.add(c)
	f := c.Flags()
	f.BoolVarP(&m.foreground, "foreground", "f", false, "stay in the foreground")
	f.StringArrayVarP(&m.options, "option", "o", nil, "mount options, separated by commas")
	f.StringVar(&m.logFile, "log-file", "", "append the log to this file")
	f.StringVar(&m.metrics, "metrics", "", "serve Prometheus metrics at this address, such as 127.0.0.1:9100")
	f.StringVar(&m.prefetch, "prefetch", "profile", "what to fetch ahead: all, profile or none")
	f.StringVar(&m.record, "record", "", "write which parts are read, in order, to this file as a profile")
	return c
}

func (m *mountCmd) run(ctx context.Context, ref, dir string) error {
	mopt, err := parseMountOptions(m.options, &m.settings)
	if err != nil {
		return err
	}
	opt, err := m.imageOptions()
	if err != nil {
		return err
	}
	if m.record != "" {
		if m.record, err = filepath.Abs(m.record); err != nil { // the daemon leaves this directory
			return err
		}
	}
	dir, err = prepareMountPoint(ctx, dir)
	if err != nil {
		return err
	}
	if !m.foreground && !daemon.Child() {
		return daemon.Start(os.Args[1:], m.logFile)
	}
	if len(mopt.ignored) > 0 {
		opt.Logger.Warn("mount options without effect", "options", strings.Join(mopt.ignored, ", "))
	}

	pr := newProgress()
	defer pr.finish()
	opt.Progress = pr.report
	img, err := open.Open(ctx, ref, opt)
	if err != nil {
		return err
	}
	pr.finish()
	err = m.serve(ctx, img, ref, dir, mopt)
	return errors.Join(err, img.Close())
}

// imageOptions makes the options of package open.
func (m *mountCmd) imageOptions() (open.Options, error) {
	opt, err := m.settings.options()
	if err != nil {
		return opt, err
	}
	if opt.Prefetch, err = open.ParsePrefetch(m.prefetch); err != nil {
		return opt, usageError("%w", err)
	}
	opt.Record = m.record != ""
	if m.logFile != "" && !daemon.Child() {
		if opt.Logger, err = fileLogger(m.logFile, m.logLevel, m.logFormat); err != nil {
			return opt, err
		}
	}
	return opt, nil
}

// prepareMountPoint checks the mount point before anything else is done: it must be
// an empty directory or a dead mount of ours, which is taken away.
func prepareMountPoint(ctx context.Context, dir string) (string, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	if mnt, err := fusefs.FindMount(abs); err == nil {
		if !mnt.Dead() {
			return "", mountError("\"shalefs umount "+dir+"\" first", fmt.Errorf("%s: something is mounted there: %s", dir, mnt.Source))
		}
		if err := fusefs.Detach(mnt.Dir); err != nil {
			return "", mountError("", fmt.Errorf("take the dead mount away: %w", err))
		}
		if err := control.Forget(mnt.Dir); err != nil {
			return "", err
		}
	}
	st, err := os.Stat(abs)
	switch {
	case errors.Is(err, iofs.ErrNotExist):
		return "", mountError("make the directory first: mkdir -p "+dir, fmt.Errorf("%s: no such directory", dir))
	case err != nil:
		return "", mountError("", err)
	case !st.IsDir():
		return "", mountError("", fmt.Errorf("%s: not a directory", dir))
	}
	if err := checkDevice(); err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(abs)
}

// checkDevice says in one line what is missing for a mount.
func checkDevice() error {
	f, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err == nil {
		return f.Close()
	}
	switch {
	case errors.Is(err, iofs.ErrNotExist):
		return mountError("load the kernel module \"fuse\", or give the container the device", fmt.Errorf("/dev/fuse is missing"))
	case errors.Is(err, iofs.ErrPermission):
		return mountError("\"chmod 0666 /dev/fuse\" as root, or run as root", fmt.Errorf("/dev/fuse is not open to this user"))
	}
	return mountError("", err)
}

// serve mounts the opened image and returns when the mount is gone.
func (m *mountCmd) serve(ctx context.Context, img *open.Image, ref, dir string, mopt mountOptions) error {
	meters := newMeters(img)
	fopt := fusefs.Options{
		FSName: ref, AllowOther: mopt.allowOther || mopt.allowRoot, DefaultPermissions: mopt.defaultPermissions,
		Suid: mopt.suid, Dev: mopt.dev, NoExec: mopt.noexec, Logger: img.Logger(), Metrics: meters,
	}
	if mopt.fsname != "" {
		fopt.FSName = mopt.fsname
	}
	fopt.UID, fopt.GID = owner(mopt.uid), owner(mopt.gid)
	// Reads that the kernel makes by itself are not recorded.
	fopt.NoPassthrough = m.record != "" || !hasLargeFile(img.Tree)
	srv, err := fusefs.Mount(img.Tree, img.Content, dir, fopt)
	if err != nil {
		return mountError(mountHint(err), err)
	}
	img.OnRefuted(srv.DropCached)
	started := time.Now()
	err = m.whileMounted(ctx, img, srv, meters, control.Record{
		Dir: srv.Dir(), Reference: ref, Digest: img.Meta.Descriptor.Digest.String(),
		PID: os.Getpid(), Started: started.UTC(), Connection: int(srv.Device().Minor),
	})
	if m.record != "" {
		err = errors.Join(err, img.WriteProfile(m.record))
	}
	return err
}

// passthroughBytes is the size of a file from which on passthrough is worth a request at
// every open of every file.
const passthroughBytes = 64 << 20

// hasLargeFile tells whether there is a file for passthrough in the tree.
func hasLargeFile(tree *fs.Tree) bool {
	for ino := fs.Root; ino <= tree.MaxIno(); ino++ {
		if !tree.Valid(ino) {
			continue
		}
		if a := tree.Attr(ino); a.Kind == tarx.Regular && a.Size >= passthroughBytes {
			return true
		}
	}
	return false
}

// whileMounted serves the control socket, says that the mount is there, and waits for its end:
// by an unmount, or by a signal.
func (m *mountCmd) whileMounted(ctx context.Context, img *open.Image, srv *fusefs.Server, meters *meters, rec control.Record) (err error) {
	defer func() {
		select {
		case <-srv.Done():
		default:
			err = errors.Join(err, srv.Shutdown(context.WithoutCancel(ctx)))
		}
	}()
	ctl, err := control.Serve(rec, func() any { return newStatusReport(img, rec, meters) }, meters.handler())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, ctl.Close()) }()
	if m.metrics != "" {
		stop, err := serveMetrics(m.metrics, meters.handler())
		if err != nil {
			return err
		}
		defer stop()
	}
	if err := daemon.Ready(); err != nil {
		return err
	}
	idle := make(chan struct{})
	defer close(idle)
	go keepSmall(meters.count, img.Release, idle)
	img.Logger().Info("mounted", "reference", rec.Reference, "digest", rec.Digest, "dir", rec.Dir, "inodes", img.Tree.NumInodes())
	select {
	case <-srv.Done():
	case <-ctx.Done():
		return srv.Shutdown(context.WithoutCancel(ctx))
	}
	return nil
}

func owner(id int) *uint32 {
	if id < 0 {
		return nil
	}
	v := uint32(id)
	return &v
}

// mountHint guesses what the user can do about a mount that failed.
func mountHint(err error) string {
	switch text := err.Error(); {
	case strings.Contains(text, "fusermount3") && strings.Contains(text, "not found"):
		return "install the package \"fuse3\", or run as root"
	case strings.Contains(text, "user_allow_other"):
		return "put \"user_allow_other\" into /etc/fuse.conf, or leave allow_other out"
	case errors.Is(err, unix.EPERM):
		return "a mount needs root, or fusermount3 and a /dev/fuse open to users"
	}
	return ""
}
