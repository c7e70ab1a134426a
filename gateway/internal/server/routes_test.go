package server

import (
	"bufio"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"

	"github.com/tallygate/tallygate/gateway/internal/pipeline"
)

func TestFind(t *testing.T) {
	f := func(line string, want *pipeline.Operation, wantAllow string) {
		t.Helper()
		var ctx fasthttp.RequestCtx
		if err := ctx.Request.Read(bufio.NewReader(strings.NewReader(line + " HTTP/1.1\r\nHost: gateway\r\n\r\n"))); err != nil {
			t.Fatalf("cannot read the request %q: %s", line, err)
		}
		op, allow := find(&ctx)
		if op != want || allow != wantAllow {
			t.Fatalf("unexpected operation of %q; got %s %q, allow %q; want %s %q, allow %q", line, op.Name, op.Route, allow, want.Name, want.Route, wantAllow)
		}
	}
	f("POST /v1/chat/completions", pipeline.Chat, "")
	f("POST /v1/chat/completions?api-version=1", pipeline.Chat, "")
	f("GET /v1/models", pipeline.Models, "")
	f("GET /v1/models/gpt-5-mini", pipeline.Model, "")
	f("GET /v1/models/meta/llama-4", pipeline.Model, "")
	f("GET /v1/usage", pipeline.Usage, "")

	// One path has one meaning, however it is written.
	f("POST //v1//chat/completions", pipeline.Chat, "")
	f("POST /v1/%63hat/completions", pipeline.Chat, "")
	f("POST /v1/models/../chat/completions", pipeline.Chat, "")
	f("GET /v1/chat/../models", pipeline.Models, "")
	f("POST /v1/chat/completions/", pipeline.NoRoute, "")
	f("POST /V1/chat/completions", pipeline.NoRoute, "")
	f("GET /v1/models/", pipeline.NoRoute, "")
	f("GET /v1/modelsx", pipeline.NoRoute, "")
	f("GET /", pipeline.NoRoute, "")

	f("GET /v1/chat/completions", pipeline.NoMethod, "POST")
	f("post /v1/chat/completions", pipeline.NoMethod, "POST")
	f("HEAD /v1/models", pipeline.NoMethod, "GET")
	f("DELETE /v1/models/gpt-5-mini", pipeline.NoMethod, "GET")
	f("OPTIONS /v1/usage", pipeline.NoMethod, "GET")

	f("POST /v1/embeddings", pipeline.NotServed, "")
	f("POST /v1/images/generations", pipeline.NotServed, "")
	f("POST /v1beta/models/gemini:generateContent", pipeline.NotServed, "")
	f("POST /v1/embeddingsx", pipeline.NoRoute, "")
	f("POST /v1/completions", pipeline.NotServed, "")

	// Only a path may stand there: a host in it could speak for another one.
	f("GET http://other/v1/models", pipeline.BadTarget, "")
	f("OPTIONS *", pipeline.BadTarget, "")
}

// TestEveryRouteIsServed checks that a path in the table is found, and that none of
// them is also among those that are said to come later.
func TestEveryRouteIsServed(t *testing.T) {
	for i := range routes {
		r := &routes[i]
		for _, p := range later {
			if under([]byte(r.path), p) || under([]byte(p), r.path) {
				t.Fatalf("unexpected overlap of the route %q with %q, which is said to come later", r.path, p)
			}
		}
		if r.op == nil || r.method == "" || !strings.HasPrefix(r.path, "/") || strings.HasSuffix(r.path, "/") {
			t.Fatalf("unexpected route %+v", *r)
		}
	}
}
