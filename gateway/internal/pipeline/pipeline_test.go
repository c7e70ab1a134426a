package pipeline_test

import (
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/tallygate/tallygate/schemas/event"
)

func last[T any](t *testing.T, all []*event.Envelope, get func(*event.Envelope) *T) *T {
	t.Helper()
	for i := len(all) - 1; i >= 0; i-- {
		if v := get(all[i]); v != nil {
			return v
		}
	}
	t.Fatalf("no such event among %d", len(all))
	return nil
}

func completed(t *testing.T, all []*event.Envelope) *event.Completed {
	return last(t, all, (*event.Envelope).GetCompleted)
}

func denied(t *testing.T, all []*event.Envelope) *event.Denied {
	return last(t, all, (*event.Envelope).GetDenied)
}

func TestACallIsAdmittedAnsweredAndRecorded(t *testing.T) {
	r := newRig(t, "budgets: [{amount_usd: 1, window: total}]\nlimits: [{unit: tokens, amount: 100000, per: 24h}]")
	var sawAuth, sawBody string
	r.provider = func(ctx *fasthttp.RequestCtx) {
		sawAuth, sawBody = string(ctx.Request.Header.Peek("Authorization")), string(ctx.Request.Body())
		answerJSON(ctx, 1000, 2000)
	}
	a := r.chat(hello, "Cookie", "private=1")
	if a.status != 200 || !strings.Contains(a.body, "hi there") {
		t.Fatalf("unexpected answer: %d %s", a.status, a.body)
	}
	if sawAuth != "Bearer sk-provider-secret" || sawBody != hello {
		t.Fatalf("the provider saw %q with %q", sawAuth, sawBody)
	}
	all := r.records(1)
	admitted := last(t, all, (*event.Envelope).GetAdmitted)
	if !admitted.Verdict.Allowed || len(admitted.Holds) != 1 || admitted.Holds[0].AmountNanos <= 0 {
		t.Fatalf("unexpected admission: %v", admitted)
	}
	c := completed(t, all)
	// gpt-5-mini: 0.25 $ and 2 $ per million tokens.
	if want := int64(1000*250 + 2000*2000); c.CostNanos != want {
		t.Fatalf("unexpected cost; got %d; want %d", c.CostNanos, want)
	}
	if c.Outcome != event.Outcome_OUTCOME_OK || c.Status != 200 || c.Usage.Input != 1000 || c.Usage.Output != 2000 ||
		c.Usage.Source != event.UsageSource_USAGE_SOURCE_REPORTED || c.FinishReason != "stop" || c.Provider != "openai" {
		t.Fatalf("unexpected completion: %v", c)
	}
	if len(c.Settlements) != 1 || c.Settlements[0].AmountNanos != c.CostNanos || c.Settlements[0].Hold.AmountNanos != admitted.Holds[0].AmountNanos {
		t.Fatalf("unexpected settlements: %v", c.Settlements)
	}
	if got := a.header.Get("X-Request-Id"); got != event.ID(c.Facts.RequestId).String() {
		t.Fatalf("the answer names request %s, the record %s", got, event.ID(c.Facts.RequestId))
	}
	usage := r.do(http.MethodGet, "/v1/usage", "")
	if !strings.Contains(usage.body, `"used_usd":"0.00425"`) || !strings.Contains(usage.body, `"left":97000`) {
		t.Fatalf("unexpected usage after the call: %s", usage.body)
	}
	if got := completed(t, r.records(2)); got.Facts.Operation != "usage" || got.CostNanos != 0 {
		t.Fatalf("unexpected record of the usage call: %v", got)
	}
}

