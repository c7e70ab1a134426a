package provider

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
)

func TestRetryAfterMs(t *testing.T) {
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	f := func(name, value string, want uint64) {
		t.Helper()
		var h fasthttp.ResponseHeader
		h.Set(name, value)
		if got := RetryAfterMs(&h, now); got != want {
			t.Fatalf("unexpected wait for %s: %s; got %d ms; want %d ms", name, value, got, want)
		}
	}
	f("X-Other", "7", 0)
	f("retry-after", "7", 7000)
	f("retry-after", " 0.25 ", 250)
	f("retry-after-ms", "12.5", 13)
	f("retry-after", "Wed, 25 Nov 2026 12:00:30 GMT", 30_000)
	f("retry-after", "Wed, 25 Nov 2026 11:00:00 GMT", 0)
	f("retry-after", "-1", 0)
	f("retry-after", "NaN", 0)
	f("retry-after", "1e300", 86_400_000)
	f("retry-after", "+Inf", 86_400_000)
	f("retry-after", "soon", 0)
}

func TestCredentialIsNeverShown(t *testing.T) {
	c := NewCredential("sk-secret")
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		for _, text := range []string{fmt.Sprintf(verb, c), fmt.Sprintf(verb, &c), fmt.Sprintf(verb, struct{ C Credential }{c})} {
			if strings.Contains(text, "sk-secret") || strings.Contains(text, fmt.Sprintf("%x", "sk-secret")) {
				t.Fatalf("unexpected secret with verb %s: %s", verb, text)
			}
		}
	}
	if c.Secret() != "sk-secret" {
		t.Fatalf("unexpected secret; got %q", c.Secret())
	}
}

func TestSetTarget(t *testing.T) {
	f := func(baseURL, wantHost, wantURI string) {
		t.Helper()
		var up fasthttp.Request
		SetTarget(&up, baseURL, "/chat/completions")
		if host, uri := string(up.Header.Host()), string(up.Header.RequestURI()); host != wantHost || uri != wantURI {
			t.Fatalf("unexpected target of %s; got %s %s; want %s %s", baseURL, host, uri, wantHost, wantURI)
		}
	}
	f("https://api.openai.com/v1", "api.openai.com", "/v1/chat/completions")
	f("http://127.0.0.1:8090", "127.0.0.1:8090", "/chat/completions")
	f("https://[::1]:8443/a/b%2Fc", "[::1]:8443", "/a/b%2Fc/chat/completions")
}

// TestSSESearchesOnce feeds one large event byte by byte: were each piece searched
// from the start, this would take minutes.
func TestSSESearchesOnce(t *testing.T) {
	wire := []byte("data: " + strings.Repeat("x", 4<<20) + "\r\n\r\n")
	var s SSE
	for i := 1; i < len(wire); i++ {
		if _, n := s.Next(wire[:i]); n != 0 {
			t.Fatalf("unexpected event after %d of %d bytes", i, len(wire))
		}
	}
	b, n := s.Next(wire)
	if n != len(wire) || len(b.Data) != 4<<20 {
		t.Fatalf("unexpected event; got %d of %d bytes, data of %d", n, len(wire), len(b.Data))
	}
}

// TestSSEJoinsLines is by the HTML standard, section 9.2.6.
func TestSSEJoinsLines(t *testing.T) {
	var s SSE
	b, n := s.Next([]byte(":c\nevent:x\ndata\ndata: one\nid\ndata:  two\n\nrest"))
	if n != 41 || string(b.Data) != "\none\n two" || string(b.Name) != "x" || b.DataAt != -1 {
		t.Fatalf("unexpected event; got %d, %q, %q at %d", n, b.Data, b.Name, b.DataAt)
	}
}
