// Package simulator is a stand-in for an LLM provider. It speaks OpenAI's chat
// completions, JSON and streams; the same request gets the same answer, byte for
// byte, with the same token counts. Directives make it slow, faulty or rude, for
// all requests or for one; see Behaviour.Apply.
package simulator

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

// Config is what holds for the whole process.
type Config struct {
	// Behaviour is how requests without directives are treated.
	Behaviour Behaviour
	// Seed is where draws of fates and times begin.
	Seed uint64
	// Keys are those accepted; without any, every request is, also one without a key.
	Keys []string
	// Models are those that /v1/models lists. Chat takes any name.
	Models []string
	// AllowUnknown accepts request fields that the provider does not document.
	AllowUnknown bool
	// Obfuscate adds the provider's random padding to stream events unless the
	// request says otherwise. The provider does so; it costs time here.
	Obfuscate bool
}

// bodyLimitBytes bounds request bodies.
const bodyLimitBytes = 64 << 20

// Server answers as the provider would.
type Server struct {
	cfg    Config
	keys   map[string]bool // "Bearer …"
	models []byte
	stats  stats
	number atomic.Uint64
	http   *fasthttp.Server
}

// New returns a server that does not yet listen.
func New(cfg Config) *Server {
	s := &Server{cfg: cfg, keys: map[string]bool{}, models: modelList(cfg.Models)}
	for _, k := range cfg.Keys {
		s.keys["Bearer "+k] = true
	}
	s.http = &fasthttp.Server{
		Handler:               s.handle,
		Name:                  "simulator",
		MaxRequestBodySize:    bodyLimitBytes,
		ReadBufferSize:        16 << 10,
		WriteBufferSize:       16 << 10,
		IdleTimeout:           5 * time.Minute,
		TCPKeepalive:          true,
		SecureErrorLogMessage: true,
		CloseOnShutdown:       true,
		ErrorHandler:          onReadError,
	}
	return s
}

// Serve answers connections of ln until Shutdown.
func (s *Server) Serve(ln net.Listener) error { return s.http.Serve(ln) }

// Shutdown stops listening and waits for answers under way, until ctx ends.
func (s *Server) Shutdown(ctx context.Context) error { return s.http.ShutdownWithContext(ctx) }

// Stats returns the counters.
func (s *Server) Stats() Stats { return s.stats.read() }

// onReadError answers a request that could not be read as HTTP.
func onReadError(ctx *fasthttp.RequestCtx, err error) {
	if errors.Is(err, fasthttp.ErrBodyTooLarge) {
		(&refusal{status: 413, kind: "invalid_request_error", message: "Request too large."}).write(&ctx.Response)
		return
	}
	invalid("", "The request is not valid HTTP.").write(&ctx.Response)
}

func (s *Server) handle(ctx *fasthttp.RequestCtx) {
	n := s.number.Add(1)
	s.setRequestID(ctx, n)
	path := string(ctx.Path())
	switch path {
	case "/v1/chat/completions":
		if s.allowed(ctx, "POST") && s.authorized(ctx) {
			s.chat(ctx, n)
		}
	case "/v1/models":
		if s.allowed(ctx, "GET") && s.authorized(ctx) {
			ctx.SetContentType("application/json")
			ctx.SetBody(s.models)
		}
	case "/stats":
		if s.allowed(ctx, "GET") {
			ctx.SetContentType("application/json")
			ctx.SetBody(s.Stats().json())
		}
	case "/stats/reset":
		if s.allowed(ctx, "POST") {
			s.stats.reset()
			ctx.SetStatusCode(204)
		}
	case "/healthz":
		ctx.SetBodyString("ok\n")
	default:
		s.other(ctx, path)
	}
}

func (s *Server) setRequestID(ctx *fasthttp.RequestCtx, n uint64) {
	var buf [20]byte
	ctx.Response.Header.SetBytesV("X-Request-Id", appendHex(append(buf[:0], "req_"...), mix(s.cfg.Seed^n)))
}

func (s *Server) allowed(ctx *fasthttp.RequestCtx, method string) bool {
	if string(ctx.Method()) == method {
		return true
	}
	ctx.Response.Header.Set("Allow", method)
	(&refusal{
		status: 405, kind: "invalid_request_error", code: "method_not_supported",
		message: fmt.Sprintf("Not allowed to %s on %s.", ctx.Method(), ctx.Path()),
	}).write(&ctx.Response)
	return false
}

func (s *Server) authorized(ctx *fasthttp.RequestCtx) bool {
	if len(s.keys) == 0 || s.keys[string(ctx.Request.Header.Peek("Authorization"))] {
		return true
	}
	s.stats.requests.Add(1)
	s.stats.invalid.Add(1)
	(&refusal{
		status: 401, kind: "invalid_request_error", code: "invalid_api_key", message: "Incorrect API key provided.",
	}).write(&ctx.Response)
	return false
}

// other answers paths that are not in the table.
func (s *Server) other(ctx *fasthttp.RequestCtx, path string) {
	name, ok := strings.CutPrefix(path, "/v1/models/")
	switch {
	case !ok:
		(&refusal{
			status: 404, kind: "invalid_request_error",
			message: fmt.Sprintf("Invalid URL (%s %s)", ctx.Method(), path),
		}).write(&ctx.Response)
	case s.allowed(ctx, "GET") && s.authorized(ctx):
		ctx.SetContentType("application/json")
		ctx.SetBody(appendModel(nil, name))
	}
}

func (s *Server) chat(ctx *fasthttp.RequestCtx, n uint64) {
	s.stats.requests.Add(1)
	req, wrong := parseChat(ctx.PostBody(), s.cfg.AllowUnknown, s.cfg.Obfuscate)
	b := s.cfg.Behaviour
	if wrong == nil {
		wrong = req.direct(&b)
	}
	if wrong != nil {
		s.stats.invalid.Add(1)
		wrong.write(&ctx.Response)
		return
	}
	random := drawsFor(s.cfg.Seed, n)
	fate := b.fate(&random)
	s.stats.fates[fate].Add(1)
	conn := ctx.Conn()
	latency := b.Latency.Draw(&random)
	if !b.HeadersFirst && !s.wait(conn, latency) {
		s.stats.hangUps.Add(1)
		hangUp(ctx, nil)
		return
	}
	if !b.HeadersFirst {
		latency = 0
	}
	s.answer(ctx, &req, &b, fate, latency, random)
}

// direct applies the directives of the request: of the model's name, then of
// the user, then of the metadata.
func (req *chatRequest) direct(b *Behaviour) *refusal {
	for _, directives := range [...]string{req.modelDirectives, userDirectives(req.user), req.metadata} {
		if directives == "" {
			continue
		}
		if err := b.Apply(directives); err != nil {
			return invalid("model", "simulator: "+err.Error())
		}
	}
	return nil
}

func userDirectives(user string) string {
	directives, ok := strings.CutPrefix(user, directivesMark)
	if !ok {
		return ""
	}
	return directives
}

// hangUp closes the connection after the given bytes, instead of an answer.
func hangUp(ctx *fasthttp.RequestCtx, send func(net.Conn)) {
	ctx.HijackSetNoResponse(true)
	ctx.Hijack(func(c net.Conn) {
		if send != nil {
			send(c)
		}
	})
}
