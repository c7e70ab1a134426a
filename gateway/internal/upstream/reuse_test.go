package upstream

import (
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/tallygate/tallygate/gateway/internal/provider"
)

// TestRestart has a provider that is restarted between calls, so that each call finds
// a dead connection in the pool. No POST may be lost, and none sent twice.
func TestRestart(t *testing.T) {
	s := newServer(t, answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
	p := newPool(t, s.url(), options())
	var c Call
	const calls = 24
	for i := range calls {
		if body, err := call(&c, p); err != nil || body != "ok" {
			t.Fatalf("unexpected answer to call %d; got %q, %v", i, body, err)
		}
		s.hangUp()
		time.Sleep(2 * freshFor)
	}
	if n := s.requests.Load(); n != calls {
		t.Fatalf("unexpected number of requests; got %d; want %d", n, calls)
	}
	if n := p.Open(); n != 1 {
		t.Fatalf("unexpected number of open connections; got %d; want 1", n)
	}
}

// TestRestartUnderTLS is the same with a provider that says goodbye before it closes.
func TestRestartUnderTLS(t *testing.T) {
	var requests atomic.Int64
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		requests.Add(1)
		_, _ = io.WriteString(w, "ok")
	}))
	t.Cleanup(s.Close)
	o := options()
	o.RootCAs = x509.NewCertPool()
	o.RootCAs.AddCert(s.Certificate())
	p := newPool(t, s.URL, o)
	var c Call
	const calls = 12
	for i := range calls {
		if body, err := call(&c, p); err != nil || body != "ok" {
			t.Fatalf("unexpected answer to call %d; got %q, %v", i, body, err)
		}
		if i%2 == 1 {
			s.CloseClientConnections()
			time.Sleep(4 * freshFor)
		}
	}
	if n := requests.Load(); n != calls {
		t.Fatalf("unexpected number of requests; got %d; want %d", n, calls)
	}
}

func TestCertificateIsChecked(t *testing.T) {
	s := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(s.Close)
	s.Config.ErrorLog = nil
	p := newPool(t, s.URL, options())
	var c Call
	if _, err := call(&c, p); err == nil || classOf(t, err) != provider.ClassConnect {
		t.Fatalf("unexpected error with a foreign certificate; got %v; want class %s", err, provider.ClassConnect)
	}
	if n := p.Open(); n != 0 {
		t.Fatalf("unexpected number of open connections; got %d; want 0", n)
	}
}

// TestNeverSentTwice has a provider that acts on a request and closes without an
// answer: nobody can know what it did, so the request must not be repeated.
func TestNeverSentTwice(t *testing.T) {
	var refuse atomic.Bool
	s := newServer(t, func(c net.Conn, req *fasthttp.Request) bool {
		return !refuse.Load() && answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")(c, req)
	})
	p := newPool(t, s.url(), options())
	var c Call
	if _, err := call(&c, p); err != nil {
		t.Fatalf("unexpected error: %s", err)
	}
	refuse.Store(true)
	for i := range 2 { // on the idle connection, and on a new one
		if _, err := call(&c, p); err == nil || classOf(t, err) != provider.ClassServer || !c.Sent {
			t.Fatalf("unexpected error %d; got %v, sent %v; want class %s, sent", i, err, c.Sent, provider.ClassServer)
		}
	}
	if n := s.requests.Load(); n != 3 {
		t.Fatalf("unexpected number of requests; got %d; want 3", n)
	}
}

