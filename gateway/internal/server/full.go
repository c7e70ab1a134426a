package server

import (
	"net"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/tallygate/tallygate/gateway/internal/apierror"
)

const (
	// refusalsMax bounds the connections beyond the limit that are being answered;
	// further ones are closed without a word.
	refusalsMax = 64
	// refusalTimeout bounds answering one of them.
	refusalTimeout = time.Second
)

// fullListener answers connections beyond a limit with an error and closes them.
type fullListener struct {
	net.Listener
	server *Server
	limit  int64
	open   atomic.Int64
	// refusing counts the connections that are being answered.
	refusing atomic.Int64
}

// Accept returns the next connection within the limit.
func (l *fullListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if l.open.Add(1) <= l.limit {
			return &countedConn{Conn: c, open: &l.open}, nil
		}
		l.open.Add(-1)
		if l.refusing.Add(1) > refusalsMax {
			l.refusing.Add(-1)
			_ = c.Close()
			continue
		}
		go l.refuse(c)
	}
}

// refuse answers without reading the request: what it would be is not known.
func (l *fullListener) refuse(c net.Conn) {
	defer l.refusing.Add(-1)
	defer c.Close()
	linger(c)
	_ = c.SetDeadline(time.Now().Add(refusalTimeout))
	var ctx fasthttp.RequestCtx
	ctx.SetConnectionClose()
	l.server.pipeline.Reject(&ctx, apierror.TooManyConnections, "")
	_, _ = ctx.Response.WriteTo(c)
}

// countedConn gives its place back when it is closed.
type countedConn struct {
	net.Conn
	open   *atomic.Int64
	closed atomic.Bool
}

// NetConn returns the connection inside.
func (c *countedConn) NetConn() net.Conn { return c.Conn }

// Close closes the connection.
func (c *countedConn) Close() error {
	if !c.closed.Swap(true) {
		c.open.Add(-1)
	}
	return c.Conn.Close()
}
