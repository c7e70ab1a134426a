package decide

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
)

func TestAfford(t *testing.T) {
	f := func(capNanos, used, asked int64, want bool) {
		t.Helper()
		if got := Afford(capNanos, used, asked); got != want {
			t.Fatalf("unexpected answer for %d of %d used and %d asked; got %v; want %v", used, capNanos, asked, got, want)
		}
	}
	f(100, 0, 100, true)
	f(100, 1, 100, false)
	f(100, 100, 0, true)
	f(100, 101, 0, false)
	f(0, 0, 1, false)
	// A correction may have made the use negative.
	f(100, -50, 150, true)
	f(100, -50, 151, false)
	f(math.MaxInt64, math.MaxInt64, 1, false)
	f(math.MaxInt64, 1, math.MaxInt64, false)
	f(math.MaxInt64, 0, math.MaxInt64, true)
}

func TestBalanceMatchesExactArithmetic(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	number := func() int64 { return rnd.Int64() >> rnd.IntN(63) }
	for range 100_000 {
		b := Balance{LedgerTotal: number(), LiveOwn: number()}
		b.LedgerOwn = min(number(), b.LedgerTotal)
		sum := new(big.Int).Sub(big.NewInt(b.LedgerTotal), big.NewInt(b.LedgerOwn))
		sum.Add(sum, big.NewInt(b.LiveOwn))
		want := int64(math.MaxInt64)
		if sum.IsInt64() {
			want = sum.Int64()
		}
		if got := b.Used(); got != want {
			t.Fatalf("unexpected use of %+v; got %d; want %d", b, got, want)
		}
	}
}

// TestBalanceAtAnyLag lets a process spend, with the ledger behind by any number of
// its events and others spending beside it: what counts as used is always the truth
// of its own part plus what the ledger knows of the others.
func TestBalanceAtAnyLag(t *testing.T) {
	own := []int64{5, 10, -3, 20}
	for lag := range len(own) + 1 {
		var live, counted int64
		for i, n := range own {
			live += n
			if i < lag {
				counted += n
			}
		}
		if got := (Balance{LedgerTotal: 1000 + counted, LedgerOwn: counted, LiveOwn: live}).Used(); got != 1032 {
			t.Fatalf("unexpected use at lag %d; got %d; want 1032", lag, got)
		}
	}
}

func TestTokenEstimates(t *testing.T) {
	for bytes, want := range map[int]uint64{0: 8, 1: 9, 4: 9, 5: 10, 4000: 1008} {
		if got := InputTokens(bytes); got != want {
			t.Fatalf("unexpected estimate for %d bytes; got %d; want %d", bytes, got, want)
		}
	}
	f := func(clientMax, modelDefault, choices, want uint64) {
		t.Helper()
		if got := OutputTokens(clientMax, modelDefault, choices); got != want {
			t.Fatalf("unexpected bound for %d, %d, %d; got %d; want %d", clientMax, modelDefault, choices, got, want)
		}
	}
	f(0, 1024, 0, 1024)
	f(0, 1024, 3, 3072)
	f(100, 1024, 1, 100)
	f(math.MaxUint64, 1024, 2, 1<<62)
	f(2, 1024, math.MaxUint64, 1<<62)
}
