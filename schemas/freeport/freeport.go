// Package freeport finds ports for processes that must be told theirs: one that is
// started again over the same data keeps its address, so it cannot ask for any.
package freeport

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
)

// Ports are taken from below the range that systems give out for outgoing
// connections (Linux: from 32768): one of those can take a port between the moment
// that it was found free and the moment that it is used.
const (
	first = 20_000
	last  = 32_000
	tries = 1_000
)

var (
	mu    sync.Mutex
	given = map[int]bool{}
)

// Addr returns a loopback address on which nobody listens. It gives none twice.
func Addr() (string, error) {
	mu.Lock()
	defer mu.Unlock()
	var err error
	for range tries {
		port := first + rand.IntN(last-first)
		if given[port] {
			continue
		}
		var ln net.Listener
		addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		if ln, err = net.Listen("tcp", addr); err != nil {
			continue
		}
		_ = ln.Close()
		given[port] = true
		return addr, nil
	}
	return "", fmt.Errorf("cannot find a free port from %d to %d: %w", first, last, err)
}
