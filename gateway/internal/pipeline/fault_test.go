package pipeline_test

import (
	"context"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"
)

// TestAnUnrecordedAnswerIsNotGiven ends the spool while the provider works. The client
// gets no answer, nor does who repeats the request; and both are told why.
func TestAnUnrecordedAnswerIsNotGiven(t *testing.T) {
	f := func(body string, provider func(*fasthttp.RequestCtx)) {
		t.Helper()
		r := newRig(t, "budgets: [{amount_usd: 1, window: total}]")
		r.provider = func(ctx *fasthttp.RequestCtx) {
			must(t, r.spool.Close(context.Background()))
			provider(ctx)
		}
		if a := r.chat(body, "Idempotency-Key", "a"); strings.Contains(a.body, "hello") || !strings.Contains(a.body, "could not record") {
			t.Fatalf("unexpected answer without a record: %d %s", a.status, a.body)
		}
		// It was forgotten, and so it is made again as far as the spool lets it. Were it
		// remembered, this other body would be refused for its key.
		other := strings.Replace(body, "user", "system", 1)
		if a := r.chat(other, "Idempotency-Key", "a"); a.status != 503 || a.code(t) != "spool_full" {
			t.Fatalf("unexpected answer to a repetition: %d %s", a.status, a.body)
		}
		if n := r.spool.Reserved(); n != 0 {
			t.Fatalf("unexpected bytes that stay reserved: %d", n)
		}
	}
	f(hello, func(ctx *fasthttp.RequestCtx) { answerJSON(ctx, 10, 20) })
	// The stream comes in one piece, so that its end is known before any of it leaves.
	f(helloStream, func(ctx *fasthttp.RequestCtx) {
		ctx.SetContentType("text/event-stream")
		for _, line := range []string{chunkRole, chunkHello, chunkFinish, chunkUsage, done} {
			_, _ = ctx.WriteString("data: " + line + "\n\n")
		}
	})
}
