package upstream

import (
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/tallygate/tallygate/gateway/internal/provider"
)

func TestBodies(t *testing.T) {
	f := func(name, want string, wantConnections int64, script func(net.Conn, *fasthttp.Request) bool) {
		t.Helper()
		s := newServer(t, script)
		p := newPool(t, s.url(), options())
		var c Call
		for range 3 {
			got, err := call(&c, p)
			if err != nil || got != want {
				t.Fatalf("unexpected body with %s; got %q, %v; want %q", name, got, err, want)
			}
		}
		if n := s.connections.Load(); n != wantConnections {
			t.Fatalf("unexpected number of connections with %s; got %d; want %d", name, n, wantConnections)
		}
		if n := s.requests.Load(); n != 3 {
			t.Fatalf("unexpected number of requests with %s; got %d; want 3", name, n)
		}
	}
	f("a length", "hello", 1, answer("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"))
	f("a length, in pieces", "hello", 1, answer("HTTP/1.1 200", " OK\r\nContent-Length: 5\r\n\r", "\nhe", "llo"))
	f("no body", "", 1, answer("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
	f("204", "", 1, answer("HTTP/1.1 204 No Content\r\n\r\n"))
	f("304", "", 1, answer("HTTP/1.1 304 Not Modified\r\nContent-Length: 50\r\n\r\n"))
	f("interim answers", "ok", 1, answer("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
	f("chunks", "hello world", 1, answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;ext=\"1\"\r\n world\r\n0\r\n\r\n"))
	f("chunks, cut anywhere", "hello world", 1,
		answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "5", "\r", "\nhel", "lo", "\r", "\n0006 ", "\r\n wor", "ld\r\n0", "\r\nTrailer: x\r", "\n\r\n"))
	f("the connection's end", "hello", 3, thenClose("HTTP/1.1 200 OK\r\n\r\nhel", "lo"))
	f("HTTP/1.0", "hello", 3, thenClose("HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello"))
	f("Connection: close", "hello", 3, answer("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"))
}

func TestStatusIsTheCallersBusiness(t *testing.T) {
	f := func(status string, want int) {
		t.Helper()
		s := newServer(t, answer("HTTP/1.1 "+status+"\r\nLocation: http://169.254.169.254/\r\nContent-Length: 1\r\n\r\nx"))
		p := newPool(t, s.url(), options())
		var c Call
		if body, err := call(&c, p); err != nil || body != "x" || c.Header.StatusCode() != want {
			t.Fatalf("unexpected answer to %s; got %d, %q, %v", status, c.Header.StatusCode(), body, err)
		}
		if n := s.requests.Load(); n != 1 {
			t.Fatalf("unexpected number of requests; got %d; want 1", n)
		}
	}
	f("302 Found", 302)
	f("429 Too Many Requests", 429)
	f("503 Service Unavailable", 503)
}

func TestTimes(t *testing.T) {
	s := newServer(t, func(c net.Conn, req *fasthttp.Request) bool {
		time.Sleep(30 * time.Millisecond)
		return answer("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")(c, req)
	})
	p := newPool(t, s.url(), options())
	var c Call
	if _, err := call(&c, p); err != nil {
		t.Fatalf("unexpected error: %s", err)
	}
	if took := c.FirstByteAt.Sub(c.StartedAt); took < 30*time.Millisecond || took > 5*time.Second || !c.Sent {
		t.Fatalf("unexpected time to the first byte; got %s, sent %v", took, c.Sent)
	}
}

func TestCutAnswers(t *testing.T) {
	f := func(name, wantBody, wire string) {
		t.Helper()
		p := newPool(t, newServer(t, thenClose(wire)).url(), options())
		var c Call
		got, err := call(&c, p)
		if !errors.Is(err, ErrCut) || classOf(t, err) != provider.ClassCut || got != wantBody {
			t.Fatalf("unexpected end with %s; got %q, %v; want %q, %v", name, got, err, wantBody, ErrCut)
		}
		if n := p.Open(); n != 0 {
			t.Fatalf("unexpected number of open connections; got %d; want 0", n)
		}
	}
	f("a length", "hel", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel")
	f("half a chunk", "hel", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel")
	f("no last chunk", "hello", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
	f("no blank line at the end", "hello", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n")
	f("half a head", "", "HTTP/1.1 200 OK\r\nContent-Le")
}

func TestGarbage(t *testing.T) {
	f := func(name, wire string) {
		t.Helper()
		p := newPool(t, newServer(t, answer(wire)).url(), options())
		var c Call
		if _, err := call(&c, p); err == nil || classOf(t, err) != provider.ClassGarbage || strings.Contains(err.Error(), "secret") {
			t.Fatalf("unexpected error with %s; got %v; want class %s", name, err, provider.ClassGarbage)
		}
		if n := p.Open(); n != 0 {
			t.Fatalf("unexpected number of open connections; got %d; want 0", n)
		}
	}
	f("another protocol", "SSH-2.0-secret_9.6\r\n")
	f("a status that is no number", "HTTP/1.1 abc secret\r\n\r\n")
	f("two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\nX: secret\r\n\r\nhello")
	f("an unknown coding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: secret\r\n\r\n")
	f("another protocol asked for", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: secret\r\n\r\n")
	f("a head too large", "HTTP/1.1 200 OK\r\nX: "+strings.Repeat("secret", 4000)+"\r\n\r\n")
	f("a chunk size that is no number", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nsecret\r\n")
	f("a chunk size too large", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n")
	f("a chunk longer than its size", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello secret\r\n0\r\n\r\n")
}

func TestTimeouts(t *testing.T) {
	f := func(name string, set func(*Options), script func(net.Conn, *fasthttp.Request) bool) {
		t.Helper()
		o := options()
		set(&o)
		p := newPool(t, newServer(t, script).url(), o)
		var c Call
		began := time.Now()
		_, err := call(&c, p)
		if err == nil || classOf(t, err) != provider.ClassTimeout {
			t.Fatalf("unexpected error with %s; got %v; want class %s", name, err, provider.ClassTimeout)
		}
		if took := time.Since(began); took > 3*time.Second {
			t.Fatalf("unexpected time with %s; got %s; want about 100ms", name, took)
		}
	}
	const short = 100 * time.Millisecond
	f("no answer", func(o *Options) { o.FirstByteTimeout = short }, silent)
	f("half a head", func(o *Options) { o.FirstByteTimeout = short }, answer("HTTP/1.1 200 OK\r\nX: "))
	f("a silent body", func(o *Options) { o.ChunkTimeout = short }, answer("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel"))
	f("an endless body", func(o *Options) { o.TotalTimeout = 3 * short }, func(c net.Conn, _ *fasthttp.Request) bool {
		_, err := io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
		for err == nil {
			time.Sleep(short / 10)
			_, err = io.WriteString(c, "x")
		}
		return false
	})
}

func TestRequestThatIsNotTaken(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // nobody accepts, nobody reads
	if err != nil {
		t.Fatalf("cannot listen: %s", err)
	}
	defer func() { _ = l.Close() }()
	o := options()
	o.FirstByteTimeout = 200 * time.Millisecond
	p := newPool(t, "http://"+l.Addr().String(), o)
	var c Call
	prepare(&c, p)
	defer c.Close()
	c.Request.SetBody(make([]byte, 32<<20))
	if err := p.Do(&c); err == nil || classOf(t, err) != provider.ClassTimeout || c.Sent {
		t.Fatalf("unexpected error; got %v, sent %v; want class %s, not sent", err, c.Sent, provider.ClassTimeout)
	}
}

func TestNobodyListens(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("cannot listen: %s", err)
	}
	_ = l.Close()
	p := newPool(t, "http://"+l.Addr().String(), options())
	var c Call
	if _, err := call(&c, p); err == nil || classOf(t, err) != provider.ClassConnect || c.Sent {
		t.Fatalf("unexpected error; got %v; want class %s", err, provider.ClassConnect)
	}
	if n := p.Open(); n != 0 {
		t.Fatalf("unexpected number of open connections; got %d; want 0", n)
	}
}

func TestConnectionLimit(t *testing.T) {
	o := options()
	o.ConnectionLimit = 1
	p := newPool(t, newServer(t, answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", "ok")).url(), o)
	var first, second Call
	prepare(&first, p)
	if err := p.Do(&first); err != nil {
		t.Fatalf("unexpected error: %s", err)
	}
	if _, err := call(&second, p); !errors.Is(err, ErrSaturated) {
		t.Fatalf("unexpected error; got %v; want %v", err, ErrSaturated)
	}
	first.Close()
	if _, err := call(&second, p); err != nil {
		t.Fatalf("unexpected error once there is room: %s", err)
	}
}

func TestNew(t *testing.T) {
	f := func(url, wantAddr string) {
		t.Helper()
		p, err := New(url, options())
		if err != nil || p.addr != wantAddr {
			t.Fatalf("unexpected pool for %s; got %v; want %s", url, err, wantAddr)
		}
	}
	f("https://api.openai.com/v1", "api.openai.com:443")
	f("http://localhost", "localhost:80")
	f("http://[::1]:8090/v1", "[::1]:8090")
	for _, url := range []string{"", "api.openai.com", "ftp://host", "http://", "http://host:port", "://"} {
		if _, err := New(url, options()); err == nil {
			t.Fatalf("expected an error for %q", url)
		}
	}
}
