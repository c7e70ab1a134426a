package load

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

const defaultPath = "/v1/chat/completions"

// destination is a target's URL, taken apart.
type destination struct {
	addr netip.AddrPort
	host string // as in the URL, for the Host header
	path string
}

// resolve takes a URL apart and looks its host up. Addresses that are not
// loopback are refused unless remote ones are allowed: load is an attack on
// whoever did not ask for it.
func resolve(text string, allowRemote bool) (destination, error) {
	u, err := url.Parse(text)
	if err != nil {
		return destination{}, fmt.Errorf("%q is not a URL: %w", text, err)
	}
	if u.Scheme != "http" || u.Host == "" {
		return destination{}, fmt.Errorf("must be http://host:port/path, got %q", text)
	}
	port := u.Port()
	if port == "" {
		port = "80"
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", u.Hostname())
	if err != nil {
		return destination{}, fmt.Errorf("cannot look up %q: %w", u.Hostname(), err)
	}
	for _, ip := range ips {
		if ip = ip.Unmap(); !ip.IsLoopback() && !allowRemote {
			return destination{}, fmt.Errorf("%s is not on this machine (%s); if you may put load on it, use -allow-remote", u.Hostname(), ip)
		}
	}
	addr, err := netip.ParseAddrPort(net.JoinHostPort(ips[0].Unmap().String(), port))
	if err != nil {
		return destination{}, fmt.Errorf("%q has no usable port: %w", text, err)
	}
	d := destination{addr: addr, host: u.Host, path: u.EscapedPath()}
	if d.path == "" || d.path == "/" {
		d.path = defaultPath
	}
	if u.RawQuery != "" {
		d.path += "?" + u.RawQuery
	}
	if strings.ContainsAny(d.path+d.host, " \r\n") {
		return destination{}, fmt.Errorf("%q holds white space", text)
	}
	return d, nil
}
