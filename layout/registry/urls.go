package registry

import (
	"crypto/tls"
	"net/netip"
	"net/url"
	"strings"
)

// maxURLs is how many of a descriptor's urls are tried.
const maxURLs = 8

// useForeign turns to the descriptor's urls after the registry said "not found"
// (D6, REG-36). It returns false if there are none, or they are in use already.
func (b *blob) useForeign() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.foreign) > 0 {
		return false
	}
	for _, raw := range b.desc.URLs[:min(len(b.desc.URLs), maxURLs)] {
		if e := b.store.foreignEndpoint(raw); e != nil {
			b.foreign = append(b.foreign, e)
		}
	}
	if len(b.foreign) > 0 {
		b.store.opt.Logger.Warn("the registry has not got the blob: trying the descriptor's urls", "blob", b.desc.Digest)
	}
	return len(b.foreign) > 0
}

// foreignEndpoint makes an endpoint of a descriptor's URL, or nil if it is one
// that we do not follow: without https, with a user name, to this machine or its
// private network. It never has credentials.
func (s *Store) foreignEndpoint(raw string) *endpoint {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.User != nil {
		return nil
	}
	if scheme := strings.ToLower(u.Scheme); scheme != "https" && (scheme != "http" || !s.opt.PlainHTTP) {
		return nil
	}
	u.Fragment = ""
	allow := addressRule(onlyPublic)
	if s.opt.AllowPrivateURLs {
		allow = noLinkLocal
	}
	if a, err := netip.ParseAddr(u.Hostname()); err == nil && !allow(a.Unmap()) {
		return nil
	}
	t := newTransport(&tls.Config{}, allow, &s.opt)
	t.Proxy = nil // a proxy would connect for us, where the rule cannot see
	e := &endpoint{name: u.Host, base: u, fixed: u, own: t, other: t}
	s.mu.Lock()
	s.urlHosts = append(s.urlHosts, e)
	s.mu.Unlock()
	return e
}
