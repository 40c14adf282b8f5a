package fusefs

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// FSType is the type of our mounts in /proc/self/mountinfo.
const FSType = "fuse.shalefs"

// A Device is the device number of a mount.
type Device struct {
	Major, Minor uint32
}

// A MountInfo is one of our mounts, as the kernel lists it.
type MountInfo struct {
	Dir    string
	Device Device
	Source string // what Options.FSName said
}

// Mounts lists the mounts of this program that this process can see. It asks nothing of
// the mounts themselves: a dead one would hang.
func Mounts() ([]MountInfo, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read from
	return parseMountInfo(f)
}

// parseMountInfo reads the lines of our mounts.
func parseMountInfo(r io.Reader) ([]MountInfo, error) {
	var list []MountInfo
	s := bufio.NewScanner(r)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		if m, ok := parseMountLine(s.Text()); ok {
			list = append(list, m)
		}
	}
	return list, s.Err()
}

// parseMountLine reads one line:
//
//	ID PARENT MAJOR:MINOR ROOT DIR OPTIONS TAG... - TYPE SOURCE OPTIONS
func parseMountLine(line string) (MountInfo, bool) {
	head, tail, ok := strings.Cut(line, " - ")
	fields, after := strings.Fields(head), strings.Fields(tail)
	if !ok || len(fields) < 5 || len(after) < 2 || after[0] != FSType {
		return MountInfo{}, false
	}
	major, minor, _ := strings.Cut(fields[2], ":")
	ma, err1 := strconv.ParseUint(major, 10, 32)
	mi, err2 := strconv.ParseUint(minor, 10, 32)
	if err1 != nil || err2 != nil {
		return MountInfo{}, false
	}
	return MountInfo{
		Dir:    unescapeMount(fields[4]),
		Device: Device{uint32(ma), uint32(mi)},
		Source: unescapeMount(after[1]),
	}, true
}

// unescapeMount undoes the kernel's octal escapes of space, tab, newline and backslash.
func unescapeMount(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if v, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(v))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// FindMount returns our mount on a directory, the uppermost if there are several. It does not touch
// the mount. The error wraps io/fs.ErrNotExist if there is none.
func FindMount(dir string) (MountInfo, error) {
	dir, err := mountPath(dir)
	if err != nil {
		return MountInfo{}, err
	}
	list, err := Mounts()
	if err != nil {
		return MountInfo{}, err
	}
	for i := len(list) - 1; i >= 0; i-- {
		if list[i].Dir == dir {
			return list[i], nil
		}
	}
	return MountInfo{}, fmt.Errorf("no %s mount at %s: %w", FSType, dir, iofs.ErrNotExist)
}

// mountPath makes a path absolute and resolves symlinks above its last part, but
// never looks at that part: it may be a dead mount.
func mountPath(dir string) (string, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	parent, err := filepath.EvalSymlinks(filepath.Dir(abs))
	if err != nil {
		return "", err
	}
	return filepath.Join(parent, filepath.Base(abs)), nil
}

// Dead tells whether nobody serves the mount any more: whoever looks at it gets
// ENOTCONN. A mount that is served by a process that hangs is not dead.
//
// The question is statfs, which the kernel answers by itself when the connection is
// gone; it is asked in a goroutine, and a mount that does not answer counts as alive.
func (m MountInfo) Dead() bool {
	answer := make(chan error, 1)
	go func() {
		var st unix.Statfs_t
		answer <- unix.Statfs(m.Dir, &st)
	}()
	select {
	case err := <-answer:
		return errors.Is(err, unix.ENOTCONN)
	case <-afterProbe():
		return false
	}
}

// connections is where the kernel shows the FUSE connections, if fusectl is mounted.
const connections = "/sys/fs/fuse/connections"

// Abort ends the connection of a mount by the kernel's file for it: every request that
// waits gets an error, at once, and the mount is dead. Root can, and the user who mounted, where
// fusectl is mounted.
func (d Device) Abort() error {
	if d.Major != 0 || d.Minor == 0 {
		return fmt.Errorf("%d:%d is not the device of a FUSE mount: %w", d.Major, d.Minor, iofs.ErrInvalid)
	}
	return os.WriteFile(fmt.Sprintf("%s/%d/abort", connections, d.Minor), []byte("1"), 0)
}

// Abort is Device.Abort, and does without fusectl as root.
func (m MountInfo) Abort() error {
	err := m.Device.Abort()
	if err == nil || errors.Is(err, iofs.ErrInvalid) {
		return err
	}
	// A forced umount ends the connection even where it then fails because the mount is in use.
	forced := unix.Unmount(m.Dir, unix.MNT_FORCE|unix.UMOUNT_NOFOLLOW)
	if forced == nil || errors.Is(forced, unix.EBUSY) {
		return nil
	}
	return errors.Join(err, fmt.Errorf("umount %s by force: %w", m.Dir, forced))
}

// Detach takes a mount point away at once, in use or not, dead or not. Processes that have
// files in it keep them. As root by itself, else by fusermount3.
func Detach(dir string) error {
	return unmount(dir, unix.MNT_DETACH, "-u", "-z")
}

// unmount calls umount2 with the flags, or, where only root can, fusermount3 with the words.
func unmount(dir string, flags int, words ...string) error {
	err := unix.Unmount(dir, flags|unix.UMOUNT_NOFOLLOW)
	if err == nil || !errors.Is(err, unix.EPERM) {
		if err != nil {
			err = fmt.Errorf("umount %s: %w", dir, err)
		}
		return err
	}
	out, err := exec.Command("fusermount3", append(words, "--", dir)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("umount %s: %w: %s", dir, err, bytes.TrimSpace(out))
	}
	return nil
}
