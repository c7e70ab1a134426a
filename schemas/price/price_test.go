package price

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
)

// exact is Cost or Hold by math/big: sum of tokens times prices, plus round, over
// a million, and never more than an int64 holds.
func exact(round int64, pairs ...uint64) int64 {
	sum := big.NewInt(round)
	for i := 0; i < len(pairs); i += 2 {
		a, b := new(big.Int).SetUint64(pairs[i]), new(big.Int).SetUint64(pairs[i+1])
		sum.Add(sum, a.Mul(a, b))
	}
	if sum.Quo(sum, big.NewInt(tokensPerUnit)); !sum.IsInt64() {
		return math.MaxInt64
	}
	return sum.Int64()
}

func exactCost(p *Price, u Usage) int64 {
	cached := new(big.Int)
	for _, n := range []uint64{u.CacheRead, u.CacheWrite5m, u.CacheWrite1h} {
		cached.Add(cached, new(big.Int).SetUint64(n))
	}
	uncached := u.Input
	if cached.Cmp(new(big.Int).SetUint64(u.Input)) <= 0 {
		uncached -= cached.Uint64()
	}
	return exact(tokensPerUnit/2, uncached, uint64(p.Input), u.CacheRead, uint64(p.CacheRead),
		u.CacheWrite5m, uint64(p.CacheWrite5m), u.CacheWrite1h, uint64(p.CacheWrite1h), u.Output, uint64(p.Output))
}

func exactHold(p *Price, in, out uint64) int64 {
	return exact(tokensPerUnit-1, in, uint64(max(p.Input, p.CacheRead, p.CacheWrite5m, p.CacheWrite1h)), out, uint64(p.Output))
}

func checkPrice(t *testing.T, p *Price, u Usage) {
	t.Helper()
	cost, hold := p.Cost(u), p.Hold(u.Input, u.Output)
	if want := exactCost(p, u); cost != want {
		t.Fatalf("unexpected cost of %+v at %+v; got %d; want %d", u, *p, cost, want)
	}
	if want := exactHold(p, u.Input, u.Output); hold != want {
		t.Fatalf("unexpected hold for %d and %d tokens at %+v; got %d; want %d", u.Input, u.Output, *p, hold, want)
	}
}

func TestCostAndHoldMatchExactArithmetic(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	// Numbers of every magnitude: small ones meet the rounding, large ones the bounds.
	number := func(bits int) uint64 { return rnd.Uint64() >> (64 - 1 - rnd.IntN(bits)) }
	for range 50_000 {
		p := &Price{int64(number(63)), int64(number(63)), int64(number(63)), int64(number(63)), int64(number(63))}
		checkPrice(t, p, Usage{number(64), number(64), number(64), number(64), number(64)})
	}
	for range 50_000 {
		p := &Price{int64(number(40)), int64(number(40)), int64(number(40)), int64(number(40)), int64(number(40))}
		u := Usage{CacheRead: number(20), CacheWrite5m: number(20), CacheWrite1h: number(20), Output: number(20)}
		u.Input = u.CacheRead + u.CacheWrite5m + u.CacheWrite1h + number(20)
		checkPrice(t, p, u)
		if cost, hold := p.Cost(u), p.Hold(u.Input, u.Output); cost > hold {
			t.Fatalf("the cost %d of %+v at %+v is above its hold %d", cost, u, *p, hold)
		}
	}
}

func FuzzCost(f *testing.F) {
	f.Add(int64(250_000_000), int64(2_000_000_000), uint64(1000), uint64(100), uint64(500))
	f.Add(int64(math.MaxInt64), int64(math.MaxInt64), uint64(math.MaxUint64), uint64(math.MaxUint64), uint64(math.MaxUint64))
	f.Fuzz(func(t *testing.T, in, out int64, input, cached, output uint64) {
		p := &Price{Input: in & math.MaxInt64, CacheRead: in & math.MaxInt64 / 10, CacheWrite5m: in & math.MaxInt64, Output: out & math.MaxInt64}
		checkPrice(t, p, Usage{Input: input, CacheRead: cached, Output: output})
	})
}

func TestCost(t *testing.T) {
	p := &Price{Input: 2_000_000_000, CacheRead: 200_000_000, CacheWrite5m: 2_500_000_000, CacheWrite1h: 4_000_000_000, Output: 10_000_000_000}
	f := func(u Usage, want int64) {
		t.Helper()
		if got := p.Cost(u); got != want {
			t.Fatalf("unexpected cost of %+v; got %d; want %d", u, got, want)
		}
	}
	f(Usage{}, 0)
	f(Usage{Input: 1_000_000}, 2_000_000_000)
	f(Usage{Input: 1, Output: 1}, 12_000)
	f(Usage{Input: 100, CacheRead: 60, CacheWrite5m: 20, CacheWrite1h: 10, Output: 5}, 10*2000+60*200+20*2500+10*4000+5*10_000)
	// More cached tokens than input: the input leaves them out.
	f(Usage{Input: 10, CacheRead: 60}, 10*2000+60*200)

	// Half a nano-dollar is rounded up, less is rounded down; a hold is always rounded up.
	p = &Price{Input: 1}
	f(Usage{Input: 499_999}, 0)
	f(Usage{Input: 500_000}, 1)
	f(Usage{Input: 1_499_999}, 1)
	for _, tokens := range []uint64{1, 499_999, 1_000_000} {
		if got := p.Hold(tokens, 0); got != 1 {
			t.Fatalf("unexpected hold for %d tokens; got %d; want 1", tokens, got)
		}
	}
	// The sum is rounded once, not each part.
	p = &Price{Input: 1, Output: 1}
	f(Usage{Input: 250_000, Output: 250_000}, 1)
}
