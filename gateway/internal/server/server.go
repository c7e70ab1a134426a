// Package server is HTTP in and HTTP out: listeners, bounds and routes.
package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"syscall"

	"github.com/valyala/fasthttp"

	"github.com/tallygate/tallygate/gateway/internal/apierror"
	"github.com/tallygate/tallygate/gateway/internal/pipeline"
	"github.com/tallygate/tallygate/schemas/config"
)

// Server is the data plane.
type Server struct {
	connectionLimit int
	http            *fasthttp.Server
	pipeline        *pipeline.Pipeline
}

// New returns the data plane's server. It does not listen yet.
func New(conf *config.Gateway, p *pipeline.Pipeline, log *slog.Logger) *Server {
	s := &Server{pipeline: p, connectionLimit: conf.ConnectionLimit}
	s.http = &fasthttp.Server{
		Name:                  "tallygate",
		NoDefaultServerHeader: true,
		Handler:               s.serve,
		ErrorHandler:          s.unreadable,
		ReadTimeout:           conf.ReadTimeout,
		IdleTimeout:           conf.IdleTimeout,
		MaxRequestBodySize:    int(conf.BodyLimitBytes),
		ReadBufferSize:        conf.HeaderLimitBytes,
		// fullListener keeps the limit and says so in the client's dialect; here it must never be met.
		Concurrency:                   2 * conf.ConnectionLimit,
		DisableHeaderNamesNormalizing: false,
		DisablePreParseMultipartForm:  true,
		NoDefaultContentType:          true,
		NoDefaultDate:                 false,
		CloseOnShutdown:               true,
		// Parse errors would log raw headers, Authorization included.
		SecureErrorLogMessage: true,
		Logger:                quiet{log},
		// WriteTimeout would bound a whole stream; the listener bounds each write instead.
	}
	return s
}

// Serve serves until Shutdown.
func (s *Server) Serve(ln net.Listener) error {
	return s.http.Serve(&fullListener{Listener: ln, server: s, limit: int64(s.connectionLimit)})
}

// Shutdown stops listening and waits for running calls, at most until ctx is done.
func (s *Server) Shutdown(ctx context.Context) error { return s.http.ShutdownWithContext(ctx) }

func (s *Server) serve(ctx *fasthttp.RequestCtx) {
	op, allow := find(ctx)
	if allow != "" {
		ctx.Response.Header.Set("Allow", allow)
	}
	s.pipeline.Serve(ctx, op)
}

// unreadable answers what is no request that can be served.
func (s *Server) unreadable(ctx *fasthttp.RequestCtx, err error) {
	var small *fasthttp.ErrSmallBuffer
	var timeout net.Error
	ctx.Response.Reset()
	ctx.SetConnectionClose()
	linger(ctx.Conn())
	switch {
	case errors.As(err, &small):
		s.pipeline.Reject(ctx, apierror.HeadersTooLarge, "")
	case errors.Is(err, fasthttp.ErrBodyTooLarge):
		s.pipeline.Reject(ctx, apierror.BodyTooLarge, "")
	case errors.As(err, &timeout) && timeout.Timeout():
		s.pipeline.Reject(ctx, apierror.RequestTimeout, "")
	default:
		// The error's text may hold what the client sent.
		s.pipeline.Reject(ctx, apierror.BadRequest, "The request is not valid HTTP/1.1.")
	}
}

// Listen opens a TCP listener. variable is the environment variable that changes the address.
func Listen(addr, variable string) (net.Listener, error) {
	ln, err := net.Listen("tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("cannot listen on %s: address already in use; stop the other process or set %s", addr, variable)
	}
	if errors.Is(err, os.ErrPermission) {
		return nil, fmt.Errorf("cannot listen on %s: %w; use a port above 1023 or set %s", addr, err, variable)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s: %w; set %s", addr, err, variable)
	}
	return ln, nil
}

// quiet takes the library's log lines. What clients do wrong is in the record, not in the log.
type quiet struct{ log *slog.Logger }

func (q quiet) Printf(format string, args ...any) {
	q.log.Debug("http", "message", fmt.Sprintf(format, args...))
}
