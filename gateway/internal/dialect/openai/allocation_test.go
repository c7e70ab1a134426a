//go:build !race

package openai

import (
	"testing"

	"github.com/tallygate/tallygate/gateway/internal/apierror"
	"github.com/tallygate/tallygate/gateway/internal/llm"
)

func TestAllocations(t *testing.T) {
	body := []byte(`{"model":"gpt-5-mini","messages":[{"role":"system","content":"Be brief.\nVery."},{"role":"user","content":"Grüße"}],` +
		`"stream":true,"stream_options":{"include_usage":true},"max_tokens":100,"user":"u-1","temperature":0.2}`)
	var req llm.Request
	if n := testing.AllocsPerRun(1000, func() {
		if Parse(&req, body) != nil {
			t.Fatal("unexpected problem")
		}
	}); n != 0 {
		t.Fatalf("unexpected allocations per Parse; got %v; want 0", n)
	}
	buf := make([]byte, 0, 1024)
	ev := llm.Event{Raw: body, UsageAt: llm.Span{Start: 1, End: 9}}
	if n := testing.AllocsPerRun(1000, func() {
		buf = AppendError(buf[:0], apierror.RateLimited, "Slow down.", "", "limit-1")
		buf = AppendEvent(buf[:0], &ev, &req)
	}); n != 0 {
		t.Fatalf("unexpected allocations per answer; got %v; want 0", n)
	}
}