// TestUnaskedBytes has a provider that sends something on an idle connection: it may
// not be taken for the next call's answer.
func TestUnaskedBytes(t *testing.T) {
	s := newServer(t, func(c net.Conn, req *fasthttp.Request) bool {
		go func() {
			time.Sleep(5 * time.Millisecond)
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong")
		}()
		return answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")(c, req)
	})
	p := newPool(t, s.url(), options())
	var c Call
	for range 3 {
		if body, err := call(&c, p); err != nil || body != "ok" {
			t.Fatalf("unexpected answer; got %q, %v", body, err)
		}
		time.Sleep(30 * time.Millisecond)
	}
	// And in the same packet as the answer.
	p = newPool(t, newServer(t, answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong")).url(), options())
	for range 3 {
		if body, err := call(&c, p); err != nil || body != "ok" {
			t.Fatalf("unexpected answer; got %q, %v", body, err)
		}
	}
}

// TestStreamLeftAtItsLastEvent has a caller that knows the end from the content and
// does not read on: the connection is used again, though its end comes later.
func TestStreamLeftAtItsLastEvent(t *testing.T) {
	const done = "data: [DONE]\n\n"
	f := func(name string, pieces ...string) {
		t.Helper()
		s := newServer(t, answer(pieces...))
		p := newPool(t, s.url(), options())
		var c Call
		for range 3 {
			prepare(&c, p)
			if err := p.Do(&c); err != nil {
				t.Fatalf("unexpected error with %s: %s", name, err)
			}
			var b [len(done)]byte
			if _, err := io.ReadFull(readerOf(&c), b[:]); err != nil || string(b[:]) != done {
				t.Fatalf("unexpected stream with %s; got %q, %v", name, b, err)
			}
			c.Complete()
			c.Close()
			// The end must be there when the connection is needed again.
			time.Sleep(50 * time.Millisecond)
		}
		if n := s.connections.Load(); n != 1 {
			t.Fatalf("unexpected number of connections with %s; got %d; want 1", name, n)
		}
	}
	const head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	f("one packet", head+"e\r\n"+done+"\r\n0\r\n\r\n")
	f("a late end", head+"e\r\n"+done+"\r\n", "0\r\n\r\n")
	f("a late end in pieces", head+"e\r\n"+done, "\r\n0", "\r\n\r", "\n")
}

// TestUnreadBodyStopsTheProvider has a caller that leaves in the middle: of a chunk,
// and between two, where the framing does not tell a whole answer from a half one.
func TestUnreadBodyStopsTheProvider(t *testing.T) {
	f := func(name string, size int) {
		t.Run(name, func(t *testing.T) { leaveAfter(t, size) })
	}
	f("within a chunk", 3)
	f("between chunks", len("hello"))
}

// leaveAfter reads some bytes of an answer in chunks of five that has no end.
func leaveAfter(t *testing.T, size int) {
	t.Helper()
	stopped := make(chan bool, 1)
	p := newPool(t, newServer(t, func(c net.Conn, _ *fasthttp.Request) bool {
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
		for err := error(nil); err == nil; time.Sleep(time.Millisecond) {
			_, err = io.WriteString(c, "5\r\nhello\r\n")
		}
		stopped <- true
		return false
	}).url(), options())
	var c Call
	prepare(&c, p)
	if err := p.Do(&c); err != nil {
		t.Fatalf("unexpected error: %s", err)
	}
	if _, err := io.ReadFull(readerOf(&c), make([]byte, size)); err != nil {
		t.Fatalf("unexpected error: %s", err)
	}
	c.Close()
	select {
	case <-stopped:
	case <-time.After(5 * time.Second):
		t.Fatal("the provider still sends")
	}
	if n := p.Open(); n != 0 {
		t.Fatalf("unexpected number of open connections; got %d; want 0", n)
	}
}

func TestIdleTimeout(t *testing.T) {
	s := newServer(t, answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
	o := options()
	o.IdleTimeout = 20 * time.Millisecond
	p := newPool(t, s.url(), o)
	var c Call
	for range 2 {
		if _, err := call(&c, p); err != nil {
			t.Fatalf("unexpected error: %s", err)
		}
		time.Sleep(40 * time.Millisecond)
	}
	if n := s.connections.Load(); n != 2 {
		t.Fatalf("unexpected number of connections; got %d; want 2", n)
	}
	p.Close()
	if n := p.Open(); n != 0 {
		t.Fatalf("unexpected number of open connections after Close; got %d; want 0", n)
	}
}

// TestEarlyAnswer has a provider that refuses a large request before it has read it.
func TestEarlyAnswer(t *testing.T) {
	s := newServer(t, answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.ReadFull(c, make([]byte, 1024))
				_, _ = io.WriteString(c, "HTTP/1.1 413 Too Large\r\nContent-Length: 5\r\n\r\nlarge")
				// Unread bytes make the close a reset; the answer must be read before it.
				_ = c.(*net.TCPConn).CloseWrite()
				time.Sleep(100 * time.Millisecond)
				_ = c.Close()
			}()
		}
	}()
	p := newPool(t, "http://"+ln.Addr().String(), options())
	var c Call
	prepare(&c, newPool(t, s.url(), options()))
	c.Request.SetBody(make([]byte, 32<<20))
	if err := p.Do(&c); err != nil || c.Header.StatusCode() != 413 {
		t.Fatalf("unexpected answer; got %d, %v; want 413", c.Header.StatusCode(), err)
	}
	c.Close()
	if n := p.Open(); n != 0 {
		t.Fatalf("unexpected number of open connections; got %d; want 0", n)
	}
}
