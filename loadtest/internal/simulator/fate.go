package simulator

import (
	"io"
	"net"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"
)

const (
	jsonType  = "application/json"
	sseType   = "text/event-stream; charset=utf-8"
	htmlType  = "text/html; charset=utf-8"
	plainType = "text/plain; charset=utf-8"
)

const webPage = "<!DOCTYPE html>\n<html><head><title>Welcome</title></head><body><h1>Please sign in to the network</h1></body></html>\n"

// answer does to the request what its fate says. With a latency, headers are
// sent at once and the rest after it.
func (s *Server) answer(ctx *fasthttp.RequestCtx, req *chatRequest, b *Behaviour, fate Fate, latency time.Duration, random draws) {
	conn := ctx.Conn()
	switch {
	case fate == Refused:
		refusalFor(b).write(&ctx.Response)
	case fate == Broken && !req.stream:
		refusalFor(&Behaviour{Status: 500}).write(&ctx.Response)
	case fate == Hung:
		hangUp(ctx, func(net.Conn) {
			if !s.wait(conn, waitMax) {
				s.stats.hangUps.Add(1)
			}
		})
	case fate == Dropped:
		hangUp(ctx, nil)
	case fate == HTML:
		ctx.SetContentType(htmlType)
		ctx.SetBodyString(webPage)
	case req.stream:
		s.answerStream(ctx, req, b, fate, latency, random)
	default:
		s.answerJSON(ctx, req, b, fate, latency)
	}
}

func (s *Server) answerStream(ctx *fasthttp.RequestCtx, req *chatRequest, b *Behaviour, fate Fate, latency time.Duration, random draws) {
	a := answerTo(req, b)
	a.metered = fate != Unmetered
	ctx.SetContentType(sseType)
	if fate == Mistyped {
		ctx.SetContentType(jsonType)
	}
	ctx.Response.Header.Set("Cache-Control", "no-cache")
	st := s.newStream(ctx.Conn(), req, a, b, fate, random)
	st.wait = latency
	ctx.Response.ImmediateHeaderFlush = latency > 0
	ctx.SetBodyStream(st, -1)
}

func (s *Server) answerJSON(ctx *fasthttp.RequestCtx, req *chatRequest, b *Behaviour, fate Fate, latency time.Duration) {
	a := answerTo(req, b)
	a.metered = fate != Unmetered
	ctx.SetContentType(jsonType)
	if fate == Mistyped {
		ctx.SetContentType(plainType)
	}
	body := a.appendJSON(ctx.Response.SwapBody(nil)[:0])
	switch fate {
	case Cut, Stalled:
		s.answerHalf(ctx, body, fate)
		s.stats.settle(&a, false, a.tokens/2)
		return
	case Garbled:
		body = append(body[:len(body)/2], "\x00<garbage>"...)
	}
	s.stats.settle(&a, fate != Garbled, 0)
	if latency == 0 {
		ctx.Response.SwapBody(body)
		return
	}
	ctx.Response.ImmediateHeaderFlush = true
	late := &lateBody{server: s, conn: ctx.Conn(), wait: latency, body: append([]byte(nil), body...)}
	ctx.SetBodyStream(late, len(body))
}

// answerHalf sends headers that promise the whole body, and half of it.
func (s *Server) answerHalf(ctx *fasthttp.RequestCtx, body []byte, fate Fate) {
	conn := ctx.Conn()
	head := append([]byte(nil), "HTTP/1.1 200 OK\r\nContent-Type: "+jsonType+"\r\nX-Request-Id: "...)
	head = append(head, ctx.Response.Header.Peek("X-Request-Id")...)
	head = append(head, "\r\nContent-Length: "...)
	head = strconv.AppendInt(head, int64(len(body)), 10)
	head = append(head, "\r\n\r\n"...)
	half := append(head, body[:len(body)/2]...)
	hangUp(ctx, func(c net.Conn) {
		if _, err := c.Write(half); err != nil {
			s.stats.hangUps.Add(1)
			return
		}
		if fate == Stalled && !s.wait(conn, waitMax) {
			s.stats.hangUps.Add(1)
		}
	})
}

// lateBody is a body that comes some time after its headers.
type lateBody struct {
	server *Server
	conn   net.Conn
	wait   time.Duration
	body   []byte
}

// Read waits once, then gives the body.
func (l *lateBody) Read(p []byte) (int, error) {
	if !l.server.wait(l.conn, l.wait) {
		l.server.stats.hangUps.Add(1)
		return 0, errCut
	}
	l.wait = 0
	n := copy(p, l.body)
	if l.body = l.body[n:]; n == 0 {
		return 0, io.EOF
	}
	return n, nil
}
