package simulator

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// start runs a simulator until the test ends and returns its base URL.
func start(t testing.TB, change func(*Config)) (string, *Server) {
	t.Helper()
	cfg := Config{Behaviour: DefaultBehaviour(), Seed: 1, Models: []string{"gpt-5", "gpt-5-mini"}}
	if change != nil {
		change(&cfg)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("cannot listen: %s", err)
	}
	s := New(cfg)
	done := make(chan struct{})
	go func() { defer close(done); s.Serve(ln) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		s.Shutdown(ctx)
		<-done
	})
	return "http://" + ln.Addr().String(), s
}

// client keeps no connection, so that no test waits for another's.
var client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

func post(t testing.TB, url, body string) (*http.Response, []byte, error) {
	t.Helper()
	resp, err := client.Post(url+"/v1/chat/completions", "application/json", strings.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp, b, err
}

// chatBody is a request whose model carries the directives.
func chatBody(directives string, stream bool) string {
	b, err := json.Marshal(map[string]any{
		"model": "gpt-5-mini@" + directives, "stream": stream, "messages": []any{map[string]any{"role": "user", "content": "Hi"}},
	})
	if err != nil {
		panic(err)
	}
	return string(b)
}

// eventually waits until the condition holds.
func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); !condition(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s did not come true within 5s", what)
		}
	}
}

func TestSameRequestSameAnswer(t *testing.T) {
	one, _ := start(t, nil)
	other, _ := start(t, func(c *Config) { c.Seed = 99 })
	for _, stream := range []bool{false, true} {
		body := chatBody("", stream)
		_, want, err := post(t, one, body)
		if err != nil {
			t.Fatalf("unexpected error: %s", err)
		}
		// Another process, another way to write the same JSON.
		var spaced bytes.Buffer
		if err := json.Indent(&spaced, []byte(body), "", "  "); err != nil {
			t.Fatal(err)
		}
		_, got, err := post(t, other, spaced.String())
		if err != nil {
			t.Fatalf("unexpected error: %s", err)
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("the same request got two answers, stream=%t:\n%s\n%s", stream, want, got)
		}
		_, got, err = post(t, one, strings.Replace(body, `"Hi"`, `"Ho"`, 1))
		if err != nil {
			t.Fatalf("unexpected error: %s", err)
		}
		if bytes.Equal(got, want) {
			t.Fatalf("two requests got the same answer, stream=%t: %s", stream, got)
		}
	}
}

func TestStreamAndJSONSayTheSame(t *testing.T) {
	url, _ := start(t, nil)
	_, whole, err := post(t, url, chatBody("tokens=40", false))
	if err != nil {
		t.Fatalf("unexpected error: %s", err)
	}
	var answer struct {
		Choices []struct{ Message struct{ Content string } }
	}
	if err := json.Unmarshal(whole, &answer); err != nil {
		t.Fatalf("the answer is not JSON: %s: %s", err, whole)
	}
	for _, directives := range []string{"tokens=40", "tokens=40,chunk=7", "tokens=40,burst=5"} {
		_, events, err := post(t, url, strings.Replace(chatBody(directives, true), directives, "tokens=40,"+directives, 1))
		if err != nil {
			t.Fatalf("unexpected error: %s", err)
		}
		content := ""
		for line := range strings.SplitSeq(string(events), "\n\n") {
			var chunk struct {
				Choices []struct{ Delta struct{ Content string } }
			}
			data := strings.TrimPrefix(line, "data: ")
			if data == "" || data == "[DONE]" {
				continue
			}
			if err := json.Unmarshal([]byte(data), &chunk); err != nil {
				t.Fatalf("an event is not JSON: %s: %s", err, data)
			}
			for _, c := range chunk.Choices {
				content += c.Delta.Content
			}
		}
		if content != answer.Choices[0].Message.Content {
			t.Fatalf("unexpected content of the stream with %s; got %q; want %q", directives, content, answer.Choices[0].Message.Content)
		}
	}
}

