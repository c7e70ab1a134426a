package upstream

import (
	"errors"
	"net"
	"net/netip"
	"testing"

	"github.com/tallygate/tallygate/gateway/internal/provider"
)

func TestPublic(t *testing.T) {
	f := func(want bool, addresses ...string) {
		t.Helper()
		for _, a := range addresses {
			if got := public(netip.MustParseAddr(a)); got != want {
				t.Fatalf("unexpected verdict on %s; got %v; want %v", a, got, want)
			}
		}
	}
	f(true, "8.8.8.8", "104.18.7.192", "172.15.0.1", "172.32.0.1", "100.63.0.1", "100.128.0.1", "2606:4700::6812:7c0", "::ffff:8.8.8.8")
	f(false, "127.0.0.1", "127.255.0.1", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254",
		"100.64.0.1", "100.127.255.255", "0.0.0.0", "0.1.2.3", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255",
		"192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1")
	f(false, "::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "ff02::1", "fec0::1", "2001:db8::1",
		"::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "64:ff9b::7f00:1", "2002:7f00:1::")
}

// TestPrivateAddressIsRefused connects by number and by a name that leads inside.
func TestPrivateAddressIsRefused(t *testing.T) {
	s := newServer(t, answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
	o := options()
	o.AllowPrivate = false
	_, port, err := net.SplitHostPort(s.listener.Addr().String())
	if err != nil {
		t.Fatalf("cannot split the address: %s", err)
	}
	for _, url := range []string{s.url(), "http://localhost:" + port, "http://[::ffff:127.0.0.1]:" + port} {
		p := newPool(t, url, o)
		var c Call
		_, err := call(&c, p)
		if !errors.Is(err, errPrivate) || classOf(t, err) != provider.ClassConnect {
			t.Fatalf("unexpected error for %s; got %v; want %v", url, err, errPrivate)
		}
	}
	if n := s.connections.Load(); n != 0 {
		t.Fatalf("unexpected number of connections; got %d; want 0", n)
	}
}

// TestProxyIsNotUsed would fail to connect if variables for proxies were heeded.
func TestProxyIsNotUsed(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	t.Setenv("http_proxy", "http://127.0.0.1:1")
	p := newPool(t, newServer(t, answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")).url(), options())
	var c Call
	if body, err := call(&c, p); err != nil || body != "ok" {
		t.Fatalf("unexpected answer; got %q, %v", body, err)
	}
}
