package pipeline

import (
	"fmt"
	"time"

	"github.com/tallygate/tallygate/gateway/internal/apierror"
	"github.com/tallygate/tallygate/gateway/internal/counter"
	"github.com/tallygate/tallygate/schemas/decide"
)

// limit ends a request that would exceed a limit on requests of its key, app, team or org.
func limit(r *Request) *Denial {
	return r.take(r.key.Requests, 1)
}

// take asks all limits for n units, and takes them from all or from none.
func (r *Request) take(limits []*counter.Limit, n uint64) *Denial {
	for i, l := range limits {
		v := l.Take(r.now, n)
		r.readLimit(l, n, &v)
		if v.Allowed {
			continue
		}
		for _, before := range limits[:i] {
			before.Adjust(r.now, -int64(n))
		}
		return r.denyRate(l, n, &v)
	}
	return nil
}

func (r *Request) denyRate(l *counter.Limit, n uint64, v *decide.RateVerdict) *Denial {
	unit := l.Rule.Unit()
	if v.WaitNanos < 0 {
		d := r.deny(apierror.RateLimited, l.Rule.ID, fmt.Sprintf(
			"The request asks for up to %d %s at once; the limit %q lets at most %d pass. Ask for less, for example with a lower max_completion_tokens.",
			n, unit, l.Rule.ID, l.Rule.Rate.Burst))
		return d
	}
	d := r.deny(apierror.RateLimited, l.Rule.ID, fmt.Sprintf(
		"The limit %q of %d %s per %s is reached.", l.Rule.ID, l.Rule.Rate.Amount, unit, time.Duration(l.Rule.Rate.PerNanos)))
	d.RetryAfterMs = uint64((v.WaitNanos + int64(time.Millisecond) - 1) / int64(time.Millisecond))
	return d
}

// readLimit records what the limit was when it was asked.
func (r *Request) readLimit(l *counter.Limit, n uint64, v *decide.RateVerdict) {
	reading := r.readings.next()
	reading.Reset()
	reading.Rule, reading.Kind = l.Rule.ID, l.Rule.Unit()
	reading.Limit, reading.Used, reading.Asked = int64(l.Rule.Rate.Burst), v.Used, int64(n)
}
