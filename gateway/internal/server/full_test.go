package server

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tallygate/tallygate/gateway/internal/apierror"
	"github.com/tallygate/tallygate/schemas/config"
)

func TestConnectionsBeyondTheLimit(t *testing.T) {
	const limit = 2
	r := newRig(t, func(g *config.Gateway) { g.ConnectionLimit, g.ReadTimeout = limit, time.Minute })
	// code sends a request and returns the error's code, with the connection left open.
	code := func(c net.Conn) string {
		t.Helper()
		_ = c.SetDeadline(time.Now().Add(5 * time.Second))
		if _, err := io.WriteString(c, "GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range []*apierror.Error{apierror.NotReady, apierror.TooManyConnections} {
			if strings.Contains(string(body), `"code":"`+e.Code+`"`) {
				return e.Code
			}
		}
		t.Fatalf("unexpected answer: %d %s", resp.StatusCode, body)
		return ""
	}
	dial := func() net.Conn {
		t.Helper()
		c, err := net.Dial("tcp", r.addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	var within []net.Conn
	for range limit {
		c := dial()
		if got := code(c); got != apierror.NotReady.Code {
			t.Fatalf("unexpected answer within the limit: %s", got)
		}
		within = append(within, c)
	}
	if got := code(dial()); got != apierror.TooManyConnections.Code {
		t.Fatalf("unexpected answer beyond the limit: %s", got)
	}
	r.counted(apierror.TooManyConnections.Code, 1)
	if got := code(within[1]); got != apierror.NotReady.Code {
		t.Fatalf("a connection within the limit suffers from those beyond it: %s", got)
	}
	_ = within[0].Close()
	for end := time.Now().Add(5 * time.Second); code(dial()) != apierror.NotReady.Code; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("a closed connection does not give its place back")
		}
	}
}
