package simulator

import (
	"errors"
	"net"
	"os"
	"syscall"
	"time"
)

// wait lets time pass and meanwhile looks at the socket. It returns false, and
// counts it, as soon as the client has hung up. Nothing is read from conn. Only
// the goroutine that serves conn may call it.
func (s *Server) wait(conn net.Conn, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	until := time.Now().Add(d)
	open := watch(conn, until)
	if !open {
		return false
	}
	// Something came in while the answer was awaited, as from a client that
	// pipelines: the socket cannot be watched further.
	time.Sleep(time.Until(until))
	return true
}

// watch returns false if the peer closes the connection before the deadline, and
// true at the deadline or as soon as there is something to read.
func watch(conn net.Conn, until time.Time) bool {
	sc, ok := conn.(syscall.Conn)
	if !ok {
		return true
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return false
	}
	if err := conn.SetReadDeadline(until); err != nil {
		return false
	}
	defer conn.SetReadDeadline(time.Time{})
	open := true
	err = raw.Read(func(fd uintptr) bool {
		var one [1]byte
		n, _, err := syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		if err == syscall.EAGAIN || err == syscall.EINTR {
			return false // not ready: sleep until it is, or until the deadline
		}
		open = err == nil && n > 0
		return true
	})
	return open && (err == nil || errors.Is(err, os.ErrDeadlineExceeded))
}