func TestAStreamIsForwardedAndRecordedBeforeItsEnd(t *testing.T) {
	r := newRig(t, "")
	release := make(chan struct{})
	r.provider = streamLines(release, chunkRole, chunkHello, "wait", chunkFinish, chunkUsage, done)
	req, _ := http.NewRequest(http.MethodPost, r.url+"/v1/chat/completions", strings.NewReader(helloStream))
	req.Header.Set("Authorization", "Bearer "+r.key)
	resp, err := http.DefaultClient.Do(req)
	must(t, err)
	defer resp.Body.Close()
	// The first content must come while the provider is still at work.
	var got strings.Builder
	buf := make([]byte, 4096)
	for !strings.Contains(got.String(), "hello") {
		n, err := resp.Body.Read(buf)
		must(t, err)
		got.Write(buf[:n])
	}
	for _, e := range r.read() {
		if e.GetCompleted() != nil {
			t.Fatal("the stream was recorded before it ended")
		}
	}
	close(release)
	for {
		n, err := resp.Body.Read(buf)
		got.Write(buf[:n])
		if err != nil {
			break
		}
	}
	if text := got.String(); strings.Contains(text, "usage") || !strings.HasSuffix(text, "data: [DONE]\n\n") {
		t.Fatalf("the client did not ask for usage, and must get the end; got %q", text)
	}
	c := completed(t, r.records(1))
	if c.Usage.Input != 11 || c.Usage.Output != 3 || c.FirstTokenNs == 0 || c.FinishReason != "stop" || !c.Facts.Stream {
		t.Fatalf("unexpected completion: %v", c)
	}
}

func TestDenials(t *testing.T) {
	r := newRig(t, "budgets: [{id: tiny, amount_usd: 0.000001, window: total}]")
	f := func(a *answer, status int, code, rule string, ends int) {
		t.Helper()
		if got := a.code(t); a.status != status || got != code {
			t.Fatalf("unexpected answer; got %d %s; want %d %s", a.status, got, status, code)
		}
		if ends == 0 {
			return
		}
		d := denied(t, r.records(ends))
		if d.Verdict.Code != code || d.Verdict.Rule != rule || d.Status != uint32(status) || d.Facts.Key != "k1" {
			t.Fatalf("unexpected record: %v", d)
		}
	}
	f(r.chat(hello, "Authorization", ""), 401, "missing_api_key", "", 0)
	f(r.chat(hello, "Authorization", "Bearer sk-nonsense"), 401, "invalid_api_key", "", 0)
	f(r.chat(`{`), 400, "invalid_json", "", 1)
	f(r.chat(`{"model":"gpt-5-mini"}`), 400, "invalid_request", "", 2)
	f(r.chat(strings.Replace(hello, model, "secret-model", 1)), 404, "model_not_found", "", 3)
	budget := r.chat(hello)
	f(budget, 429, "insufficient_quota", "tiny", 4)
	if budget.header.Get("X-Should-Retry") != "false" {
		t.Fatal("a spent budget must tell SDKs not to retry")
	}
	f(r.do(http.MethodGet, "/v1/nonsense", ""), 404, "route_not_found", "", 5)
	f(r.do(http.MethodPost, "/v1/embeddings", "{}"), 501, "not_implemented", "", 6)
	f(r.do(http.MethodDelete, "/v1/models", ""), 405, "method_not_allowed", "", 7)
}

func TestDeniedCallsGiveBackWhatTheyTook(t *testing.T) {
	// The large budget is asked first and holds; then the tiny one refuses.
	r := newRig(t, "budgets: [{id: large, amount_usd: 1, window: total}, {id: tiny, amount_usd: 0.000001, window: total}]\nlimits: [{unit: tokens, amount: 5000, per: 1h}]")
	for range 3 {
		if got := r.chat(hello).code(t); got != "insufficient_quota" {
			t.Fatalf("unexpected code; got %q; want insufficient_quota", got)
		}
	}
	usage := r.do(http.MethodGet, "/v1/usage", "")
	if !strings.Contains(usage.body, `"left":5000`) || strings.Count(usage.body, `"used_usd":"0.00"`) != 2 {
		t.Fatalf("refused calls took something: %s", usage.body)
	}
}

