//go:build !race

package upstream

import (
	"net"
	"testing"

	"github.com/valyala/fasthttp"
)

// TestAllocations counts a whole call on a connection that is there, by length and chunked.
func TestAllocations(t *testing.T) {
	f := func(name, wire string) {
		t.Helper()
		raw := []byte(wire)
		// The server's own reader allocates, so this one just looks for the body's end.
		l := newServer(t, func(c net.Conn, _ *fasthttp.Request) bool {
			var b [4096]byte
			for {
				if _, err := c.Write(raw); err != nil {
					return false
				}
				if n, err := c.Read(b[:]); err != nil || b[n-1] != '}' {
					return false
				}
			}
		})
		p := newPool(t, l.url(), options())
		var c Call
		var b [4096]byte
		run := func() {
			prepare(&c, p)
			err := p.Do(&c)
			for err == nil {
				_, err = c.Read(b[:])
			}
			if c.Close(); !c.body.done {
				t.Fatalf("unexpected error with %s: %s", name, err)
			}
		}
		run()
		if n := testing.AllocsPerRun(500, run); n != 0 {
			t.Fatalf("unexpected allocations per call with %s; got %v; want 0", name, n)
		}
	}
	f("a length", "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Request-Id: r1\r\nContent-Length: 5\r\n\r\nhello")
	f("chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n5\r\nworld\r\n0\r\n\r\n")
}
