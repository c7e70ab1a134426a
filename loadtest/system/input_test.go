//go:build system

package system

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestBadInput sends what clients should not send, and wants an error in the
// dialect's shape with the right status and code, and its denial in the audit table.
func TestBadInput(t *testing.T) {
	s := start(t, options{})
	g := s.startGateway("gateway")
	main := s.keys["MAIN"]

	// f sends a body to the chat path; param is the field that the error names.
	f := func(name, key, body string, status int, code, param string) {
		t.Run(name, func(t *testing.T) {
			a, err := g.request(http.MethodPost, "/v1/chat/completions", key, body)
			if err != nil {
				t.Fatal(err)
			}
			wantFault(t, a, status, code, param)
		})
	}
	messages := `"messages":[{"role":"user","content":"x"}]`
	f("no body", main, "", 400, "", "")
	f("not JSON", main, "{", 400, "invalid_json", "")
	f("text after the JSON", main, chatBody("gpt-5-mini", "")+"x", 400, "invalid_json", "")
	f("not UTF-8", main, "{\"model\":\"\xff\",\"messages\":[]}", 400, "", "")
	f("an array", main, "[]", 400, "", "")
	f("no model", main, "{"+messages+"}", 400, "", "model")
	f("model of the wrong type", main, `{"model":5,`+messages+`}`, 400, "", "model")
	f("no messages", main, `{"model":"gpt-5-mini"}`, 400, "", "messages")
	f("empty messages", main, `{"model":"gpt-5-mini","messages":[]}`, 400, "", "messages")
	f("stream of the wrong type", main, `{"model":"gpt-5-mini","stream":"yes",`+messages+`}`, 400, "", "stream")
	f("negative max_tokens", main, `{"model":"gpt-5-mini","max_tokens":-1,`+messages+`}`, 400, "", "max_tokens")
	f("a hundred thousand brackets", main, `{"model":"gpt-5-mini","messages":`+strings.Repeat("[", 100_000), 400, "", "")
	f("unknown model", main, chatBody("no-such-model", ""), 404, "model_not_found", "model")
	f("model that the key may not use", s.keys["NARROW"], chatBody("gpt-5-mini", ""), 404, "model_not_found", "model")
	f("missing key", "", chatBody("gpt-5-mini", ""), 401, "missing_api_key", "")
	f("wrong key", "sk-of-another-house", chatBody("gpt-5-mini", ""), 401, "invalid_api_key", "")
	f("well-formed key that is not known", makeKeys()["MAIN"], chatBody("gpt-5-mini", ""), 401, "invalid_api_key", "")
	f("expired key", s.keys["EXPIRED"], chatBody("gpt-5-mini", ""), 401, "expired_api_key", "")
	f("disabled key", s.keys["DISABLED"], chatBody("gpt-5-mini", ""), 401, "disabled_api_key", "")
	f("more tokens at once than the limit lets pass", s.keys["WORDY"], chatBody("gpt-5-mini", "", `"max_tokens":5000`), 429, "rate_limit_exceeded", "")
	f("body over the limit", main, chatBody("gpt-5-mini", "", `"metadata":{"a":"`+strings.Repeat("x", 2<<20)+`"}`), 413, "request_too_large", "")

	t.Run("chunked body over the limit", func(t *testing.T) {
		req, _ := http.NewRequest(http.MethodPost, g.url+"/v1/chat/completions", io.MultiReader(strings.NewReader(strings.Repeat(" ", 2<<20))))
		req.Header.Set("Authorization", "Bearer "+main)
		resp, err := httpClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		wantFault(t, answer{resp.StatusCode, resp.Header, string(body)}, 413, "request_too_large", "")
	})
	t.Run("headers over the limit", func(t *testing.T) {
		a := g.raw(t, "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nX-Long: "+strings.Repeat("a", 64<<10)+"\r\n\r\n")
		wantFault(t, a, 431, "headers_too_large", "")
	})
	t.Run("not HTTP", func(t *testing.T) {
		wantFault(t, g.raw(t, "\x16\x03\x01\x02\x00\r\n\r\n"), 400, "invalid_request", "")
	})
	t.Run("body that does not arrive", func(t *testing.T) {
		started := time.Now()
		a := g.raw(t, "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "+main+"\r\nContent-Length: 100\r\n\r\n{\"model\"")
		wantFault(t, a, 408, "request_timeout", "")
		if took := time.Since(started); took > 5*time.Second {
			t.Fatalf("the gateway waited %s for a slow client; gateway.read_timeout is 2s", took)
		}
	})
	t.Run("headers that do not arrive", func(t *testing.T) {
		wantFault(t, g.raw(t, "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\n"), 408, "request_timeout", "")
	})
	t.Run("unknown path", func(t *testing.T) {
		a, err := g.request(http.MethodGet, "/v2/nothing", main, "")
		if err != nil {
			t.Fatal(err)
		}
		wantFault(t, a, 404, "route_not_found", "")
	})
	t.Run("wrong method", func(t *testing.T) {
		a, err := g.request(http.MethodGet, "/v1/chat/completions", main, "")
		if err != nil {
			t.Fatal(err)
		}
		wantFault(t, a, 405, "method_not_allowed", "")
		if got := a.header.Get("Allow"); got != http.MethodPost {
			t.Fatalf("unexpected Allow; got %q; want POST", got)
		}
	})
	t.Run("API that is not served yet", func(t *testing.T) {
		a, err := g.request(http.MethodPost, "/v1/embeddings", main, `{"model":"x","input":"y"}`)
		if err != nil {
			t.Fatal(err)
		}
		wantFault(t, a, 501, "not_implemented", "")
	})

	// The gateway lives, none of this reached the provider, and all of it is on record.
	if a := g.chat("MAIN", "gpt-5-mini", ""); a.status != http.StatusOK {
		t.Fatalf("unexpected answer after bad input; got %d %s; want 200", a.status, a.body)
	}
	if got := s.simulatorStats().Requests; got != 1 {
		t.Fatalf("unexpected requests at the provider; got %d; want 1", got)
	}
	s.becomes("SELECT sum(calls) FROM requests FINAL WHERE outcome = 'denied' AND status = 401 AND org = '_anonymous'", "3")
	s.becomes("SELECT key, error_code FROM requests FINAL WHERE error_code IN ('expired_api_key', 'disabled_api_key') ORDER BY key",
		"disabled disabled_api_key expired expired_api_key")
	s.becomes("SELECT rule FROM requests FINAL WHERE key = 'wordy'", "wordy-tokens")
}

