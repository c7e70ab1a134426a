//go:build system

package system

import (
	"fmt"
	"net/http"
	"testing"
	"time"
)

// TestIdempotencyKey sends requests again under the same Idempotency-Key.
func TestIdempotencyKey(t *testing.T) {
	s := start(t, options{})
	g := s.startGateway("gateway")

	first := g.chat("MAIN", "gpt-5-mini", "", "Idempotency-Key", "order-1")
	if first.status != http.StatusOK {
		t.Fatalf("unexpected answer; got %d %s; want 200", first.status, first.body)
	}
	again := g.chat("MAIN", "gpt-5-mini", "", "Idempotency-Key", "order-1")
	if again.status != http.StatusOK || again.body != first.body {
		t.Fatalf("unexpected repetition; got %d %s; want the first answer %s", again.status, again.body, first.body)
	}
	if again.header.Get("X-Request-Id") == first.header.Get("X-Request-Id") {
		t.Fatal("the repetition has the first call's request id; it is a request of its own")
	}
	if got := s.simulatorStats().Requests; got != 1 {
		t.Fatalf("unexpected requests at the provider; got %d; want 1", got)
	}
	wantFault(t, g.chat("MAIN", "gpt-4o", "", "Idempotency-Key", "order-1"), 422, "idempotency_key_reused", "")

	// The key is the caller's own: another virtual key does not see the answer.
	if other := g.chat("GLOBEX", "gpt-5-mini", "", "Idempotency-Key", "order-1"); other.status != http.StatusOK || s.simulatorStats().Requests != 2 {
		t.Fatalf("unexpected answer to another virtual key; got %d %s, %d requests at the provider; want 200 and 2",
			other.status, other.body, s.simulatorStats().Requests)
	}

	// While the first runs, the second is told so.
	slow := chatBody("gpt-5-mini", "latency=1500ms")
	done := make(chan error, 1)
	go func() {
		a, err := g.request(http.MethodPost, "/v1/chat/completions", s.keys["MAIN"], slow, "Idempotency-Key", "order-2")
		if err == nil && a.status != http.StatusOK {
			err = fmt.Errorf("unexpected answer; got %d %s; want 200", a.status, a.body)
		}
		done <- err
	}()
	time.Sleep(500 * time.Millisecond)
	wantFault(t, g.chat("MAIN", "gpt-5-mini", "latency=1500ms", "Idempotency-Key", "order-2"), 409, "idempotency_in_progress", "")
	if err := <-done; err != nil {
		t.Fatal(err)
	}

	s.becomes("SELECT count(), sum(cost_nanos), sum(cost_avoided_nanos) > 0 FROM requests FINAL WHERE outcome = 'replayed'", "1 0 1")
	s.becomes("SELECT r.original_id = o.request_id FROM (SELECT * FROM requests FINAL WHERE outcome = 'replayed') r, "+
		"(SELECT * FROM requests FINAL WHERE outcome = 'ok' AND key = 'main' AND cost_nanos > 0 ORDER BY received_at LIMIT 1) o", "1")
}
