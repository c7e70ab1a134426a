package pipeline

import (
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// watchEvery is how often the sockets of waiting clients are looked at.
	watchEvery = 100 * time.Millisecond
	// watchShards spreads the registrations, so that requests do not meet at one lock.
	watchShards = 256
)

// watcher closes the provider's call of a client that hung up. The server gives
// no sign of that while a handler runs, so the watcher looks at the socket.
type watcher struct {
	// cut makes it close all calls.
	cut    atomic.Bool
	next   atomic.Uint32
	shards [watchShards]watchShard
}

type watchShard struct {
	sync.Mutex
	requests []*Request
	_        [32]byte
}

// watched is a request's place in the watcher. Its lock guards Request.calling
// against the watcher, so that an abort never hits a later call.
type watched struct {
	sync.Mutex
	shard *watchShard
	index int
}

func (w *watcher) add(r *Request) {
	s := &w.shards[w.next.Add(1)%watchShards]
	s.Lock()
	r.watch.shard, r.watch.index = s, len(s.requests)
	s.requests = append(s.requests, r)
	s.Unlock()
}

// remove ends the watch over a request. It does nothing if there is none.
func (w *watcher) remove(r *Request) {
	s := r.watch.shard
	if s == nil {
		return
	}
	s.Lock()
	last := len(s.requests) - 1
	moved := s.requests[last]
	s.requests[r.watch.index] = moved
	moved.watch.index = r.watch.index
	s.requests[last] = nil
	s.requests = s.requests[:last]
	s.Unlock()
	r.watch.shard = nil
}

func (w *watcher) run(stop <-chan struct{}) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case now := <-tick.C:
			for i := range w.shards {
				w.shards[i].look(now, w.cut.Load())
			}
		}
	}
}

// look aborts the calls of requests whose client hung up, or all if cut is set. A
// request cannot leave the shard meanwhile, so its connection is still its own.
func (s *watchShard) look(now time.Time, cut bool) {
	s.Lock()
	defer s.Unlock()
	for _, r := range s.requests {
		// Most calls are short: those are not worth a system call.
		if !cut && (now.Sub(r.received) < watchEvery || !hungUp(r.ctx.Conn())) {
			continue
		}
		r.watch.Lock()
		if r.calling {
			r.call.Abort()
		}
		r.watch.Unlock()
	}
}

// hungUp looks at a socket without taking anything from it.
func hungUp(c net.Conn) bool {
	for {
		u, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			break
		}
		c = u.NetConn()
	}
	sc, ok := c.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return false
	}
	gone := false
	err = raw.Control(func(fd uintptr) {
		var b [1]byte
		n, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		gone = n == 0 && err == nil || err != nil && err != syscall.EAGAIN && err != syscall.EINTR
	})
	return gone || err != nil
}
