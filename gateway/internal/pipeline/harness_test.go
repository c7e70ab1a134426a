package pipeline_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/tallygate/tallygate/gateway/internal/counter"
	"github.com/tallygate/tallygate/gateway/internal/pipeline"
	"github.com/tallygate/tallygate/gateway/internal/server"
	"github.com/tallygate/tallygate/gateway/internal/spool"
	"github.com/tallygate/tallygate/gateway/internal/upstream"
	"github.com/tallygate/tallygate/gateway/internal/view"
	"github.com/tallygate/tallygate/schemas/config"
	"github.com/tallygate/tallygate/schemas/event"
	"github.com/tallygate/tallygate/schemas/key"
	"github.com/tallygate/tallygate/schemas/policy"
	"github.com/tallygate/tallygate/schemas/price"
)

// rig is a gateway with a real spool and a provider that a test scripts.
type rig struct {
	t        testing.TB
	conf     *config.Config
	key      string
	spool    *spool.Spool
	spoolDir string
	table    *counter.Table
	pipeline *pipeline.Pipeline
	server   *server.Server
	url      string
	// provider answers the calls to the provider.
	provider func(ctx *fasthttp.RequestCtx)
}

const model = "gpt-5-mini"

// newRig starts a gateway. The rules are YAML under the test key. With
// TEST_PROVIDER_URL set, that is the provider.
func newRig(t testing.TB, rules string) *rig {
	t.Helper()
	r := &rig{t: t, key: key.New()}
	r.provider = func(ctx *fasthttp.RequestCtx) { answerJSON(ctx, 10, 20) }
	up := listen(t)
	providerServer := &fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) { r.provider(ctx) }}
	go func() { _ = providerServer.Serve(up) }()

	t.Setenv("TEST_TALLYGATE_KEY", r.key)
	t.Setenv("TEST_PROVIDER_KEY", "sk-provider-secret")
	t.Setenv("TALLYGATE_PEPPER", strings.Repeat("p", key.MinPepperLen))
	baseURL := "http://" + up.Addr().String() + "/v1"
	if other := os.Getenv("TEST_PROVIDER_URL"); other != "" {
		baseURL = other
	}
	text := `
policy:
  providers:
    - {id: openai, base_url: "` + baseURL + `", credential: "env:TEST_PROVIDER_KEY"}
  models:
    - {id: ` + model + `, targets: [{provider: openai}]}
    - {id: secret-model, targets: [{provider: openai}]}
  orgs:
    - id: acme
      teams:
        - id: core
          apps:
            - id: bot
              keys:
                - id: k1
                  secret: "env:TEST_TALLYGATE_KEY"
                  models: [` + model + `]
` + indent(rules, "                  ")
	conf, err := config.Parse("test.yaml", []byte(text), func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatalf("cannot read the test's configuration: %s", err)
	}
	conf.Gateway.Upstream.FirstByteTimeout = 2 * time.Second
	conf.Gateway.Upstream.ChunkTimeout = 2 * time.Second
	r.conf = conf
	r.start()
	t.Cleanup(func() { _ = providerServer.Shutdown() })
	return r
}

func (r *rig) start() {
	t := r.t
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	digester, err := key.NewDigester([]byte(strings.Repeat("p", key.MinPepperLen)))
	must(t, err)
	r.spoolDir = t.TempDir()
	r.spool, err = spool.Open(spool.Options{Dir: r.spoolDir, Role: "gateway", Replica: "test", Version: "test", QuotaBytes: 64 << 20, SegmentBytes: 8 << 20,
		Sync: "never", SyncInterval: time.Second, Partitions: r.conf.Kafka.Partitions})
	must(t, err)
	prices := price.Default()
	r.pipeline = pipeline.New(pipeline.Options{Config: r.conf, Digester: digester, Spool: r.spool, Prices: prices, Log: log})

	declared, err := policy.Declared(&r.conf.Policy, digester)
	must(t, err)
	state := policy.NewState()
	if res := state.Apply(0, state.Diff(declared)); !res.Applied {
		t.Fatalf("the test's policy does not apply: %s", res.Reason)
	}
	r.table = counter.NewTable(r.spool.ID())
	g := &r.conf.Gateway.Upstream
	builder := &view.Builder{Counters: r.table, Prices: prices, Upstreams: &view.Upstreams{
		BaseURL: func(string) string { return "" },
		Options: upstream.Options{ConnectTimeout: g.ConnectTimeout, FirstByteTimeout: g.FirstByteTimeout, ChunkTimeout: g.ChunkTimeout,
			TotalTimeout: g.TotalTimeout, ConnectionLimit: g.ConnectionLimit, AllowPrivate: true, IdleTimeout: time.Minute},
	}}
	r.pipeline.SetView(builder.Build(state.Compile()))
	r.pipeline.SetReady()
	stop := make(chan struct{})
	go r.pipeline.Run(stop)

	ln := listen(t)
	r.url = "http://" + ln.Addr().String()
	r.server = server.New(&r.conf.Gateway, r.pipeline, log)
	go func() { _ = r.server.Serve(server.Bounded(ln, r.conf.Gateway.WriteTimeout)) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = r.server.Shutdown(ctx)
		close(stop)
	})
}