// wantFault wants an error in the dialect's shape; an empty code or param is any.
func wantFault(t *testing.T, a answer, status int, code, param string) {
	t.Helper()
	f, err := a.fault()
	if err != nil {
		t.Fatalf("status %d: %s", a.status, err)
	}
	if a.status != status || code != "" && a.code() != code {
		t.Fatalf("unexpected error; got %d %s; want %d %s", a.status, a.body, status, code)
	}
	if param != "" && (f.Param == nil || *f.Param != param) {
		t.Fatalf("unexpected param in %s; want %q", a.body, param)
	}
	if a.header.Get("X-Request-Id") == "" {
		t.Fatal("the error has no X-Request-Id")
	}
	if a.header.Get("Content-Type") != "application/json" {
		t.Fatalf("unexpected content type %q", a.header.Get("Content-Type"))
	}
}

// raw sends bytes and reads one answer.
func (g *gateway) raw(t *testing.T, request string) answer {
	t.Helper()
	conn, err := net.Dial("tcp", g.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatalf("cannot send: %s", err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("cannot read the answer: %s", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("cannot read the answer's body: %s", err)
	}
	return answer{resp.StatusCode, resp.Header, string(body)}
}

// simulatorStats is what the provider simulator counted.
type simulatorStats struct {
	Requests      int64            `json:"requests"`
	HangUps       int64            `json:"hang_ups"`
	Fates         map[string]int64 `json:"fates"`
	OutputTokens  int64            `json:"output_tokens"`
	PartialTokens int64            `json:"partial_tokens"`
}

func (s *stack) simulatorStats() simulatorStats {
	s.t.Helper()
	resp, err := httpClient.Get("http://" + s.simulatorAddr + "/stats")
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	var out simulatorStats
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
		s.t.Fatalf("cannot read the simulator's counts: %s", err)
	}
	return out
}

// TestHangUp closes the connection midway: the call to the provider is closed too,
// and what was forwarded is billed by estimate.
func TestHangUp(t *testing.T) {
	s := start(t, options{})
	g := s.startGateway("gateway")

	f := func(name, body string, chunks int) {
		t.Run(name, func(t *testing.T) {
			before := s.simulatorStats().HangUps
			conn, err := net.Dial("tcp", g.addr)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(conn, "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s",
				s.keys["MAIN"], len(body), body)
			_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
			lines := bufio.NewReader(conn)
			for seen := 0; seen < chunks; {
				line, err := lines.ReadString('\n')
				if err != nil {
					t.Fatalf("cannot read the stream: %s", err)
				}
				if strings.HasPrefix(line, "data:") {
					seen++
				}
			}
			if chunks == 0 {
				time.Sleep(300 * time.Millisecond) // the provider has the request by now
			}
			conn.Close()
			eventually(t, 3*time.Second, func() error {
				if got := s.simulatorStats().HangUps - before; got != 1 {
					return fmt.Errorf("the provider saw %d hang-ups; want 1", got)
				}
				return nil
			})
		})
	}
	f("stream", chatBody("gpt-5-mini", "tokens=3000,gap=5ms", `"stream":true`), 5)
	f("stream before its first event", chatBody("gpt-5-mini", "latency=1900ms", `"stream":true`), 0)
	f("answer", chatBody("gpt-5-mini", "latency=1900ms"), 0)

	s.becomes("SELECT count(), countIf(usage_source = 'estimated'), countIf(cost_nanos > 0), max(output_tokens) BETWEEN 1 AND 1000 "+
		"FROM requests FINAL WHERE outcome = 'client_closed'", "3 3 3 1")
	s.becomes("SELECT sum(held_nanos), sum(settled_nanos) = (SELECT sum(toInt128(cost_nanos)) FROM requests FINAL) "+
		"FROM balances WHERE budget = 'search-month'", "0 1")
}

// TestBadUpstream lets the provider fail in every way.
func TestBadUpstream(t *testing.T) {
	s := start(t, options{})
	g := s.startGateway("gateway")

	f := func(directives string, status int, code, outcome string) {
		t.Run(directives, func(t *testing.T) {
			a := g.chat("MAIN", "gpt-5-mini", directives)
			wantFault(t, a, status, code, "")
			s.outcome(t, a, outcome)
		})
	}
	f("garbage", 502, "upstream_error", "upstream_error")
	f("html", 502, "upstream_error", "upstream_error")
	f("cut", 502, "upstream_error", "upstream_error")
	f("drop", 502, "upstream_error", "upstream_error")
	f("hang", 504, "upstream_timeout", "timeout")
	f("stall", 504, "upstream_timeout", "timeout")
	f("error,status=400", 400, "upstream_invalid_request", "upstream_error")
	f("error,status=401", 502, "upstream_auth_error", "upstream_error")
	f("error,status=404", 404, "upstream_model_not_found", "upstream_error")
	f("error,status=429", 429, "upstream_rate_limited", "upstream_error")
	f("error,status=429,code=insufficient_quota", 503, "upstream_quota", "upstream_error")
	f("error,status=500", 502, "upstream_error", "upstream_error")
	f("error,status=503", 503, "upstream_overloaded", "upstream_error")

	// A stream that has begun cannot change its status: the error comes in its events.
	stream := func(directives, outcome string) {
		t.Run("stream "+directives, func(t *testing.T) {
			a, err := g.request(http.MethodPost, "/v1/chat/completions", s.keys["MAIN"], chatBody("gpt-5-mini", directives+",tokens=40", `"stream":true`))
			if err != nil {
				t.Fatal(err)
			}
			if a.status != http.StatusOK || !strings.Contains(a.body, `data: {"error":`) || strings.Contains(a.body, "[DONE]") {
				t.Fatalf("unexpected stream; got %d %.2000s; want one that ends in an error event", a.status, a.body)
			}
			s.outcome(t, a, outcome)
		})
	}
	stream("cut", "upstream_error")
	stream("break", "upstream_error")
	stream("garbage", "upstream_error")
	stream("stall", "timeout")

	t.Run("no usage", func(t *testing.T) {
		a := g.chat("MAIN", "gpt-5-mini", "no_usage")
		if a.status != http.StatusOK {
			t.Fatalf("unexpected answer; got %d %s; want 200", a.status, a.body)
		}
		s.outcome(t, a, "ok")
		s.becomes("SELECT usage_source, cost_nanos > 0 FROM requests FINAL WHERE request_id = '"+a.header.Get("X-Request-Id")+"'", "estimated 1")
	})
	s.becomes("SELECT sum(held_nanos) FROM balances", "0")
}

// outcome wants exactly one record of the call, with the outcome.
func (s *stack) outcome(t *testing.T, a answer, want string) {
	t.Helper()
	sql := "SELECT outcome FROM requests FINAL WHERE request_id = '" + a.header.Get("X-Request-Id") + "'"
	eventually(t, 15*time.Second, func() error {
		rows, err := s.query(sql)
		if err == nil && strings.Join(flatten(rows), " ") != want {
			err = fmt.Errorf("unexpected outcomes; got %v; want %s", rows, want)
		}
		return err
	})
}
