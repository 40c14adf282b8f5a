package open

import (
	"fmt"
	"log/slog"
	"time"

	digest "github.com/opencontainers/go-digest"
)

// Trust says when a layer index that nothing binds to its layer is checked
// against the whole layer.
type Trust int

// The policies. A layer that fails its check is failed as a whole, whatever the policy.
const (
	TrustBackground Trust = iota // use it at once, check the whole layer in the background
	TrustStrict                  // check the whole layer first
	TrustRegistry                // use it, and do not check
)

// ParseTrust reads the name of a policy.
func ParseTrust(s string) (Trust, error) {
	switch s {
	case "", "background":
		return TrustBackground, nil
	case "strict":
		return TrustStrict, nil
	case "registry":
		return TrustRegistry, nil
	}
	return 0, fmt.Errorf("trust policy %q: not background, strict or registry", s)
}

func (t Trust) String() string {
	return [...]string{"background", "strict", "registry"}[t]
}

// Prefetch says what is fetched before anybody asks for it.
type Prefetch int

// What a mount fetches ahead.
const (
	PrefetchProfile Prefetch = iota // the chunks of the image's profile, if there is one
	PrefetchAll                     // the whole image
	PrefetchNone                    // nothing
)

// ParsePrefetch reads the name of a prefetch policy.
func ParsePrefetch(s string) (Prefetch, error) {
	switch s {
	case "", "profile":
		return PrefetchProfile, nil
	case "all":
		return PrefetchAll, nil
	case "none":
		return PrefetchNone, nil
	}
	return 0, fmt.Errorf("prefetch policy %q: not all, profile or none", s)
}

// Options are the settings of Image. The zero value works.
type Options struct {
	Platform  string // os/arch[/variant]; empty is the host's
	PlainHTTP bool   // plain HTTP also for hosts that are not loopback
	Insecure  bool   // do not verify TLS certificates
	AuthFile  string // credentials; empty is where docker and podman keep them
	HostsDir  string // mirrors: a certs.d directory with hosts.toml files; empty is containerd's

	CacheDir   string // empty is the user's (see CacheDir)
	CacheBytes int64  // limit; 0 is 10 GiB or a tenth of the free disk
	NoCache    bool   // keep nothing on disk: a temporary cache, removed at the end

	Trust       Trust
	IndexDigest digest.Digest // pins the pushed index artifact, and so binds it
	OneShot     bool          // the process ends soon: no background work
	Prefetch    Prefetch

	Deadline    time.Duration // of one read; 0 is 60 s
	MemoryBytes int64         // of decoded chunks in memory; 0 is 4 MiB
	Record      bool          // record which chunks are touched

	Logger   *slog.Logger                       // nil is silent
	Progress func(layer int, done, total int64) // passes over layers, in compressed bytes; may be called from several goroutines
}
