package bareproxy

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func start(t *testing.T, upstream http.HandlerFunc) string {
	t.Helper()
	up := httptest.NewServer(upstream)
	t.Cleanup(up.Close)
	return serve(t, strings.TrimPrefix(up.URL, "http://"))
}

func serve(t *testing.T, upstream string) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("cannot listen: %s", err)
	}
	server := New(upstream, 10)
	done := make(chan struct{})
	go func() { defer close(done); server.Serve(ln) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		server.ShutdownWithContext(ctx)
		<-done
	})
	return "http://" + ln.Addr().String()
}

var client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}

func TestForwardsWhole(t *testing.T) {
	url := start(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Request-Id", "req_1")
		w.WriteHeader(http.StatusTeapot)
		io.WriteString(w, r.Method+" "+r.URL.Path+" "+r.Header.Get("Authorization")+" "+string(body))
	})
	req, err := http.NewRequest("POST", url+"/v1/x", strings.NewReader(`{"a":1}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer k")
	resp, err := client.Do(req)
	if err != nil {
		t.Fatalf("unexpected error: %s", err)
	}
	defer resp.Body.Close()
	got, _ := io.ReadAll(resp.Body)
	if want := `POST /v1/x Bearer k {"a":1}`; string(got) != want || resp.StatusCode != 418 || resp.Header.Get("X-Request-Id") != "req_1" {
		t.Fatalf("unexpected answer; got %d %q %q; want 418 with %q", resp.StatusCode, got, resp.Header, want)
	}
}

// TestForwardsChunkByChunk lets the upstream go on only when the client has seen what was said.
func TestForwardsChunkByChunk(t *testing.T) {
	seen := make(chan bool)
	url := start(t, func(w http.ResponseWriter, _ *http.Request) {
		for range 3 {
			io.WriteString(w, "data: x\n")
			w.(http.Flusher).Flush()
			select {
			case <-seen:
			case <-time.After(5 * time.Second):
			}
		}
	})
	begin := time.Now()
	resp, err := client.Post(url, "application/json", strings.NewReader(`{"stream":true}`))
	if err != nil {
		t.Fatalf("unexpected error: %s", err)
	}
	defer resp.Body.Close()
	r := bufio.NewReader(resp.Body)
	for range 3 {
		if line, err := r.ReadString('\n'); err != nil || line != "data: x\n" {
			t.Fatalf("unexpected line %q, %v", line, err)
		}
		seen <- true
	}
	if took := time.Since(begin); took > 4*time.Second {
		t.Fatalf("the stream took %s: chunks were held back", took)
	}
}

func TestUpstreamAway(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	ln.Close()
	resp, err := client.Post(serve(t, addr), "application/json", strings.NewReader("{}"))
	if err != nil {
		t.Fatalf("unexpected error: %s", err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusBadGateway {
		t.Fatalf("unexpected status; got %d; want 502", resp.StatusCode)
	}
}
