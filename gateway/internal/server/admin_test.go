package server

import (
	"errors"
	"io"
	"net"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"
)

func TestAdmin(t *testing.T) {
	problem := ""
	admin := Admin([]Check{{Name: "fine", Problem: func() string { return "" }}, {Name: "spool", Problem: func() string { return problem }}})
	f := func(method, path string, wantStatus int, want string) {
		t.Helper()
		w := httptest.NewRecorder()
		admin.Handler.ServeHTTP(w, httptest.NewRequest(method, path, nil))
		if got := w.Body.String(); w.Code != wantStatus || !strings.Contains(got, want) {
			t.Fatalf("unexpected answer to %s %s; got %d %.200q; want %d with %q", method, path, w.Code, got, wantStatus, want)
		}
	}
	f("GET", "/healthz", 200, `"alive"`)
	f("GET", "/readyz", 200, `"ready"`)
	f("GET", "/metrics", 200, "go_goroutines")
	f("POST", "/healthz", 405, "")
	f("GET", "/", 404, "")
	problem = "the disk is full"
	f("GET", "/readyz", 503, `"problems":{"spool":"the disk is full"}`)
	// Alive all the same: a restart would mend nothing.
	f("GET", "/healthz", 200, `"alive"`)
}

func TestListenSaysWhatToDo(t *testing.T) {
	ln, err := Listen("127.0.0.1:0", "TALLYGATE_ADDR")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	f := func(addr string, want ...string) {
		t.Helper()
		other, err := Listen(addr, "TALLYGATE_ADDR")
		if err == nil {
			_ = other.Close()
			t.Fatalf("unexpected listener on %s", addr)
		}
		for _, w := range append(want, addr, "TALLYGATE_ADDR") {
			if !strings.Contains(err.Error(), w) {
				t.Fatalf("unexpected error for %s; got %q; want %q in it", addr, err, w)
			}
		}
	}
	f(ln.Addr().String(), "address already in use", "stop the other process")
	f("127.0.0.1:99999", "cannot listen")
	f("nonsense", "cannot listen")
}

// TestAWriteThatBlocksFails has a client that reads nothing.
func TestAWriteThatBlocksFails(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	const timeout = 300 * time.Millisecond
	result := make(chan error, 1)
	go func() {
		conn, err := Bounded(ln, timeout).Accept()
		if err != nil {
			result <- err
			return
		}
		defer conn.Close()
		// Writes that the client takes succeed for longer than the timeout.
		for end := time.Now().Add(2 * timeout); time.Now().Before(end) && err == nil; time.Sleep(timeout / 10) {
			_, err = conn.Write([]byte("x"))
		}
		if err != nil {
			result <- errors.Join(errors.New("a write failed that did not block"), err)
			return
		}
		_, err = conn.Write(make([]byte, 64<<20))
		result <- err
	}()
	client, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := io.ReadFull(client, make([]byte, 5)); err != nil {
		t.Fatalf("cannot read: %s", err)
	}
	select {
	case err := <-result:
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("unexpected error of a write that blocks; got %v; want %v", err, os.ErrDeadlineExceeded)
		}
	case <-time.After(20 * timeout):
		t.Fatal("a write to a client that does not read has not ended")
	}
}
