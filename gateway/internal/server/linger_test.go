package server

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
)

// TestErrorReachesAClientThatStillSends answers at the first bytes of a large body. A
// client that reads only after it has sent all of it must find the answer there.
func TestErrorReachesAClientThatStillSends(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := fasthttp.Server{
		Handler:            func(*fasthttp.RequestCtx) {},
		MaxRequestBodySize: 1 << 10,
		ErrorHandler: func(ctx *fasthttp.RequestCtx, _ error) {
			ctx.SetStatusCode(http.StatusRequestEntityTooLarge)
			linger(ctx.Conn())
		},
	}
	go func() { _ = s.Serve(Bounded(ln, time.Second)) }()
	defer func() { _ = s.Shutdown() }()

	conn, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 16777216\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	time.Sleep(50 * time.Millisecond) // the answer is on its way
	if _, err := conn.Write(make([]byte, 16<<20)); err != nil {
		t.Fatalf("cannot send the body: %s", err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("cannot read the answer: %s", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusRequestEntityTooLarge {
		t.Fatalf("unexpected status; got %d; want 413", resp.StatusCode)
	}
}

// TestLingerEnds gives up on a client that neither reads nor closes.
func TestLingerEnds(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	client, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	conn, err := Bounded(ln, time.Second).Accept()
	if err != nil {
		t.Fatal(err)
	}
	linger(conn)
	started := time.Now()
	_ = conn.Close()
	if took := time.Since(started); took < lingerTimeout || took > 2*lingerTimeout {
		t.Fatalf("unexpected time to close; got %s; want about %s", took, lingerTimeout)
	}
}
