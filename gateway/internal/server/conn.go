package server

import (
	"io"
	"net"
	"time"
)

const (
	// lingerBytes and lingerTimeout bound what is read and thrown away from a client
	// that still sends a request which was answered with an error.
	lingerBytes   = 64 << 20
	lingerTimeout = 2 * time.Second
)

// Bounded wraps a listener so that a write that blocks longer than timeout fails.
// A stream as a whole may take as long as it wants.
func Bounded(ln net.Listener, timeout time.Duration) net.Listener {
	return boundedListener{ln, timeout}
}

type boundedListener struct {
	net.Listener
	timeout time.Duration
}

func (l boundedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &boundedConn{Conn: c, timeout: l.timeout}, nil
}

type boundedConn struct {
	net.Conn
	timeout time.Duration
	// until is the deadline that is set. Setting it anew for each write would cost
	// more than the write's own bookkeeping.
	until time.Time
	// linger makes Close wait until the client has read the answer.
	linger bool
}

// linger makes the connection's Close wait for the client. Closing a socket with
// unread bytes resets it, and a client that is still sending would then see a broken
// connection in place of the error that it was sent.
func linger(c net.Conn) {
	for {
		if b, ok := c.(*boundedConn); ok {
			b.linger = true
			return
		}
		inner, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			return
		}
		c = inner.NetConn()
	}
}

// Close closes the connection; after linger it first ends the sending side, and takes
// what the client sends until it closes, at most lingerBytes within lingerTimeout.
func (c *boundedConn) Close() error {
	if c.linger {
		if half, ok := c.Conn.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
			_ = c.Conn.SetReadDeadline(time.Now().Add(lingerTimeout))
			_, _ = io.CopyN(io.Discard, c.Conn, lingerBytes)
		}
	}
	return c.Conn.Close()
}

// NetConn returns the connection inside, for those who look at its socket.
func (c *boundedConn) NetConn() net.Conn { return c.Conn }

func (c *boundedConn) Write(b []byte) (int, error) {
	now := time.Now()
	// A write gets at least three quarters of its time.
	if c.until.Sub(now) < c.timeout-c.timeout/4 {
		c.until = now.Add(c.timeout)
		if err := c.Conn.SetWriteDeadline(c.until); err != nil {
			return 0, err
		}
	}
	return c.Conn.Write(b)
}
