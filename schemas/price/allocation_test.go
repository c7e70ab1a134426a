//go:build !race

package price

import "testing"

func TestPricingDoesNotAllocate(t *testing.T) {
	s := Default().Series("openai", "gpt-6-astra")
	now := nanos("2026-11-22T00:00:00Z")
	var sum int64
	if n := testing.AllocsPerRun(1000, func() {
		p := s.At(now, 300_000)
		sum += p.Hold(300_000, 1000) + p.Cost(Usage{Input: 300_000, CacheRead: 1000, Output: 1000})
	}); n != 0 {
		t.Fatalf("unexpected allocations per priced call; got %v; want 0", n)
	}
}
