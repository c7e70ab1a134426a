package upstream

import (
	"bufio"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/tallygate/tallygate/gateway/internal/provider"
)

// server is a provider that plays a script on each of its connections.
type server struct {
	t        *testing.T
	listener net.Listener
	// connections and requests count what came.
	connections, requests atomic.Int64

	mu    sync.Mutex
	conns map[net.Conn]bool
}

// newServer serves each connection by script, which gets one after the other's end a
// request read from it. A connection is closed when script returns false.
func newServer(t *testing.T, script func(c net.Conn, req *fasthttp.Request) bool) *server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("cannot listen: %s", err)
	}
	return serveOn(t, l, script)
}

func serveOn(t *testing.T, l net.Listener, script func(c net.Conn, req *fasthttp.Request) bool) *server {
	t.Helper()
	s := &server{t: t, listener: l, conns: map[net.Conn]bool{}}
	var done sync.WaitGroup
	done.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.connections.Add(1)
			s.mu.Lock()
			s.conns[c] = true
			s.mu.Unlock()
			done.Go(func() { s.serve(c, script) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		s.hangUp()
		done.Wait()
	})
	return s
}

func (s *server) serve(c net.Conn, script func(net.Conn, *fasthttp.Request) bool) {
	defer func() { _ = c.Close() }()
	r := bufio.NewReader(c)
	for {
		var req fasthttp.Request
		if err := req.Read(r); err != nil {
			return
		}
		s.requests.Add(1)
		if !script(c, &req) {
			return
		}
	}
}

// hangUp closes all connections that are open.
func (s *server) hangUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		_ = c.Close()
		delete(s.conns, c)
	}
}

func (s *server) url() string { return "http://" + s.listener.Addr().String() }

// answer is a script that sends the pieces, each in a write of its own, and goes on.
func answer(pieces ...string) func(net.Conn, *fasthttp.Request) bool {
	return func(c net.Conn, _ *fasthttp.Request) bool {
		for i, p := range pieces {
			if i > 0 {
				time.Sleep(2 * time.Millisecond)
			}
			if _, err := io.WriteString(c, p); err != nil {
				return false
			}
		}
		return true
	}
}

// thenClose is answer, and then the connection is closed.
func thenClose(pieces ...string) func(net.Conn, *fasthttp.Request) bool {
	return func(c net.Conn, req *fasthttp.Request) bool {
		answer(pieces...)(c, req)
		return false
	}
}

// silent is a script that never answers, until the other side hangs up.
func silent(c net.Conn, _ *fasthttp.Request) bool {
	_, _ = c.Read(make([]byte, 1))
	return false
}

// options are short where a test waits for them, and long where it does not.
func options() Options {
	return Options{
		ConnectTimeout: 5 * time.Second, FirstByteTimeout: 5 * time.Second, ChunkTimeout: 5 * time.Second, TotalTimeout: 10 * time.Second,
		ConnectionLimit: 100, AllowPrivate: true, IdleTimeout: time.Minute,
	}
}

func newPool(t *testing.T, url string, o Options) *Pool {
	t.Helper()
	p, err := New(url, o)
	if err != nil {
		t.Fatalf("cannot make a pool: %s", err)
	}
	t.Cleanup(p.Close)
	return p
}

// prepare makes c a POST with a body.
func prepare(c *Call, p *Pool) {
	c.Reset()
	c.Request.Header.SetMethod("POST")
	c.Request.Header.SetHost(p.addr)
	c.Request.Header.SetRequestURI("/v1/chat/completions")
	c.Request.SetBodyString(`{"model":"m"}`)
}

// call makes a whole call and returns the body.
func call(c *Call, p *Pool) (body string, err error) {
	prepare(c, p)
	defer c.Close()
	if err := p.Do(c); err != nil {
		return "", err
	}
	b, err := io.ReadAll(readerOf(c))
	return string(b), err
}

type callReader struct{ c *Call }

func (r callReader) Read(p []byte) (int, error) { return r.c.Read(p) }

func readerOf(c *Call) io.Reader { return callReader{c} }

// classOf is the class of a failure.
func classOf(t *testing.T, err error) provider.Class {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("unexpected sort of error: %T %v", err, err)
	}
	return e.Class
}
