package tarx

import (
	"cmp"
	"slices"
	"strings"
)

const (
	maxXattrName  = 255      // the kernel's limit, in bytes
	maxXattrValue = 64 << 10 // the kernel's limit, in bytes
)

// showXattrs keeps of the recorded attributes those that may be shown on an entry of
// the kind, sorted by name, the last of a name; warn is told of each that goes.
// system.posix_acl_* are kept: who shows them must first agree on ACLs with the
// kernel (ENT-30).
func showXattrs(all []Xattr, kind Kind, warn func(WarningKind)) []Xattr {
	if len(all) == 0 {
		return nil
	}
	// all holds the records in order; a stable sort keeps the last of a name last.
	all = slices.Clone(all)
	slices.SortStableFunc(all, func(a, b Xattr) int { return cmp.Compare(a.Name, b.Name) })
	out := all[:0]
	for i, x := range all {
		if i+1 < len(all) && all[i+1].Name == x.Name {
			continue
		}
		switch judgeXattr(x, kind) {
		case "":
			out = append(out, x)
		case WarnXattrHeld:
			warn(WarnXattrHeld)
		default:
			warn(WarnXattrDropped)
		}
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

// judgeXattr returns why an attribute is not kept, or "".
func judgeXattr(x Xattr, kind Kind) WarningKind {
	name := x.Name
	switch {
	case strings.HasPrefix(name, "trusted."),
		strings.HasPrefix(name, "user.overlay."),
		name == "security.selinux", name == "security.ima", name == "security.evm":
		return WarnXattrHeld
	case len(name) > maxXattrName || len(x.Value) > maxXattrValue:
		return WarnXattrDropped
	case len(name) > len("user.") && strings.HasPrefix(name, "user."):
		if kind != Regular && kind != Directory {
			return WarnXattrDropped
		}
		return ""
	case name == "security.capability",
		name == "system.posix_acl_access", name == "system.posix_acl_default":
		return ""
	}
	return WarnXattrDropped
}