func TestRateLimitSaysWhenToComeBack(t *testing.T) {
	r := newRig(t, "limits: [{id: two, unit: requests, amount: 2, per: 1h}]")
	r.chat(hello)
	r.chat(hello)
	a := r.chat(hello)
	if a.status != 429 || a.code(t) != "rate_limit_exceeded" || a.header.Get("Retry-After") == "" {
		t.Fatalf("unexpected answer: %d %v %s", a.status, a.header, a.body)
	}
	if d := denied(t, r.records(3)); d.Verdict.Rule != "two" || d.Verdict.RetryAfterMs == 0 {
		t.Fatalf("unexpected record: %v", d)
	}
}

func TestManyDenialsAreCounted(t *testing.T) {
	r := newRig(t, "limits: [{id: one, unit: requests, amount: 1, per: 24h}]")
	const calls = 40
	for range calls {
		r.chat(hello)
	}
	deadline := time.Now().Add(5 * time.Second)
	for {
		var single, counted uint64
		for _, e := range r.read() {
			if e.GetDenied() != nil {
				single++
			}
			if c := e.GetDenialsCounted(); c != nil && c.Rule == "one" {
				counted += c.Count
				if c.Sample.GetFacts().GetKey() != "k1" {
					t.Fatalf("a counted denial without its facts: %v", c)
				}
			}
		}
		if single+counted == calls-1 && counted > 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("unexpected denials; got %d single and %d counted; want %d in all", single, counted, calls-1)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func TestProviderFailures(t *testing.T) {
	r := newRig(t, "budgets: [{amount_usd: 1, window: total}]")
	ends := 0
	f := func(provider func(*fasthttp.RequestCtx), status int, code, class string) *answer {
		t.Helper()
		r.provider = provider
		a := r.chat(hello)
		if got := a.code(t); a.status != status || got != code {
			t.Fatalf("unexpected answer; got %d %s; want %d %s", a.status, got, status, code)
		}
		ends++
		c := completed(t, r.records(ends))
		if c.ErrorCode != code || len(c.Attempts) != 1 || c.Attempts[0].ErrorClass != class {
			t.Fatalf("unexpected record: %v", c)
		}
		return a
	}
	say := func(status int, body string) func(*fasthttp.RequestCtx) {
		return func(ctx *fasthttp.RequestCtx) {
			ctx.SetStatusCode(status)
			ctx.SetBodyString(body)
		}
	}
	f(say(500, `{"error":{"message":"boom","type":"server_error","param":null,"code":null}}`), 502, "upstream_error", "server")
	f(say(401, `{"error":{"message":"Incorrect API key provided: sk-prov***"}}`), 502, "upstream_auth_error", "auth")
	f(say(200, `<html>`), 502, "upstream_error", "garbage")
	a := f(say(400, `{"error":{"message":"Unknown parameter: 'x'.","type":"invalid_request_error","param":"x","code":null}}`), 400, "upstream_invalid_request", "invalid")
	if !strings.Contains(a.body, "Unknown parameter: 'x'.") || !strings.Contains(a.body, `"param":"x"`) {
		t.Fatalf("the provider's words about the request are missing: %s", a.body)
	}
	f(func(ctx *fasthttp.RequestCtx) { time.Sleep(2500 * time.Millisecond) }, 504, "upstream_timeout", "timeout")
	if usage := r.do(http.MethodGet, "/v1/usage", ""); !strings.Contains(usage.body, `"used_usd":"0.00"`) {
		t.Fatalf("failed calls were charged or still hold money: %s", usage.body)
	}
}

func TestACutStreamIsAnErrorAndBilledByWhatWasForwarded(t *testing.T) {
	r := newRig(t, "")
	r.provider = streamLines(nil, chunkRole, chunkHello)
	a := r.chat(helloStream)
	if a.status != 200 || !strings.Contains(a.body, `"error":`) || strings.Contains(a.body, "[DONE]") {
		t.Fatalf("a cut stream must end with an error and without [DONE]; got %d %q", a.status, a.body)
	}
	c := completed(t, r.records(1))
	if c.Outcome != event.Outcome_OUTCOME_UPSTREAM_ERROR || c.Attempts[0].ErrorClass != "cut" ||
		c.Usage.Source != event.UsageSource_USAGE_SOURCE_ESTIMATED || c.Usage.Output != 2 || c.CostNanos == 0 {
		t.Fatalf("unexpected record: %v", c)
	}
}

func TestAHangUpClosesTheProvidersCall(t *testing.T) {
	r := newRig(t, "budgets: [{amount_usd: 1, window: total}]")
	gone := make(chan struct{})
	var conn net.Conn
	r.provider = func(ctx *fasthttp.RequestCtx) {
		conn = ctx.Conn()
		streamLines(gone, chunkRole, chunkHello, "wait")(ctx)
	}
	c, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
	must(t, err)
	_, err = c.Write([]byte("POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + r.key +
		"\r\nContent-Length: " + strconv.Itoa(len(helloStream)) + "\r\n\r\n" + helloStream))
	must(t, err)
	buf := make([]byte, 4096)
	for got := ""; !strings.Contains(got, "hello"); {
		n, err := c.Read(buf)
		must(t, err)
		got += string(buf[:n])
	}
	must(t, c.Close())
	rec := completed(t, r.records(1))
	close(gone)
	if rec.Outcome != event.Outcome_OUTCOME_CLIENT_CLOSED || rec.Usage.Source != event.UsageSource_USAGE_SOURCE_ESTIMATED || rec.CostNanos == 0 {
		t.Fatalf("unexpected record: %v", rec)
	}
	_ = conn.SetReadDeadline(time.Now().Add(3 * time.Second))
	if n, err := conn.Read(buf); err == nil || n != 0 {
		t.Fatalf("the provider's connection is still open: read %d, %v", n, err)
	}
}

func TestIdempotencyKey(t *testing.T) {
	r := newRig(t, "budgets: [{amount_usd: 1, window: total}]")
	calls := 0
	r.provider = func(ctx *fasthttp.RequestCtx) { calls++; answerJSON(ctx, 10, 20) }
	first := r.chat(hello, "Idempotency-Key", "a")
	again := r.chat(hello, "Idempotency-Key", "a")
	if calls != 1 || again.body != first.body || again.status != 200 {
		t.Fatalf("the answer was not repeated: %d calls, %d %s", calls, again.status, again.body)
	}
	c := completed(t, r.records(2))
	if c.Outcome != event.Outcome_OUTCOME_REPLAYED || c.CostNanos != 0 || c.CostAvoidedNanos == 0 || len(c.OriginalId) != 16 {
		t.Fatalf("unexpected record of the repetition: %v", c)
	}
	if other := r.chat(strings.Replace(hello, "hello", "other", 1), "Idempotency-Key", "a"); other.code(t) != "idempotency_key_reused" {
		t.Fatalf("unexpected answer to another body: %s", other.body)
	}
	r.provider = func(ctx *fasthttp.RequestCtx) { ctx.SetStatusCode(500) }
	r.chat(hello, "Idempotency-Key", "b")
	r.provider = func(ctx *fasthttp.RequestCtx) { answerJSON(ctx, 10, 20) }
	if a := r.chat(hello, "Idempotency-Key", "b"); a.status != 200 {
		t.Fatalf("a failed call must not be repeated from memory: %d %s", a.status, a.body)
	}
	r.provider = streamLines(nil, chunkRole, chunkHello, chunkFinish, chunkUsage, done)
	s1 := r.chat(helloStream, "Idempotency-Key", "s")
	s2 := r.chat(helloStream, "Idempotency-Key", "s")
	if s1.body != s2.body || s2.header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("a stream was not repeated: %q, then %q as %s", s1.body, s2.body, s2.header.Get("Content-Type"))
	}
}

func TestOthersCountAgainstTheBudget(t *testing.T) {
	r := newRig(t, "budgets: [{id: dollar, amount_usd: 1, window: total}]")
	if a := r.chat(hello); a.status != 200 {
		t.Fatalf("unexpected answer: %d %s", a.status, a.body)
	}
	r.table.Apply(&event.Balance{Budget: "dollar", WindowEnd: 1<<63 - 1, SettledNanos: 1_000_000_000, Offset: 5})
	if a := r.chat(hello); a.code(t) != "insufficient_quota" || !strings.Contains(a.body, "dollar") {
		t.Fatalf("unexpected answer: %s", a.body)
	}
}

func TestAFailureInOnePieceWithContentComesAfterIt(t *testing.T) {
	r := newRig(t, "")
	r.provider = func(ctx *fasthttp.RequestCtx) {
		ctx.SetContentType("text/event-stream")
		ctx.SetBodyString("data: " + chunkRole + "\n\ndata: " + chunkHello + "\n\ndata: {\"error\":{\"message\":\"boom\",\"type\":\"server_error\"}}\n\n")
	}
	a := r.chat(helloStream)
	before, after, _ := strings.Cut(a.body, "hello")
	if a.status != 200 || strings.Contains(before, "error") || !strings.Contains(after, "upstream_error") || strings.Contains(after, "boom") {
		t.Fatalf("unexpected answer: %d %q", a.status, a.body)
	}
	c := completed(t, r.records(1))
	if c.Outcome != event.Outcome_OUTCOME_UPSTREAM_ERROR || c.CostNanos == 0 || c.Usage.Output != 2 {
		t.Fatalf("unexpected record: %v", c)
	}
}

// TestCallsAreCutAtTheEnd ends a stream and a call without one that the provider
// does not end.
func TestCallsAreCutAtTheEnd(t *testing.T) {
	r := newRig(t, "budgets: [{amount_usd: 1, window: total}]")
	release := make(chan struct{})
	defer close(release)
	f := func(body string, ends int, check func(*answer) bool) {
		t.Helper()
		a := r.chat(body)
		if !check(a) || !strings.Contains(a.body, `"draining"`) {
			t.Fatalf("unexpected answer: %d %s", a.status, a.body)
		}
		c := completed(t, r.records(ends))
		if c.Outcome != event.Outcome_OUTCOME_INTERNAL_ERROR || c.ErrorCode != "draining" || c.CostNanos == 0 || len(c.Settlements) != 1 {
			t.Fatalf("unexpected record: %v", c)
		}
	}
	r.provider = streamLines(release, chunkRole, chunkHello, "wait")
	time.AfterFunc(300*time.Millisecond, r.pipeline.Cut)
	f(helloStream, 1, func(a *answer) bool { return a.status == 200 && strings.Contains(a.body, "hello") })
	r.provider = func(*fasthttp.RequestCtx) { <-release }
	f(hello, 2, func(a *answer) bool { return a.status == 503 })
}

func TestAbsurdUsageIsNotBelieved(t *testing.T) {
	r := newRig(t, "budgets: [{amount_usd: 1, window: total}]")
	r.provider = func(ctx *fasthttp.RequestCtx) { answerJSON(ctx, 1<<40, 20) }
	if a := r.chat(hello); a.status != 200 {
		t.Fatalf("unexpected answer: %d %s", a.status, a.body)
	}
	c := completed(t, r.records(1))
	if c.Usage.Source != event.UsageSource_USAGE_SOURCE_ESTIMATED || c.Usage.Input != c.Facts.InputTokensEstimated || c.Usage.Output != 20 {
		t.Fatalf("unexpected usage: %v", c.Usage)
	}
}
