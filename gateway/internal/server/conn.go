package server

import (
	"net"
	"time"
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
