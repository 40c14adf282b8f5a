package main

import (
	"errors"
	"fmt"
	iofs "io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/shalefs/shalefs/cmd/internal/control"
	"github.com/shalefs/shalefs/fs/fusefs"
)

func newUmount() *cobra.Command {
	var lazily bool
	c := &cobra.Command{
		Use: "umount DIR...", Aliases: []string{"unmount"}, Short: "Unmount images",
		Long: `Unmount images and wait until their daemons are gone. Dead mounts, whose daemon was
killed, are cleaned up. A mount in use is refused, unless --lazy: then it
disappears at once, and its processes get errors.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			var errs []error
			for _, dir := range args {
				errs = append(errs, umount(dir, lazily))
			}
			return errors.Join(errs...)
		},
	}
	c.Flags().BoolVarP(&lazily, "lazy", "l", false, "detach a mount that is in use or hangs, too")
	return c
}

// umountWait bounds how long umount waits for the daemon to go.
const umountWait = 10 * time.Second

func umount(dir string, lazily bool) error {
	mnt, err := fusefs.FindMount(dir)
	if err != nil {
		abs, absErr := filepath.Abs(dir)
		if absErr == nil && errors.Is(err, iofs.ErrNotExist) {
			// What a killed daemon left of a mount that is gone.
			if rec, recErr := control.Find(abs); recErr == nil && !rec.Alive() {
				return control.Forget(abs)
			}
			return mountError("\"shalefs status\" lists the mounts", fmt.Errorf("%s: no image is mounted there", dir))
		}
		return mountError("", err)
	}
	rec, recErr := control.Find(mnt.Dir)
	known := recErr == nil
	switch {
	case mnt.Dead():
		err = fusefs.Detach(mnt.Dir)
	case lazily:
		err = fusefs.Detach(mnt.Dir)
		if err == nil && known && rec.Alive() {
			// With the daemon the connection ends: whoever still reads gets an error.
			_ = syscall.Kill(rec.PID, syscall.SIGTERM) // it may be gone by now
		}
	default:
		err = unmountBusy(mnt.Dir)
	}
	if err != nil {
		hint := ""
		if errors.Is(err, unix.EBUSY) || strings.Contains(err.Error(), "busy") {
			hint = "leave the directory and close its files, or use --lazy"
		}
		return mountError(hint, err)
	}
	if !known {
		return nil
	}
	for end := time.Now().Add(umountWait); rec.Alive() && rec.PID != os.Getpid() && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
	if !rec.Alive() {
		return control.Forget(mnt.Dir)
	}
	return nil
}

// unmountBusy unmounts and fails if the mount is in use.
func unmountBusy(dir string) error {
	err := unix.Unmount(dir, unix.UMOUNT_NOFOLLOW)
	if err == nil || !errors.Is(err, unix.EPERM) {
		if err != nil {
			return fmt.Errorf("umount %s: %w", dir, err)
		}
		return nil
	}
	out, err := exec.Command("fusermount3", "-u", "--", dir).CombinedOutput()
	if err != nil {
		return fmt.Errorf("umount %s: %w: %s", dir, err, strings.TrimSpace(string(out)))
	}
	return nil
}
