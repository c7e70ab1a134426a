package server

import (
	"bytes"

	"github.com/valyala/fasthttp"

	"github.com/tallygate/tallygate/gateway/internal/hot"
	"github.com/tallygate/tallygate/gateway/internal/pipeline"
)

// route is one path of the data plane. Everything that is served goes through the
// pipeline: there is no way around the rules or the record.
type route struct {
	method, path string
	// prefix says that the path goes on after a slash.
	prefix bool
	op     *pipeline.Operation
}

// routes are what is served.
var routes = []route{
	{method: fasthttp.MethodPost, path: "/v1/chat/completions", op: pipeline.Chat},
	{method: fasthttp.MethodGet, path: "/v1/models", op: pipeline.Models},
	{method: fasthttp.MethodGet, path: "/v1/models", prefix: true, op: pipeline.Model},
	{method: fasthttp.MethodGet, path: "/v1/usage", op: pipeline.Usage},
}

// later are APIs that clients may expect and that answer 501: see docs/api.md.
var later = []string{
	"/v1/responses", "/v1/embeddings", "/v1/moderations", "/v1/rerank", "/v1/completions", "/v1/messages", "/v1/images", "/v1/audio",
	"/v1/files", "/v1/batches", "/v1/uploads", "/v1/realtime", "/v1/assistants", "/v1/threads", "/v1/vector_stores", "/v1/conversations",
	"/v1/fine_tuning", "/v1/videos", "/v1/containers", "/v1/evals", "/v1/prompts", "/v1/feedback", "/v1beta",
}

// find returns the operation of a request, by its normalised path only, and for a
// known path with another method what that path allows.
func find(ctx *fasthttp.RequestCtx) (op *pipeline.Operation, allow string) {
	// An absolute-form target would let a Host of its own speak for the path.
	if target := ctx.Request.Header.RequestURI(); len(target) == 0 || target[0] != '/' {
		return pipeline.BadTarget, ""
	}
	method, path := ctx.Method(), ctx.Path()
	for i := range routes {
		if !routes[i].matches(path) {
			continue
		}
		if hot.StringOf(method) == routes[i].method {
			return routes[i].op, ""
		}
		allow = routes[i].method
	}
	if allow != "" {
		return pipeline.NoMethod, allow
	}
	for _, p := range later {
		if under(path, p) {
			return pipeline.NotServed, ""
		}
	}
	return pipeline.NoRoute, ""
}

func (r *route) matches(path []byte) bool {
	if r.prefix {
		return under(path, r.path) && len(path) > len(r.path)+1
	}
	return hot.StringOf(path) == r.path
}

// under says if a path is p or goes on after it with a slash.
func under(path []byte, p string) bool {
	return len(path) >= len(p) && hot.StringOf(path[:len(p)]) == p && (len(path) == len(p) || bytes.IndexByte(path[len(p):], '/') == 0)
}
