package counter

import (
	"sync/atomic"

	"github.com/tallygate/tallygate/schemas/decide"
	"github.com/tallygate/tallygate/schemas/policy"
)

// Limit is a rate limit's rule with its live cell.
type Limit struct {
	Rule *policy.Limit
	cell *atomic.Int64
}

// Take asks for n units at a moment (nanoseconds since the Unix epoch), and takes
// them if they are allowed.
func (l *Limit) Take(now int64, n uint64) decide.RateVerdict {
	for {
		state := l.cell.Load()
		v := l.Rule.Rate.Take(state, now, n)
		if !v.Allowed || l.cell.CompareAndSwap(state, v.Next) {
			return v
		}
	}
}

// Adjust takes n units more, or gives back if negative. It never refuses: they are used already.
func (l *Limit) Adjust(now, n int64) {
	if n == 0 {
		return
	}
	for {
		state := l.cell.Load()
		if l.cell.CompareAndSwap(state, l.Rule.Rate.Adjust(state, now, n)) {
			return
		}
	}
}

// Left returns how many units could be taken at a moment.
func (l *Limit) Left(now int64) uint64 { return l.Rule.Rate.Left(l.cell.Load(), now) }
