package auth

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
)

// ErrRealm means that a registry names a token server that we will not talk to.
var ErrRealm = errors.New("refused token server")

// checkRealm parses a realm and refuses what would hand secrets to the wrong
// place: anything but http and https, http when the registry itself is https,
// link-local addresses (the metadata services of clouds). Private addresses are
// allowed: that is where token servers of companies live. secrets tells whether
// credentials may be sent there: over https, or to the host of a registry that
// itself speaks plain HTTP (REG-21).
func checkRealm(realm string, registry *url.URL) (u *url.URL, secrets bool, err error) {
	u, err = url.Parse(realm)
	if err != nil || u.Host == "" || u.User != nil || u.Opaque != "" {
		return nil, false, fmt.Errorf("%w: the realm is not a plain URL", ErrRealm)
	}
	u.Fragment = ""
	if LinkLocal(u.Hostname()) && u.Hostname() != registry.Hostname() {
		return nil, false, fmt.Errorf("%w %s: a link-local address", ErrRealm, u.Host)
	}
	switch u.Scheme {
	case "https":
		return u, true, nil
	case "http":
		if registry.Scheme != "http" {
			return nil, false, fmt.Errorf("%w %s: plain HTTP for a registry that uses https", ErrRealm, u.Host)
		}
		return u, strings.EqualFold(u.Hostname(), registry.Hostname()), nil
	}
	return nil, false, fmt.Errorf("%w %s: the scheme is neither https nor http", ErrRealm, u.Host)
}

// LinkLocal tells whether host is a literal link-local address.
func LinkLocal(host string) bool {
	a, err := netip.ParseAddr(strings.Trim(host, "[]"))
	if err != nil {
		return false
	}
	a = a.Unmap()
	return a.IsLinkLocalUnicast() || a.IsLinkLocalMulticast()
}
