//go:build !race

package decide

import "testing"

func TestRulesDoNotAllocate(t *testing.T) {
	r := Rate{Amount: 600, Burst: 600, PerNanos: 60_000_000_000}
	state := int64(0)
	if n := testing.AllocsPerRun(1000, func() {
		for _, k := range []WindowKind{Total, Minute, Hour, Day, Week, Month} {
			state += k.At(start).Start & 1
		}
		state = r.Adjust(r.Take(state, start, 1).Next, start, -1)
		if !Afford(100, (Balance{LedgerTotal: 5}).Used(), int64(r.Left(state, start))&1) {
			t.Fatal("a call that fits must be affordable")
		}
	}); n != 0 {
		t.Fatalf("unexpected allocations per decision; got %v; want 0", n)
	}
}
