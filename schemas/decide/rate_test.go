package decide

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
	"time"
)

const start = int64(1_800_000_000_000_000_000) // 2027

// TestRateMatchesBucket compares with the plain picture of a rate limit: a bucket
// that holds Burst units and is refilled at Amount per PerNanos, in exact fractions.
func TestRateMatchesBucket(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	for range 300 {
		r := Rate{Amount: 1 + rnd.Uint64N(5000), PerNanos: int64(1+rnd.IntN(3600)) * int64(time.Second)}
		r.Burst = 1 + rnd.Uint64N(2*r.Amount)
		perUnit := r.PerNanos / int64(r.Amount)
		var (
			state, now = int64(0), start
			// level is the bucket's, in units; slack is what rounding down may have given away.
			level = new(big.Rat).SetUint64(r.Burst)
			slack = new(big.Rat)
			ulp   = big.NewRat(int64(r.Amount), r.PerNanos)
		)
		for range 300 {
			step := rnd.Int64N(3*perUnit + 2)
			now += step
			level.Add(level, new(big.Rat).Mul(ulp, big.NewRat(step, 1)))
			if full := new(big.Rat).SetUint64(r.Burst); level.Cmp(full) > 0 {
				level.Set(full)
			}
			n := 1 + rnd.Uint64N(min(r.Burst, 10))
			v := r.Take(state, now, n)
			after := new(big.Rat).Sub(level, new(big.Rat).SetUint64(n))
			low := new(big.Rat).Add(after, slack)
			if v.Allowed && low.Sign() < 0 {
				t.Fatalf("%+v lets %d pass with %s in the bucket", r, n, level.FloatString(9))
			}
			if !v.Allowed && after.Cmp(ulp) > 0 {
				t.Fatalf("%+v refuses %d with %s in the bucket", r, n, level.FloatString(9))
			}
			if v.Allowed {
				state, level = v.Next, after
				slack.Add(slack, ulp)
			}
		}
	}
}

func TestTakeInvariants(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	number := func(bits int) uint64 { return 1 + rnd.Uint64()>>(64-1-rnd.IntN(bits)) }
	for range 100_000 {
		r := Rate{Amount: number(40), Burst: number(40), PerNanos: int64(1+rnd.IntN(86400)) * int64(time.Second)}
		if r.nanos(r.Burst) == endOfTime/4 {
			continue // a burst of more than 70 years: see TestRateNeverOverflows
		}
		state, n := start+rnd.Int64N(int64(time.Hour))-int64(time.Hour)/2, number(40)
		v := r.Take(state, start, n)
		switch {
		case n > r.Burst:
			if v.Allowed || v.WaitNanos >= 0 {
				t.Fatalf("%+v lets pass more than its burst, or says to wait for it: %+v", r, v)
			}
		case v.Allowed:
			if v.WaitNanos != 0 || v.Next < start || v.Next < state {
				t.Fatalf("unexpected verdict of %+v: %+v", r, v)
			}
		default:
			if v.WaitNanos <= 0 {
				t.Fatalf("%+v refuses without a wait: %+v", r, v)
			}
			if again := r.Take(state, start+v.WaitNanos, n); !again.Allowed {
				t.Fatalf("%+v refuses %d after the wait that it told: %+v, then %+v", r, n, v, again)
			}
			if early := r.Take(state, start+v.WaitNanos-1, n); early.Allowed {
				t.Fatalf("%+v told too long a wait: %+v", r, v)
			}
		}
		if left := r.Left(state, start); left > 0 && !r.Take(state, start, left).Allowed {
			t.Fatalf("%+v says that %d are left and refuses them", r, left)
		} else if left > r.Burst {
			t.Fatalf("%+v says that %d are left, more than its burst", r, left)
		}
	}
}

func TestWholeBurstPassesAtOnce(t *testing.T) {
	for _, amount := range []uint64{1, 3, 7, 600, 999_983} {
		r := Rate{Amount: amount, Burst: amount, PerNanos: int64(time.Minute)}
		state := int64(0)
		for i := range amount {
			v := r.Take(state, start, 1)
			if !v.Allowed {
				t.Fatalf("%+v refuses unit %d of its burst", r, i+1)
			}
			state = v.Next
		}
		if amount < 1000 && r.Take(state, start, 1).Allowed {
			t.Fatalf("%+v lets pass more than its burst at once", r)
		}
		if got := r.Left(state, start+r.PerNanos); got != amount {
			t.Fatalf("unexpected units left of %+v after its whole span; got %d; want %d", r, got, amount)
		}
	}
}

func TestAdjust(t *testing.T) {
	r := Rate{Amount: 60, Burst: 60, PerNanos: int64(time.Minute)}
	state := r.Take(0, start, 10).Next
	if got := r.Adjust(state, start, 5); got != r.Take(0, start, 15).Next {
		t.Fatalf("unexpected state after 5 more: %d", got)
	}
	if got := r.Adjust(state, start, -10); r.Left(got, start) != 60 {
		t.Fatalf("unexpected units left after all were given back; got %d; want 60", r.Left(got, start))
	}
	// What is given back late was refilled by then: it cannot be saved up beyond the burst.
	if got := r.Adjust(state, start+int64(time.Hour), -10); r.Left(got, start+int64(time.Hour)) != 60 {
		t.Fatalf("more than the burst is left: %d", r.Left(got, start+int64(time.Hour)))
	}
	// Use beyond the burst is owed.
	if got := r.Adjust(state, start, 1000); r.Left(got, start) != 0 || r.Take(got, start, 1).WaitNanos != int64(951*time.Second) {
		t.Fatalf("unexpected wait after an overdraft: %+v", r.Take(got, start, 1))
	}
}

// TestRateNeverOverflows asks for the extremes that a configuration can hold.
func TestRateNeverOverflows(t *testing.T) {
	for _, r := range []Rate{
		{Amount: 1, Burst: 1_000_000_000_000, PerNanos: int64(24 * time.Hour)},
		{Amount: 1_000_000_000_000, Burst: 1, PerNanos: int64(time.Second)},
		{Amount: math.MaxUint64, Burst: math.MaxUint64, PerNanos: math.MaxInt64},
	} {
		state := int64(0)
		for range 20 {
			state = r.Adjust(state, start, math.MaxInt64)
			if state < start {
				t.Fatalf("the state of %+v wrapped round: %d", r, state)
			}
		}
		if v := r.Take(state, start, 1); v.Used < 0 || !v.Allowed && v.WaitNanos == 0 {
			t.Fatalf("unexpected verdict of %+v: %+v", r, v)
		}
		if got := r.Adjust(start, start, math.MinInt64); got > start {
			t.Fatalf("giving back moved the state of %+v ahead: %d", r, got)
		}
	}
}