// answer is what a client got.
type answer struct {
	status int
	header http.Header
	body   string
}

func (a *answer) code(t testing.TB) string {
	t.Helper()
	var e struct {
		Error struct {
			Code    *string `json:"code"`
			Message string  `json:"message"`
		} `json:"error"`
	}
	if err := json.Unmarshal([]byte(a.body), &e); err != nil || e.Error.Code == nil {
		t.Fatalf("the answer is no error in OpenAI's shape: %d %q", a.status, a.body)
	}
	return *e.Error.Code
}

func (r *rig) do(method, path, body string, header ...string) *answer {
	r.t.Helper()
	req, err := http.NewRequest(method, r.url+path, strings.NewReader(body))
	must(r.t, err)
	req.Header.Set("Authorization", "Bearer "+r.key)
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
		if header[i+1] == "" {
			req.Header.Del(header[i])
		}
	}
	resp, err := http.DefaultClient.Do(req)
	must(r.t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	must(r.t, err)
	return &answer{resp.StatusCode, resp.Header, string(b)}
}

func (r *rig) chat(body string, header ...string) *answer {
	r.t.Helper()
	return r.do(http.MethodPost, "/v1/chat/completions", body, header...)
}

const hello = `{"model":"` + model + `","messages":[{"role":"user","content":"hello"}]}`
const helloStream = `{"model":"` + model + `","stream":true,"messages":[{"role":"user","content":"hello"}]}`

// answerJSON is a provider's answer with the given usage.
func answerJSON(ctx *fasthttp.RequestCtx, in, out int) {
	ctx.SetContentType("application/json")
	_ = json.NewEncoder(ctx).Encode(map[string]any{
		"id": "chatcmpl-1", "object": "chat.completion", "model": model + "-2025-08-07",
		"choices": []any{map[string]any{"index": 0, "finish_reason": "stop", "message": map[string]any{"role": "assistant", "content": "hi there"}}},
		"usage":   map[string]any{"prompt_tokens": in, "completion_tokens": out, "total_tokens": in + out},
	})
}

// streamJSON makes the provider answer with the given SSE lines, flushing each. A
// line "wait" waits until release is closed.
func streamLines(release <-chan struct{}, lines ...string) func(ctx *fasthttp.RequestCtx) {
	return func(ctx *fasthttp.RequestCtx) {
		ctx.SetContentType("text/event-stream")
		ctx.SetBodyStreamWriter(func(w *bufio.Writer) {
			for _, line := range lines {
				if line == "wait" {
					_ = w.Flush()
					<-release
					continue
				}
				_, _ = w.WriteString("data: " + line + "\n\n")
				_ = w.Flush()
			}
		})
	}
}

const (
	chunkRole   = `{"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}],"usage":null}`
	chunkHello  = `{"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"hello"},"finish_reason":null}],"usage":null}`
	chunkFinish = `{"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":null}`
	chunkUsage  = `{"id":"c","object":"chat.completion.chunk","choices":[],"usage":{"prompt_tokens":11,"completion_tokens":3,"total_tokens":14}}`
	done        = `[DONE]`
)

func listen(t testing.TB) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	return ln
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func indent(text, by string) string {
	var b strings.Builder
	for line := range strings.SplitSeq(strings.TrimRight(text, "\n"), "\n") {
		b.WriteString(by + line + "\n")
	}
	return b.String()
}

// ends waits until n requests have their final record, and returns all records.
func (r *rig) records(ends int) []*event.Envelope {
	r.t.Helper()
	deadline := time.Now().Add(5 * time.Second)
	for {
		all := r.read()
		n := 0
		for _, e := range all {
			if e.GetCompleted() != nil || e.GetDenied() != nil {
				n++
			}
		}
		if n >= ends {
			return all
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("unexpected number of final records after 5 s; got %d; want %d", n, ends)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// read returns all that the spool has recorded, in order.
func (r *rig) read() []*event.Envelope {
	r.t.Helper()
	reader, err := r.spool.NewReader()
	must(r.t, err)
	defer reader.Close()
	var out []*event.Envelope
	for {
		rec, err := reader.Next()
		if err == io.EOF {
			return out
		}
		must(r.t, err)
		if _, err := event.OpenSeal(rec.Bytes); err != nil {
			r.t.Fatal(err)
		}
		e := &event.Envelope{}
		must(r.t, e.UnmarshalVT(rec.Bytes))
		out = append(out, e)
	}
}
