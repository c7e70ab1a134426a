package load

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/tallygate/tallygate/loadtest/internal/proc"
)

var (
	errTimeout = errors.New("no answer in time")
	errUnsent  = errors.New("no connection was free until the end")
)

// openLoop sends calls at a fixed rate until end. One thread sends them all, each
// at its own moment; if no connection is free it waits, and the calls that become
// due meanwhile are sent late, which counts as their latency.
type openLoop struct {
	to       destination
	requests *requests
	tally    *tally
	timeout  time.Duration
	conns    []*openConn
	free     chan *openConn
	stopped  chan struct{}
}

// openConn is a connection and the call that is under way on it. A goroutine of
// its own reads; the dispatcher writes, unless there is no connection yet.
type openConn struct {
	loop *openLoop
	jobs chan call // calls for which the connection must first be made

	mu       sync.Mutex
	wire     *wire
	busy     bool
	call     call
	timedOut bool
}

func runOpen(ctx context.Context, s *Scenario, to destination, r *requests, t *tally, begin, end time.Time) {
	l := &openLoop{
		to: to, requests: r, tally: t, timeout: s.Timeout,
		free: make(chan *openConn, s.Connections), stopped: make(chan struct{}),
	}
	var readers sync.WaitGroup
	for range s.Connections {
		c := &openConn{loop: l, jobs: make(chan call, 1)}
		// What fails here is tried again, and counted, when the connection is needed.
		c.wire, _ = dial(to.addr)
		l.conns = append(l.conns, c)
		l.free <- c
		readers.Go(c.serve)
	}
	readers.Go(l.watch)
	l.dispatch(ctx, s, begin, end)
	l.drain()
	close(l.stopped)
	for _, c := range l.conns {
		c.close()
	}
	readers.Wait()
}

// dispatch sends the calls that are due from begin to end.
func (l *openLoop) dispatch(ctx context.Context, s *Scenario, begin, end time.Time) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	// Without it, calls are sent some 50 µs late: the lag shows it.
	_ = proc.Precise()
	interval := float64(time.Second) / s.Rate
	giveUp := time.NewTimer(time.Until(end) + l.timeout)
	defer giveUp.Stop()
	unsent := false
	for n := int64(0); s.Calls == 0 || n < s.Calls; n++ {
		due := begin.Add(time.Duration(float64(n) * interval))
		if !due.Before(end) || ctx.Err() != nil {
			return
		}
		proc.SleepUntil(due)
		c := call{number: n, due: due}
		if !unsent {
			select {
			case conn := <-l.free:
				conn.send(c)
				continue
			case <-giveUp.C:
				unsent = true
			case <-ctx.Done():
				return
			}
		}
		c.sent = time.Now()
		l.tally.finish(&c, &answer{}, errUnsent)
	}
}

// drain waits until no call is under way; the watch ends those that take too long.
func (l *openLoop) drain() {
	for range l.conns {
		<-l.free
	}
}

// watch ends calls that take too long.
func (l *openLoop) watch() {
	tick := time.NewTicker(min(50*time.Millisecond, l.timeout/4+time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-l.stopped:
			return
		case now := <-tick.C:
			for _, c := range l.conns {
				c.expire(now)
			}
		}
	}
}

func (c *openConn) expire(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.busy && c.wire != nil && now.Sub(c.call.sent) > c.loop.timeout {
		c.timedOut = true
		c.wire.Close()
	}
}

func (c *openConn) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.wire != nil {
		c.wire.Close()
	}
	close(c.jobs)
}

// send writes the call's request, or leaves it to serve where there is no connection.
func (c *openConn) send(call call) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.wire == nil {
		c.jobs <- call
		return
	}
	c.write(call)
}

// write sends a request. If that fails the connection is closed, and who reads
// from it reports the call's end. The caller holds mu.
func (c *openConn) write(call call) {
	request, stream := c.loop.requests.at(call.number)
	call.stream, call.sent = stream, time.Now()
	c.call, c.busy, c.timedOut = call, true, false
	if _, err := c.wire.Write(request); err != nil {
		c.wire.Close()
	}
}

// serve reads answers until the loop stops.
func (c *openConn) serve() {
	var a answer
	for {
		c.mu.Lock()
		w := c.wire
		c.mu.Unlock()
		if w == nil {
			job, ok := <-c.jobs
			if !ok {
				return
			}
			c.connect(job)
			continue
		}
		_, err := w.r.Peek(1)
		c.mu.Lock()
		busy, call := c.busy, c.call
		c.mu.Unlock()
		if err == nil && busy {
			err = w.receive(&a)
		} else {
			a.status = 0
			if err == nil {
				err = fmt.Errorf("%w: it came before the request", errMalformed)
			}
		}
		c.settle(w, busy, &call, &a, err)
	}
}

// settle ends the call, if there was one, and the connection, if it cannot be used again.
func (c *openConn) settle(w *wire, busy bool, call *call, a *answer, err error) {
	c.mu.Lock()
	if c.timedOut {
		err = errTimeout
	}
	if err != nil || a.closing {
		w.Close()
		c.wire = nil
	}
	if err != nil && !busy && c.busy {
		// The call was written while the connection was seen to be closed.
		busy, *call = true, c.call
	}
	c.busy = false
	c.mu.Unlock()
	if busy {
		c.loop.tally.finish(call, a, err)
		c.loop.free <- c
	}
}

// connect makes the connection and sends the call that waits for it.
func (c *openConn) connect(job call) {
	w, err := dial(c.loop.to.addr)
	if err != nil {
		job.sent = time.Now()
		c.loop.tally.finish(&job, &answer{}, fmt.Errorf("%w: %w", errConnect, err))
		c.loop.free <- c
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wire = w
	c.write(job)
}
