package main

import (
	"strconv"
	"strings"
	"time"
)

// A mountOptions holds what -o can say, as sshfs and mount(8) users type it.
type mountOptions struct {
	allowOther, allowRoot, defaultPermissions bool
	dev, suid, noexec                         bool
	uid, gid                                  int // -1: the image's own
	fsname                                    string
	ignored                                   []string // options without a meaning here
}

// parseMountOptions reads the -o values, each a comma-separated list. Options
// that are also flags (platform=, trust=, cache_dir= ...) go to s.
// What fstab needs and a mount does not (defaults, _netdev, nofail, x-…) is accepted.
func parseMountOptions(lists []string, s *settings) (mountOptions, error) {
	o := mountOptions{uid: -1, gid: -1}
	for _, list := range lists {
		for opt := range strings.SplitSeq(list, ",") {
			name, value, hasValue := strings.Cut(opt, "=")
			if err := o.set(name, value, hasValue, s); err != nil {
				return o, err
			}
		}
	}
	return o, nil
}

func (o *mountOptions) set(name, value string, hasValue bool, s *settings) error {
	if done, err := o.setFlag(name, hasValue); done || err != nil {
		return err
	}
	if !hasValue || value == "" {
		return usageError("mount option %q: unknown, or without its value", name)
	}
	number := func(to *int) error {
		v, err := strconv.ParseUint(value, 10, 31)
		if err != nil {
			return usageError("mount option %s=%s: not a number", name, value)
		}
		*to = int(v)
		return nil
	}
	switch name {
	case "uid":
		return number(&o.uid)
	case "gid":
		return number(&o.gid)
	case "fsname":
		o.fsname = value
	case "subtype":
		o.ignored = append(o.ignored, name)
	case "platform":
		s.platform = value
	case "authfile":
		s.authFile = value
	case "hosts_dir":
		s.hostsDir = value
	case "cache_dir":
		s.cacheDir = value
	case "cache_size":
		s.cacheSize = value
	case "trust":
		s.trust = value
	case "index_digest":
		s.indexDigest = value
	case "log_level":
		s.logLevel = value
	case "deadline":
		d, err := time.ParseDuration(value)
		if err != nil {
			return usageError("mount option deadline=%s: %w", value, err)
		}
		s.deadline = d
	default:
		if strings.HasPrefix(name, "x-") || strings.HasPrefix(name, "comment") {
			return nil
		}
		return usageError("mount option %q: unknown", name)
	}
	return nil
}

// setFlag handles the options without a value; done is false for others.
func (o *mountOptions) setFlag(name string, hasValue bool) (done bool, err error) {
	if hasValue {
		return false, nil
	}
	switch name {
	case "allow_other":
		o.allowOther = true
	case "allow_root":
		o.allowRoot = true
	case "default_permissions":
		o.defaultPermissions = true
	case "dev":
		o.dev = true
	case "nodev":
		o.dev = false
	case "suid":
		o.suid = true
	case "nosuid":
		o.suid = false
	case "noexec":
		o.noexec = true
	case "exec":
		o.noexec = false
	case "", "ro", "defaults", "_netdev", "auto", "noauto", "nofail", "user", "users", "nouser", "noatime",
		"nodiratime", "relatime", "atime", "async", "kernel_cache", "auto_cache", "auto_unmount", "nonempty":
	case "rw":
		o.ignored = append(o.ignored, "rw (the mount is read-only)")
	default:
		if strings.HasPrefix(name, "x-") {
			return true, nil
		}
		return false, nil
	}
	return true, nil
}
