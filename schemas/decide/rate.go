package decide

import "math/bits"

// Rate is a limit as the generic cell rate algorithm (GCRA) sees it: a cell's
// state is one number, the theoretical arrival time of the next conforming unit.
type Rate struct {
	// Amount units pass in each PerNanos, at most Burst of them at once.
	Amount, Burst uint64
	PerNanos      int64
}

// RateVerdict is the answer to one question to a Rate.
type RateVerdict struct {
	// Allowed says if the units may pass.
	Allowed bool
	// Next is the cell's state if they do.
	Next int64
	// Used is how many units of the burst are taken now, without the ones asked for.
	Used int64
	// WaitNanos is how long until they could pass; negative if they never can,
	// because they are more than the burst.
	WaitNanos int64
}

// Take asks for n units at a moment, given a cell's state. State and moment are
// nanoseconds since the Unix epoch; a fresh cell's state is zero.
func (r Rate) Take(state, now int64, n uint64) RateVerdict {
	from := max(state, now)
	v := RateVerdict{Used: int64(r.units(from - now))}
	if n > r.Burst {
		v.WaitNanos = -1
		return v
	}
	v.Next = saturatingAdd(from, r.nanos(n))
	if over := v.Next - now - r.nanos(r.Burst); over > 0 {
		v.WaitNanos = over
		return v
	}
	v.Allowed = true
	return v
}

// Adjust returns a cell's state after n units more (or fewer, if negative) than
// were taken turned out to be used. It never refuses: they are used already.
func (r Rate) Adjust(state, now int64, n int64) int64 {
	if n >= 0 {
		return saturatingAdd(max(state, now), r.nanos(uint64(n)))
	}
	return state - r.nanos(uint64(-n))
}

// Left returns how many units could be taken at a moment.
func (r Rate) Left(state, now int64) uint64 {
	used := r.units(max(state-now, 0))
	if used >= r.Burst {
		return 0
	}
	return r.Burst - used
}

// nanos is the time that n units take, rounded down, so that Amount units never
// take more than PerNanos.
func (r Rate) nanos(n uint64) int64 {
	hi, lo := bits.Mul64(n, uint64(r.PerNanos))
	if hi >= r.Amount {
		return endOfTime / 4
	}
	q, _ := bits.Div64(hi, lo, r.Amount)
	return int64(min(q, uint64(endOfTime/4)))
}

// units is how many units take the given time, rounded up.
func (r Rate) units(nanos int64) uint64 {
	if nanos <= 0 {
		return 0
	}
	hi, lo := bits.Mul64(uint64(nanos), r.Amount)
	if hi >= uint64(r.PerNanos) {
		return ^uint64(0) >> 1
	}
	q, rem := bits.Div64(hi, lo, uint64(r.PerNanos))
	if rem > 0 {
		q++
	}
	return min(q, ^uint64(0)>>1)
}
