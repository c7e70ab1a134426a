package upstream

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/valyala/fasthttp"
)

// earlyWait bounds waiting for an answer after a request could not be sent whole.
const earlyWait = 200 * time.Millisecond

// Call is one attempt to get an answer. It is used again after Reset.
type Call struct {
	// Request is what is sent. It is not changed.
	Request fasthttp.Request
	// Header is the answer's status and headers, after Do.
	Header fasthttp.ResponseHeader
	// StartedAt is when Do began; FirstByteAt when the answer's first byte came.
	StartedAt, FirstByteAt time.Time
	// Sent says that the whole request was written: the provider may have acted on it.
	Sent bool

	pool *Pool
	end  time.Time
	// spoilt says that the connection is of no more use: the answer came before the
	// request was sent, or was cut or broken.
	spoilt bool
	// complete says that the caller knows the answer to be whole.
	complete bool
	body     body

	// mu guards what Abort touches.
	mu      sync.Mutex
	conn    *conn
	cancel  context.CancelFunc
	aborted bool
}

// Reset makes a call ready for another attempt. It must not be under way.
func (c *Call) Reset() {
	c.Request.Reset()
	c.Header.Reset()
	c.StartedAt, c.FirstByteAt, c.Sent = time.Time{}, time.Time{}, false
	c.pool, c.end, c.spoilt, c.complete, c.body = nil, time.Time{}, false, false, body{}
	c.mu.Lock()
	c.conn, c.aborted = nil, false
	c.mu.Unlock()
}

// Do sends the request and reads the answer's head. After an error the call is
// closed; after nil the caller reads the body and must Close. Where an idle
// connection turns out to be closed before the request was written, it takes
// another one: nothing that a provider may have acted on is sent twice.
func (p *Pool) Do(c *Call) error {
	now := time.Now()
	c.pool, c.StartedAt, c.end = p, now, now.Add(p.opts.TotalTimeout)
	for fresh := false; ; fresh = true {
		cn, reused, err := p.get(c, now, fresh)
		if err != nil {
			return c.why(err)
		}
		if !c.attach(cn) {
			p.discard(cn)
			return ErrAborted
		}
		err = c.send(cn, now)
		if err == nil || !reused && c.answeredEarly(cn, now) {
			if err = c.head(cn); err == nil {
				return nil
			}
			c.drop()
			return c.why(err)
		}
		c.drop()
		var timeout interface{ Timeout() bool }
		if !reused || fresh || c.isAborted() || errors.As(err, &timeout) && timeout.Timeout() {
			return c.why(failed(err, false))
		}
	}
}

func (c *Call) send(cn *conn, now time.Time) error {
	until := now.Add(c.pool.opts.FirstByteTimeout)
	cn.readUntil = until
	if err := cn.SetDeadline(until); err != nil {
		return err
	}
	cn.bw.Reset(cn.Conn)
	if err := c.Request.Write(cn.bw); err != nil {
		return err
	}
	if err := cn.bw.Flush(); err != nil {
		return err
	}
	c.Sent = true
	return nil
}

// answeredEarly says if the provider answered, most likely with a refusal, instead
// of reading all of the request.
func (c *Call) answeredEarly(cn *conn, now time.Time) bool {
	c.spoilt = true
	cn.readUntil = now.Add(earlyWait)
	if cn.SetReadDeadline(cn.readUntil) != nil {
		return false
	}
	_, err := cn.br.Peek(1)
	return err == nil
}

// head reads the answer's head, past interim answers.
func (c *Call) head(cn *conn) error {
	if _, err := cn.br.Peek(1); err != nil {
		return failed(err, false)
	}
	c.FirstByteAt = time.Now()
	for {
		if err := c.Header.Read(cn.br); err != nil {
			return failed(err, true)
		}
		if code := c.Header.StatusCode(); code < 100 || code > 199 {
			break
		}
		if c.Header.StatusCode() == fasthttp.StatusSwitchingProtocols {
			return errChunk
		}
	}
	c.body.start(&c.Header)
	return nil
}

// Abort ends the call from any goroutine: Do and Read then return ErrAborted. It
// never touches a connection that the call has given back.
func (c *Call) Abort() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.aborted = true
	if c.cancel != nil {
		c.cancel()
	}
	if c.conn != nil {
		_ = c.conn.tcp.Close()
	}
}

// dialing notes how a dial can be cancelled, or that it has ended. It returns false
// if the call was aborted.
func (c *Call) dialing(cancel context.CancelFunc) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cancel = cancel
	return !c.aborted
}

// Complete says that the answer is whole by its content, as a stream is after its
// last event, although the end of its framing may still be on its way.
func (c *Call) Complete() { c.complete = true }

// Close gives the connection back to the pool if the answer was read to its end, and
// else closes it, which tells the provider to stop. After Complete it does not wait
// for the end of a chunked answer: the connection's next user reads it.
func (c *Call) Close() {
	c.mu.Lock()
	cn, aborted := c.conn, c.aborted
	c.mu.Unlock()
	if cn == nil {
		return
	}
	if aborted || !c.body.ended(c.complete) || c.spoilt || c.Header.ConnectionClose() {
		c.drop()
		return
	}
	c.mu.Lock()
	c.conn, aborted = nil, c.aborted
	c.mu.Unlock()
	if aborted {
		c.pool.discard(cn)
		return
	}
	cn.rest = c.body
	c.pool.put(cn, time.Now())
}

// attach makes a connection the call's own, unless the call was aborted.
func (c *Call) attach(cn *conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.aborted {
		return false
	}
	c.conn = cn
	return true
}

// drop closes the call's connection.
func (c *Call) drop() {
	c.mu.Lock()
	cn := c.conn
	c.conn = nil
	c.mu.Unlock()
	if cn != nil {
		c.pool.discard(cn)
	}
}

func (c *Call) isAborted() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.aborted
}

// why returns ErrAborted in place of what an abort led to.
func (c *Call) why(err error) error {
	if c.isAborted() {
		return ErrAborted
	}
	return err
}
