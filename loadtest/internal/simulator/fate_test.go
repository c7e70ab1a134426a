package simulator

import (
	"bufio"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestFates(t *testing.T) {
	url, _ := start(t, nil)
	const half = "tokens=8"
	// A want that begins with "!" must not be in the answer.
	f := func(directives string, stream bool, status int, contentType string, complete bool, want ...string) {
		t.Helper()
		resp, got, err := post(t, url, chatBody(half+","+directives, stream))
		if resp == nil {
			t.Fatalf("no answer with %s: %s", directives, err)
		}
		if (err == nil) != complete {
			t.Fatalf("unexpected end of the answer with %s, stream=%t; got error %v; want complete=%t; body: %s", directives, stream, err, complete, got)
		}
		if ct := resp.Header.Get("Content-Type"); resp.StatusCode != status || ct != contentType {
			t.Fatalf("unexpected head with %s; got %d %q; want %d %q", directives, resp.StatusCode, ct, status, contentType)
		}
		for _, w := range want {
			w, not := strings.CutPrefix(w, "!")
			if strings.Contains(string(got), w) == not {
				t.Fatalf("unexpected answer with %s; got %s; want it to hold %q: %t", directives, got, w, !not)
			}
		}
	}
	f("error", false, 500, jsonType, true, "server_error")
	f("error,status=429,retry_after=1500ms", false, 429, jsonType, true, "rate_limit_exceeded")
	f("error,status=429,code=insufficient_quota", true, 429, jsonType, true, `"type":"insufficient_quota"`)
	f("cut", false, 200, jsonType, false, "chat.completion")
	f("cut", true, 200, sseType, false, "content", "!finish_reason\":\"stop", "![DONE]")
	f("cut,after=0", true, 200, sseType, false, "assistant", `!"delta":{"content"`)
	f("break", false, 500, jsonType, true, "server_error")
	f("break", true, 200, sseType, true, `data: {"error":{"message"`, "![DONE]", `!"stop"`)
	f("garbage", false, 200, jsonType, true, "<garbage>")
	f("garbage", true, 200, sseType, true, "[DONE]")
	f("html", false, 200, htmlType, true, "<html>")
	f("html", true, 200, htmlType, true, "<html>")
	f("wrong_type", false, 200, plainType, true, `"usage":{`)
	f("wrong_type", true, 200, jsonType, true, "[DONE]")
	f("no_usage", false, 200, jsonType, true, `!"usage"`)
	f("no_usage", true, 200, sseType, true, `!"usage":{`, "[DONE]")
	f("headers_first,latency=5ms", false, 200, jsonType, true, `"usage":{`)
	f("headers_first,latency=5ms,gap=1ms", true, 200, sseType, true, "[DONE]")
}

func TestGarbledEventIsNotJSON(t *testing.T) {
	url, _ := start(t, nil)
	_, got, err := post(t, url, chatBody("garbage,tokens=8,after=3", true))
	if err != nil {
		t.Fatalf("unexpected error: %s", err)
	}
	wrong := 0
	for event := range strings.SplitSeq(strings.TrimSpace(string(got)), "\n\n") {
		if data := strings.TrimPrefix(event, "data: "); data != "[DONE]" && !json.Valid([]byte(data)) {
			wrong++
		}
	}
	if wrong != 1 {
		t.Fatalf("unexpected number of events that are not JSON; got %d; want 1:\n%s", wrong, got)
	}
}

func TestDropped(t *testing.T) {
	url, _ := start(t, nil)
	if resp, body, err := post(t, url, chatBody("drop", false)); err == nil {
		t.Fatalf("unexpected answer; got %d %s; want none", resp.StatusCode, body)
	}
}

// TestHangUp leaves requests at each point at which the simulator may be waiting.
func TestHangUp(t *testing.T) {
	f := func(directives string, stream, headers bool) {
		t.Helper()
		url, s := start(t, nil)
		quick := &http.Client{Transport: client.Transport, Timeout: 100 * time.Millisecond}
		resp, err := quick.Post(url+"/v1/chat/completions", "application/json", strings.NewReader(chatBody(directives, stream)))
		if (err == nil) != headers {
			t.Fatalf("unexpected start of an answer with %s: %v", directives, err)
		}
		if headers {
			bufio.NewReader(resp.Body).ReadString('\000')
			resp.Body.Close()
		}
		eventually(t, "a hang-up seen with "+directives, func() bool { return s.Stats().HangUps == 1 })
	}
	f("latency=1m", false, false)
	f("latency=1m", true, false)
	f("latency=1m,headers_first", false, true)
	f("latency=1m,headers_first", true, true)
	f("gap=1m", true, true)
	f("hang", false, false)
	f("stall", false, true)
	f("stall", true, true)
}

func TestWaitsAreKept(t *testing.T) {
	url, s := start(t, nil)
	begin := time.Now()
	if _, _, err := post(t, url, chatBody("latency=30ms,gap=10ms,tokens=4", true)); err != nil {
		t.Fatalf("unexpected error: %s", err)
	}
	// One latency, and three gaps between four events.
	if took := time.Since(begin); took < 60*time.Millisecond {
		t.Fatalf("the stream took %s; want at least 60ms", took)
	}
	if n := s.Stats().HangUps; n != 0 {
		t.Fatalf("unexpected hang-ups; got %d; want 0", n)
	}
}

// TestConnectionIsKept checks that a wait does not spoil the connection for the next request.
func TestConnectionIsKept(t *testing.T) {
	url, _ := start(t, nil)
	dials := 0
	kept := &http.Client{Transport: &http.Transport{}}
	defer kept.CloseIdleConnections()
	for range 3 {
		for _, stream := range []bool{false, true} {
			req, err := http.NewRequest("POST", url+"/v1/chat/completions", strings.NewReader(chatBody("latency=2ms,tokens=3", stream)))
			if err != nil {
				t.Fatal(err)
			}
			req = req.WithContext(traceDials(req.Context(), &dials))
			resp, err := kept.Do(req)
			if err != nil {
				t.Fatalf("unexpected error: %s", err)
			}
			if _, err := bufio.NewReader(resp.Body).ReadString('\000'); err == nil {
				t.Fatal("unexpected NUL byte in the answer")
			}
			resp.Body.Close()
		}
	}
	if dials != 1 {
		t.Fatalf("unexpected number of connections; got %d; want 1", dials)
	}
}
