package load

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// connectPause is how long a connection of a closed loop waits before it tries
// again to reach a target that is away.
const connectPause = 20 * time.Millisecond

// runClosed keeps one call under way on each connection from begin to end, or until the
// scenario's number of calls was sent.
func runClosed(ctx context.Context, s *Scenario, to destination, r *requests, t *tally, begin, end time.Time) {
	time.Sleep(time.Until(begin))
	var next atomic.Int64
	var conns sync.WaitGroup
	for range s.Connections {
		conns.Go(func() {
			c := closedConn{to: to, timeout: s.Timeout, requests: r}
			defer c.close()
			for ctx.Err() == nil && time.Now().Before(end) {
				n := next.Add(1) - 1
				if s.Calls > 0 && n >= s.Calls {
					return
				}
				call, err := c.do(n)
				t.finish(&call, &c.answer, err)
				if err != nil && c.wire == nil && c.answer.status == 0 {
					time.Sleep(connectPause)
				}
			}
		})
	}
	conns.Wait()
}

type closedConn struct {
	to       destination
	timeout  time.Duration
	requests *requests
	wire     *wire
	answer   answer
}

// do makes one call.
func (c *closedConn) do(n int64) (call, error) {
	request, stream := c.requests.at(n)
	now := time.Now()
	made := call{number: n, stream: stream, due: now, sent: now}
	c.answer.status = 0
	if c.wire == nil {
		w, err := dial(c.to.addr)
		if err != nil {
			return made, fmt.Errorf("%w: %w", errConnect, err)
		}
		c.wire = w
	}
	err := c.wire.SetDeadline(now.Add(c.timeout))
	if err == nil {
		_, err = c.wire.Write(request)
	}
	if err == nil {
		err = c.wire.receive(&c.answer)
	}
	if err != nil || c.answer.closing {
		c.close()
	}
	return made, err
}

func (c *closedConn) close() {
	if c.wire != nil {
		c.wire.Close()
		c.wire = nil
	}
}
