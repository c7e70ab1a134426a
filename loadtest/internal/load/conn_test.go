package load

import (
	"bufio"
	"strings"
	"testing"
)

func TestReceive(t *testing.T) {
	f := func(raw string, status int, body string, stream, closing bool) {
		t.Helper()
		var a answer
		w := wire{r: bufio.NewReader(strings.NewReader(raw))}
		if err := w.receive(&a); err != nil {
			t.Fatalf("unexpected error for %q: %s", raw, err)
		}
		if a.status != status || string(a.body) != body || a.stream != stream || a.closing != closing || string(a.requestID) != "r1" {
			t.Fatalf("unexpected answer from %q; got %d %q stream=%t closing=%t id=%q", raw, a.status, a.body, a.stream, a.closing, a.requestID)
		}
	}
	f("HTTP/1.1 200 OK\r\nx-request-id: r1\r\nContent-Length: 2\r\n\r\nokHTTP/1.1", 200, "ok", false, false)
	f("HTTP/1.1 500 X\nX-Request-ID:r1\nconnection: Close\ncontent-length:0\n\n", 500, "", false, true)
	f("HTTP/1.1 200 OK\r\nX-Request-Id: r1\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n",
		200, "abcd", true, false)
	f("HTTP/1.1 204 No Content\r\nX-Request-Id: r1\r\n\r\n", 204, "", false, false)
	f("HTTP/1.1 200 OK\r\nX-Request-Id: r1\r\n\r\nuntil the end", 200, "until the end", false, true)
}

func TestReceiveFailure(t *testing.T) {
	f := func(raw string, status int, class string) {
		t.Helper()
		a := answer{}
		w := wire{r: bufio.NewReaderSize(strings.NewReader(raw), 64)}
		err := w.receive(&a)
		if err == nil {
			t.Fatalf("no error for %q", raw)
		}
		if got := failureClass(&a, err); a.status != status || got != class {
			t.Fatalf("unexpected failure for %q; got status %d, %q; want %d, %q", raw, a.status, got, status, class)
		}
	}
	f("", 0, "closed")
	f("HTTP/1.1 200 OK\r\nContent-", 200, "cut")
	f("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc", 200, "cut")
	f("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc", 200, "cut")
	f("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", 200, "cut")
	f("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 200, "malformed")
	f("HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n", 200, "malformed")
	f("HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", 200, "malformed")
	f("HTTP/1.1 200 OK\r\nnonsense\r\n\r\n", 200, "malformed")
	f("HTTP/1.0 200 OK\r\n\r\n", 0, "malformed")
	f("SSH-2.0-OpenSSH_9.6\r\n", 0, "malformed")
	f("HTTP/1.1 200 OK\r\nX-Long: "+strings.Repeat("x", 200)+"\r\n\r\n", 200, "malformed")
}

func FuzzReceive(f *testing.F) {
	f.Add("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
	f.Add("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
	f.Fuzz(func(t *testing.T, raw string) {
		var a answer
		w := wire{r: bufio.NewReaderSize(strings.NewReader(raw), 64)}
		if err := w.receive(&a); err == nil && (a.status < 200 || len(a.body) > len(raw)) {
			t.Fatalf("unexpected answer from %q: %d %q", raw, a.status, a.body)
		}
		a.check(true, true, 0)
	})
}
