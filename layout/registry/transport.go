package registry

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"syscall"
	"time"
)

// errRefused: we will not connect there, whatever the network says.
var errRefused = errors.New("refused address")

// An addressRule says whether an address may be connected to. It sees the
// address after the name was resolved, so a name cannot hide one.
type addressRule func(netip.Addr) bool

// noLinkLocal refuses the addresses where clouds keep their metadata services.
func noLinkLocal(a netip.Addr) bool { return !a.IsLinkLocalUnicast() && !a.IsLinkLocalMulticast() }

// onlyPublic also refuses loopback, private, shared and unset addresses.
func onlyPublic(a netip.Addr) bool {
	shared := netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 64, 0, 0}), 10)
	return noLinkLocal(a) && !a.IsLoopback() && !a.IsPrivate() && !a.IsUnspecified() && !a.IsMulticast() && !shared.Contains(a)
}

func anyAddress(netip.Addr) bool { return true }

// newTransport makes the connections of one endpoint. Bodies are never
// decompressed behind our back (REG-13).
func newTransport(tc *tls.Config, allow addressRule, opt *Options) *http.Transport {
	d := &net.Dialer{
		Timeout: 10 * time.Second,
		Control: func(_, address string, _ syscall.RawConn) error {
			ap, err := netip.ParseAddrPort(address)
			if err != nil || !allow(ap.Addr().Unmap()) {
				return fmt.Errorf("%w %s", errRefused, address)
			}
			return nil
		},
	}
	return &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         d.DialContext,
		TLSClientConfig:     tc,
		TLSHandshakeTimeout: 10 * time.Second,
		ForceAttemptHTTP2:   true,
		DisableCompression:  true,
		MaxIdleConnsPerHost: opt.MaxPerHost,
		IdleConnTimeout:     90 * time.Second,
		ReadBufferSize:      64 << 10,
		// A header that does not end is a stall; one that is huge is an attack.
		MaxResponseHeaderBytes: 256 << 10,
	}
}

// isLoopback tells whether a host[:port] is this machine by its name (REG-24).
func isLoopback(hostport string) bool {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	host = strings.Trim(host, "[]")
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.Unmap().IsLoopback()
}
