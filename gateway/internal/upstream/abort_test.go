package upstream

import (
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
)

func TestAbort(t *testing.T) {
	f := func(name string, script func(net.Conn, *fasthttp.Request) bool) {
		t.Helper()
		p := newPool(t, newServer(t, script).url(), options())
		var c Call
		prepare(&c, p)
		time.AfterFunc(30*time.Millisecond, c.Abort)
		began := time.Now()
		err := p.Do(&c)
		if err == nil {
			_, err = io.ReadAll(readerOf(&c))
		}
		c.Close()
		if !errors.Is(err, ErrAborted) {
			t.Fatalf("unexpected error with %s; got %v; want %v", name, err, ErrAborted)
		}
		if took := time.Since(began); took > 3*time.Second || p.Open() != 0 || !c.Sent {
			t.Fatalf("unexpected end with %s; after %s, %d connections open, sent %v", name, took, p.Open(), c.Sent)
		}
	}
	f("no answer", silent)
	f("half a head", answer("HTTP/1.1 200 OK\r\nX: "))
	f("half a body", answer("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel"))
	f("half a chunked body", answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"))
}

func TestAbortBeforeDo(t *testing.T) {
	s := newServer(t, answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
	p := newPool(t, s.url(), options())
	var c Call
	prepare(&c, p)
	c.Abort()
	err := p.Do(&c)
	c.Close()
	if !errors.Is(err, ErrAborted) || c.Sent || s.requests.Load() != 0 {
		t.Fatalf("unexpected end; got %v, sent %v, %d requests", err, c.Sent, s.requests.Load())
	}
	if body, err := call(&c, p); err != nil || body != "ok" {
		t.Fatalf("unexpected answer after Reset; got %q, %v", body, err)
	}
}

// TestLateAbort aborts a call whose connection went back to the pool, and on to another call.
func TestLateAbort(t *testing.T) {
	s := newServer(t, answer("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nok", "ay"))
	p := newPool(t, s.url(), options())
	var late, c Call
	for range 20 {
		if _, err := call(&late, p); err != nil {
			t.Fatalf("unexpected error: %s", err)
		}
		prepare(&c, p)
		if err := p.Do(&c); err != nil {
			t.Fatalf("unexpected error: %s", err)
		}
		late.Abort()
		if body, err := io.ReadAll(readerOf(&c)); err != nil || string(body) != "okay" {
			t.Fatalf("unexpected answer; got %q, %v", body, err)
		}
		c.Close()
	}
	if n := s.connections.Load(); n != 1 {
		t.Fatalf("unexpected number of connections; got %d; want 1", n)
	}
}

// TestAbortAtAnyTime aborts calls at random moments. A call is either whole or says
// that it was aborted, and no other call ever feels it.
func TestAbortAtAnyTime(t *testing.T) {
	s := newServer(t, answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"))
	p := newPool(t, s.url(), options())
	seed := time.Now().UnixNano()
	var all sync.WaitGroup
	for worker := range 8 {
		all.Go(func() {
			random := rand.New(rand.NewPCG(uint64(seed), uint64(worker)))
			var c Call
			for range 150 {
				aborts := random.IntN(2) == 0
				prepare(&c, p)
				var aborter sync.WaitGroup
				if aborts {
					wait := time.Duration(random.IntN(400)) * time.Microsecond
					aborter.Go(func() {
						time.Sleep(wait)
						c.Abort()
					})
				}
				var body []byte
				err := p.Do(&c)
				if err == nil {
					body, err = io.ReadAll(readerOf(&c))
				}
				c.Close()
				aborter.Wait() // Reset comes after the last Abort
				whole := err == nil && string(body) == "ok"
				if !whole && (!aborts || !errors.Is(err, ErrAborted)) {
					t.Errorf("unexpected end with seed %d; got %q, %v; aborted %v", seed, body, err, aborts)
					return
				}
			}
		})
	}
	all.Wait()
	p.Close()
	if n := p.Open(); n != 0 {
		t.Fatalf("unexpected number of open connections; got %d; want 0", n)
	}
}
