package upstream

import (
	"bufio"
	"net"
	"syscall"
	"time"
)

const (
	// readBuffer bounds an answer's head.
	readBuffer  = 16 << 10
	writeBuffer = 8 << 10
	// freshFor is how long an idle connection is taken for open without a look.
	freshFor = 5 * time.Millisecond
	// restWait bounds reading the end of the last answer, whose first byte is there.
	restWait = 5 * time.Millisecond
)

// conn is a connection to a provider. One call uses it at a time.
type conn struct {
	net.Conn
	br *bufio.Reader
	bw *bufio.Writer
	// tcp is the connection below TLS, or the same. Closing it never waits.
	tcp net.Conn
	// rest is what has still to be read of the last answer: the end of a chunked body
	// whose content was all there.
	rest body
	// idleSince is when it came back to the pool.
	idleSince time.Time
	// readUntil is the read deadline that is set.
	readUntil time.Time
	raw       syscall.RawConn
	// look is made once, since a closure a call would be an allocation.
	look    func(fd uintptr)
	gone    bool
	waiting bool
}

// newConn wraps a connection; tcp is the one below TLS, or the same.
func newConn(c, tcp net.Conn) *conn {
	out := &conn{Conn: c, br: bufio.NewReaderSize(c, readBuffer), bw: bufio.NewWriterSize(c, writeBuffer), tcp: tcp, rest: body{done: true}}
	if sc, ok := tcp.(syscall.Conn); ok {
		out.raw, _ = sc.SyscallConn()
	}
	out.look = func(fd uintptr) {
		var b [1]byte
		n, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		out.waiting = err == nil && n > 0
		out.gone = err == nil && n == 0 || err != nil && err != syscall.EAGAIN && err != syscall.EINTR
	}
	return out
}

// usable says if the provider has not closed an idle connection, which it may do
// at any time: a call on a closed one would be lost.
func (c *conn) usable(now time.Time, idleTimeout time.Duration) bool {
	idle := now.Sub(c.idleSince)
	if idle > idleTimeout || c.raw == nil {
		return false
	}
	if !c.rest.done {
		// What has not come by now is not waited for.
		if c.br.Buffered() == 0 && (c.raw.Control(c.look) != nil || !c.waiting) {
			return false
		}
		c.readUntil = now.Add(restWait)
		if c.SetReadDeadline(c.readUntil) != nil || c.rest.nextChunk(c.br) != nil || !c.rest.done {
			return false
		}
	} else if idle < freshFor && c.br.Buffered() == 0 {
		return true
	}
	if c.br.Buffered() > 0 || c.raw.Control(c.look) != nil {
		return false
	}
	// Nothing was asked, so whatever waits is no answer of ours. Under TLS it is most
	// often the goodbye before the connection's end.
	return !c.gone && !c.waiting
}

// boundRead sets the read deadline to timeout from now, but not after end. A
// deadline that leaves three quarters of it is left alone.
func (c *conn) boundRead(now time.Time, timeout time.Duration, end time.Time) error {
	until := now.Add(timeout)
	if until.After(end) {
		until = end
	}
	if left := until.Sub(c.readUntil); left >= 0 && left < timeout/4 {
		return nil
	}
	c.readUntil = until
	return c.SetReadDeadline(until)
}
