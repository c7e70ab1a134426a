package config

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

func TestParseUSD(t *testing.T) {
	f := func(s string, want int64) {
		t.Helper()
		if got, err := ParseUSD(s); err != nil || int64(got) != want {
			t.Fatalf("unexpected amount of %q; got %d, %v; want %d", s, got, err, want)
		}
	}
	f("0", 0)
	f("1", 1_000_000_000)
	f("12.50", 12_500_000_000)
	f("-0.000000001", -1)
	f("0.1", 100_000_000)
	f("9223372035.999999999", 9_223_372_035_999_999_999)
}

func TestParseUSDFails(t *testing.T) {
	for _, s := range []string{
		"", "-", ".", ".5", "5.", "1e3", "+1", " 1", "1 ", "--1", "1.0000000001", "1,5", "0x10", "NaN", "1_0", "９", "1.2.3",
		"9223372036", "99999999999999999999", "1.-5", strings.Repeat("9", 1000),
	} {
		v, err := ParseUSD(s)
		if err == nil {
			t.Fatalf("unexpected amount of %q: %d", s, v)
		}
		if len(err.Error()) > 200 {
			t.Fatalf("the error repeats all of a long text: %d bytes", len(err.Error()))
		}
	}
}

func TestUSDRoundTrip(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	const most = math.MaxInt64/nanosPerUSD*nanosPerUSD - 1
	for range 100_000 {
		v := USD(rnd.Int64N(most) >> rnd.IntN(63))
		if rnd.IntN(2) == 0 {
			v = -v
		}
		if got, err := ParseUSD(v.String()); err != nil || got != v {
			t.Fatalf("unexpected amount after a round trip of %d as %q; got %d, %v", v, v.String(), got, err)
		}
	}
	// Every amount can be written, also the one that has no positive twin.
	if got := USD(math.MinInt64).String(); got != "-9223372036.854775808" {
		t.Fatalf("unexpected text of the least amount: %s", got)
	}
}

func FuzzUSD(f *testing.F) {
	f.Add("12.50")
	f.Add("-0.000000001")
	f.Fuzz(func(t *testing.T, s string) {
		v, err := ParseUSD(s)
		if err != nil {
			return
		}
		if again, err := ParseUSD(v.String()); err != nil || again != v {
			t.Fatalf("unexpected amount after a round trip of %q as %q; got %d, %v; want %d", s, v.String(), again, err, v)
		}
	})
}
