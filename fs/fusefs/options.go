package fusefs

import (
	"log/slog"
	"syscall"
	"time"

	"github.com/shalefs/shalefs/fs"
)

// Defaults of Options.
const (
	DefaultTimeout = 24 * time.Hour
	// DefaultReadAheadKiB is small: a page fault in a mapped library brings so much around it.
	// With 32 MiB, importing numpy and scipy touched 76 MB of a layer, with 256 KiB 32 MB.
	// Those who read in sequence are the loader's to serve, which reads ahead by itself.
	DefaultReadAheadKiB  = 256
	DefaultMaxBackground = 64
	DefaultMaxInflight   = 256 << 20
	maxReadBytes         = 1 << 20 // of one READ
)

// Options for Mount. The zero value works.
type Options struct {
	// FSName is the first column of df and /proc/self/mountinfo: the reference. Default "shalefs".
	FSName string

	// AllowOther lets other users than the one who mounts in. It implies DefaultPermissions.
	AllowOther bool
	// DefaultPermissions makes the kernel check the modes in the image.
	DefaultPermissions bool
	// UID and GID, if not nil, are the owner of every inode.
	UID, GID *uint32
	// Suid and Dev make the mount honour set-user-id bits and device nodes; only root can.
	Suid, Dev bool
	// NoExec refuses to run programs from the mount.
	NoExec bool

	// Timeout is how long the kernel keeps names and attributes. Default: DefaultTimeout.
	Timeout time.Duration
	// ReadAheadKiB is the kernel's read-ahead, set after the mount where that is allowed.
	// Default: DefaultReadAheadKiB; negative: leave it.
	ReadAheadKiB int
	// MaxBackground is how many read-ahead requests the kernel has in flight. Default: DefaultMaxBackground.
	MaxBackground int
	// MaxInflightBytes bounds the buffers of requests in flight. Default: DefaultMaxInflight.
	MaxInflightBytes int
	// NoPassthrough turns passthrough off.
	NoPassthrough bool

	// Logger gets one line for each failure. nil: silence.
	Logger *slog.Logger
	// Metrics hears of every operation. nil: nobody does.
	Metrics Metrics
}

// Metrics hears of operations. It may be called from several goroutines, and must be quick.
type Metrics interface {
	// Op reports one operation: its name in capitals as the protocol has it, how long
	// it took, the bytes of files that it gave to the kernel, and 0 or the error. READ gives
	// some, and NOTIFY_STORE, which is no request but what was pushed before one.
	Op(name string, took time.Duration, bytes int, errno syscall.Errno)
}

// A Backer is a fs.Content that can have the whole content of some files in local
// files, with every offset the same. The kernel then reads such a file by itself:
// no request comes here, and memory maps are as quick as those of the local filesystem.
type Backer interface {
	// Backing returns an open file with exactly the bytes of the inode, checked. The
	// server closes it after the last close of the inode, and no other way: until
	// then it may be read. ok is false if there is none (yet).
	Backing(ino fs.Ino) (f fs.BackingFile, ok bool)
}

func (o Options) withDefaults() Options {
	if o.FSName == "" {
		o.FSName = "shalefs"
	}
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	if o.ReadAheadKiB == 0 {
		o.ReadAheadKiB = DefaultReadAheadKiB
	}
	if o.MaxBackground <= 0 {
		o.MaxBackground = DefaultMaxBackground
	}
	if o.MaxInflightBytes <= 0 {
		o.MaxInflightBytes = DefaultMaxInflight
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	o.DefaultPermissions = o.DefaultPermissions || o.AllowOther
	return o
}

// mountOptions are the words for mount(2) or fusermount3.
func (o Options) mountOptions() []string {
	words := []string{"ro"}
	if o.DefaultPermissions {
		words = append(words, "default_permissions")
	}
	for _, w := range []struct {
		on       bool
		yes, not string
	}{
		{o.Suid, "suid", "nosuid"},
		{o.Dev, "dev", "nodev"},
		{!o.NoExec, "exec", "noexec"},
	} {
		if w.on {
			words = append(words, w.yes)
		} else {
			words = append(words, w.not)
		}
	}
	return words
}
