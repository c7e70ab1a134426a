package pipeline_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/tallygate/tallygate/gateway/internal/llm"
	"github.com/tallygate/tallygate/gateway/internal/provider"
	"github.com/tallygate/tallygate/gateway/internal/view"
	"github.com/tallygate/tallygate/schemas/event"
	"github.com/tallygate/tallygate/schemas/key"
)

// faulty panics in what it decodes, in a stream at the nth event.
type faulty struct {
	provider.Provider
	nth int
}

func (f faulty) Decode(*llm.Answer, []byte) error { panic("fault of a test") }

func (f faulty) NewDecoder() provider.Decoder { return &faultyDecoder{f.Provider.NewDecoder(), f.nth} }

type faultyDecoder struct {
	provider.Decoder
	left int
}

func (d *faultyDecoder) Next(p []byte) (llm.Event, int, error) {
	if d.left--; d.left < 0 {
		panic("fault of a test")
	}
	return d.Decoder.Next(p)
}

// upstream is the connection to the provider of the test key's model.
func (r *rig) upstream() *view.Upstream {
	r.t.Helper()
	digester, err := key.NewDigester([]byte(strings.Repeat("p", key.MinPepperLen)))
	must(r.t, err)
	return r.pipeline.View().Key(digester.Digest([]byte(r.key))).Model([]byte(model)).Targets[0].Upstream
}

func TestAFaultEndsOneRequestOnly(t *testing.T) {
	f := func(body string, nth int, provider func(*fasthttp.RequestCtx), check func(status int, body string, err error) bool) *event.Completed {
		t.Helper()
		r := newRig(t, "budgets: [{amount_usd: 1, window: total}]\nlimits: [{unit: tokens, amount: 100000, per: 24h}]")
		r.provider = provider
		up := r.upstream()
		sound := up.API
		up.API = faulty{sound, nth}
		req, _ := http.NewRequest(http.MethodPost, r.url+"/v1/chat/completions", strings.NewReader(body))
		req.Header.Set("Authorization", "Bearer "+r.key)
		req.Header.Set("Idempotency-Key", "a")
		resp, err := http.DefaultClient.Do(req)
		must(t, err)
		got, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if !check(resp.StatusCode, string(got), err) {
			t.Fatalf("unexpected answer: %d %q, %v", resp.StatusCode, got, err)
		}
		c := completed(t, r.records(1))
		if c.Outcome != event.Outcome_OUTCOME_INTERNAL_ERROR || len(c.Attempts) != 1 || len(c.Settlements) != 1 {
			t.Fatalf("unexpected record: %v", c)
		}
		if n := up.Pool.Open(); n != 0 {
			t.Fatalf("unexpected connections to the provider that stay open: %d", n)
		}
		if n := r.spool.Reserved(); n != 0 {
			t.Fatalf("unexpected bytes that stay reserved: %d", n)
		}
		// Nothing of it is left, and the process is there.
		up.API, r.provider = sound, func(ctx *fasthttp.RequestCtx) { answerJSON(ctx, 0, 0) }
		if a := r.chat(hello, "Idempotency-Key", "a"); a.status != 200 {
			t.Fatalf("unexpected answer to the next call: %d %s", a.status, a.body)
		}
		return c
	}
	failed := func(status int, _ string, _ error) bool { return status == 500 }
	cut := func(status int, body string, err error) bool {
		return status == 200 && strings.Contains(body, "hello") && err != nil
	}
	f(hello, 0, func(ctx *fasthttp.RequestCtx) { answerJSON(ctx, 10, 20) }, failed)
	stream := streamLines(nil, chunkRole, chunkHello, chunkFinish, chunkUsage, done)
	f(helloStream, 0, stream, failed)
	// Each event in a piece of its own, so that the fault comes after some have gone.
	release := make(chan struct{})
	time.AfterFunc(300*time.Millisecond, func() { close(release) })
	c := f(helloStream, 3, streamLines(release, chunkRole, chunkHello, "wait", chunkFinish, chunkUsage, done), cut)
	if c.CostNanos == 0 || c.Usage.Output != 2 {
		t.Fatalf("what was forwarded before the fault is not billed: %v", c)
	}
}