func TestWrongRequests(t *testing.T) {
	url, s := start(t, nil)
	f := func(body string, status int, want string) {
		t.Helper()
		resp, got, err := post(t, url, body)
		if err != nil {
			t.Fatalf("unexpected error for %s: %s", body, err)
		}
		if resp.StatusCode != status || !strings.Contains(string(got), want) {
			t.Fatalf("unexpected answer to %s; got %d %s; want %d with %q", body, resp.StatusCode, got, status, want)
		}
		if !json.Valid(got) {
			t.Fatalf("the answer to %s is not JSON: %s", body, got)
		}
	}
	f("", 400, "could not parse the JSON")
	f("[]", 400, "must be an object")
	f(`{"messages":[{"role":"user","content":"Hi"}]}`, 400, "must provide a model")
	f(`{"model":"m","messages":[]}`, 400, "at least one message")
	f(`{"model":"m","messages":[{"content":"Hi"}]}`, 400, "role")
	f(`{"model":"m","messages":[{"role":"user"}],"nonsense":1}`, 400, "Unknown parameter: 'nonsense'.")
	f(`{"model":"m","messages":[{"role":"user"}],"max_tokens":1,"max_completion_tokens":1}`, 400, "at the same time")
	f(`{"model":"m","messages":[{"role":"user"}],"max_tokens":-1}`, 400, "whole number")
	f(`{"model":"m","messages":[{"role":"user"}],"stream_options":{}}`, 400, "only allowed when 'stream'")
	f(`{"model":"m","messages":[{"role":"user"}],"stream":"yes"}`, 400, "boolean")
	f(`{"model":"m@speed=9","messages":[{"role":"user"}]}`, 400, `directive \"speed\": unknown`)
	if got := s.Stats(); got.Invalid != 11 || got.Requests != 11 || len(got.Fates) != 0 {
		t.Fatalf("unexpected statistics after 11 wrong requests: %+v", got)
	}
}

func TestKeys(t *testing.T) {
	url, _ := start(t, func(c *Config) { c.Keys = []string{"sk-one", "sk-two"} })
	f := func(authorization string, want int) {
		t.Helper()
		req, err := http.NewRequest("GET", url+"/v1/models", nil)
		if err != nil {
			t.Fatal(err)
		}
		if authorization != "" {
			req.Header.Set("Authorization", authorization)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatalf("unexpected error: %s", err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Fatalf("unexpected status with Authorization %q; got %d; want %d", authorization, resp.StatusCode, want)
		}
	}
	f("", 401)
	f("Bearer sk-three", 401)
	f("sk-one", 401)
	f("Bearer sk-one", 200)
	f("Bearer sk-two", 200)
}

func TestPaths(t *testing.T) {
	url, _ := start(t, nil)
	f := func(method, path string, status int, want string) {
		t.Helper()
		req, err := http.NewRequest(method, url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatalf("unexpected error: %s", err)
		}
		defer resp.Body.Close()
		got, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != status || !strings.Contains(string(got), want) {
			t.Fatalf("unexpected answer to %s %s; got %d %s; want %d with %q", method, path, resp.StatusCode, got, status, want)
		}
		if resp.Header.Get("X-Request-Id") == "" {
			t.Fatalf("the answer to %s %s has no X-Request-Id", method, path)
		}
	}
	f("GET", "/v1/models", 200, `{"id":"gpt-5","object":"model"`)
	f("GET", "/v1/models/any", 200, `{"id":"any","object":"model"`)
	f("GET", "/v1/chat/completions", 405, "Not allowed")
	f("POST", "/v1/models", 405, "Not allowed")
	f("POST", "/v1/nothing", 404, "Invalid URL (POST /v1/nothing)")
	f("GET", "/healthz", 200, "ok")
	f("GET", "/stats", 200, `"requests":0`)
	f("POST", "/stats/reset", 204, "")
}

func TestStats(t *testing.T) {
	url, s := start(t, nil)
	for _, stream := range []bool{false, true, true} {
		if _, _, err := post(t, url, chatBody("tokens=10", stream)); err != nil {
			t.Fatalf("unexpected error: %s", err)
		}
	}
	if _, _, err := post(t, url, chatBody("error", false)); err != nil {
		t.Fatalf("unexpected error: %s", err)
	}
	want := ModelStats{Requests: 3, InputTokens: 3 * 4, OutputTokens: 30}
	eventually(t, "three settled answers", func() bool { return s.Stats().Models["gpt-5-mini"].Requests == 3 })
	got := s.Stats()
	if got.Requests != 4 || got.Fates["answer"] != 3 || got.Fates["error"] != 1 || got.HangUps != 0 ||
		got.InputTokens != want.InputTokens || got.OutputTokens != want.OutputTokens || got.Models["gpt-5-mini"] != want {
		t.Fatalf("unexpected statistics: %+v", got)
	}
	s.stats.reset()
	if got := s.Stats(); got.Requests != 0 || got.OutputTokens != 0 || len(got.Fates)+len(got.Models) != 0 {
		t.Fatalf("unexpected statistics after a reset: %+v", got)
	}
}
