package pipeline_test

import (
	"context"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"

	"github.com/tallygate/tallygate/schemas/event"
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

func TestAnAnswerThatIsTooLargeIsBilled(t *testing.T) {
	r := newRig(t, "budgets: [{amount_usd: 1, window: total}]")
	r.conf.Gateway.Upstream.AnswerLimitBytes = 100
	if a := r.chat(hello); a.status != 502 || !strings.Contains(a.body, "answer_limit_bytes") {
		t.Fatalf("unexpected answer: %d %s", a.status, a.body)
	}
	if c := completed(t, r.records(1)); c.CostNanos == 0 || c.Usage.Source != event.UsageSource_USAGE_SOURCE_ESTIMATED {
		t.Fatalf("unexpected record of a call that the provider charges: %v", c)
	}
}

// TestAProvidersWordsAboutItsAccountStayInside checks that what a provider says of the
// account that all tenants share, or of its own inside, reaches no client.
func TestAProvidersWordsAboutItsAccountStayInside(t *testing.T) {
	r := newRig(t, "")
	f := func(status int, message, code string) {
		t.Helper()
		r.provider = func(ctx *fasthttp.RequestCtx) {
			ctx.SetStatusCode(status)
			ctx.SetBodyString(`{"error":{"message":"` + message + `","code":"` + code + `","param":"org-secret"}}`)
		}
		if a := r.chat(hello); strings.Contains(a.body, "secret") {
			t.Fatalf("the client learns of the account: %d %s", a.status, a.body)
		}
	}
	f(429, "Rate limit reached for gpt-5-mini in organization org-secret on tokens per min: Limit 10000, Used 9000.", "rate_limit_exceeded")
	f(429, "You exceeded your current quota; see https://x/org-secret", "insufficient_quota")
	f(401, "Incorrect API key provided: sk-secret", "invalid_api_key")
	f(403, "Project proj_secret does not have access to model gpt-5-mini", "model_not_found")
	f(404, "The deployment secret does not exist", "DeploymentNotFound")
	f(500, "cannot connect to 10.0.0.7: secret", "")
}
