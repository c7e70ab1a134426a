package counter

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tallygate/tallygate/schemas/decide"
	"github.com/tallygate/tallygate/schemas/event"
	"github.com/tallygate/tallygate/schemas/policy"
)

const spool = 7

func budget(t *Table, capNanos int64, kind decide.WindowKind, name string) *Budget {
	return t.Budgets([]*policy.Budget{{ID: "b", CapNanos: capNanos, Window: kind, WindowStr: name}})[0]
}

func TestUsedReplacesTheLedgersViewOfThisProcess(t *testing.T) {
	table := NewTable(spool)
	b := budget(table, 1000, decide.Total, "total")
	w := b.At(1)
	if _, ok := b.Hold(w, 300); !ok {
		t.Fatal("a hold of 300 must fit under 1000")
	}
	f := func(total, own, want int64) {
		t.Helper()
		table.Apply(&event.Balance{Budget: "b", WindowEnd: decide.Total.At(1).End, SettledNanos: total, Offset: 1,
			Parts: []*event.SpoolPart{{Spool: spool, SettledNanos: own}, {Spool: 9, SettledNanos: total - own}}})
		if got := w.Used(); got != want {
			t.Fatalf("unexpected use with a ledger total of %d, %d of it ours; got %d; want %d", total, own, got, want)
		}
	}
	f(0, 0, 300)
	// The ledger lags behind this process, is level with it, and has counted others.
	f(100, 100, 300)
	f(300, 300, 300)
	f(500, 300, 500)
	w.Settle(300, 250)
	f(500, 300, 450)
}

func TestAnOlderBalanceChangesNothing(t *testing.T) {
	table := NewTable(spool)
	b := budget(table, 1000, decide.Total, "total")
	end := decide.Total.At(1).End
	table.Apply(&event.Balance{Budget: "b", WindowEnd: end, SettledNanos: 700, Offset: 20})
	table.Apply(&event.Balance{Budget: "b", WindowEnd: end, SettledNanos: 100, Offset: 10})
	if got := b.At(1).Used(); got != 700 {
		t.Fatalf("unexpected use after a balance from an earlier offset; got %d; want 700", got)
	}
}

func TestABalanceBeforeItsPolicyIsKept(t *testing.T) {
	table := NewTable(spool)
	table.Apply(&event.Balance{Budget: "b", WindowEnd: decide.Total.At(1).End, HeldNanos: 40, Offset: 1})
	if got := budget(table, 1000, decide.Total, "total").At(1).Used(); got != 40 {
		t.Fatalf("unexpected use of a budget that was made after its balance; got %d; want 40", got)
	}
}

func TestWindowsDoNotMix(t *testing.T) {
	table := NewTable(spool)
	b := budget(table, 1000, decide.Minute, "minute")
	minute := int64(time.Minute)
	first := b.At(30)
	if _, ok := b.Hold(first, 900); !ok {
		t.Fatal("900 must fit under 1000")
	}
	table.Apply(&event.Balance{Budget: "b", WindowStart: minute, WindowEnd: 2 * minute, SettledNanos: 5, Offset: 1})
	if got := first.Used(); got != 900 {
		t.Fatalf("a balance of the next window changed this one; got %d; want 900", got)
	}
	second := b.At(minute + 1)
	if got := second.Used(); got != 5 {
		t.Fatalf("unexpected use of the next window; got %d; want 5", got)
	}
	first.Settle(900, 100)
	if got := second.Used(); got != 5 {
		t.Fatalf("settling a hold of the last window changed this one; got %d; want 5", got)
	}
	if b.At(30) != second {
		t.Fatal("a clock that goes back must not bring an ended window back")
	}
}

func TestHoldsNeverPassTheCap(t *testing.T) {
	const capNanos, each, tries = 1000, 7, 400
	b := budget(NewTable(spool), capNanos, decide.Total, "total")
	w := b.At(1)
	var granted atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range tries {
				if _, ok := b.Hold(w, each); ok {
					granted.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if got, want := granted.Load(), int64(capNanos/each); got != want {
		t.Fatalf("unexpected number of holds; got %d; want %d", got, want)
	}
}

func TestCountersOutliveSnapshots(t *testing.T) {
	table := NewTable(spool)
	b := budget(table, 1000, decide.Total, "total")
	b.Hold(b.At(1), 600)
	again := budget(table, 500, decide.Total, "total")
	if used, ok := again.Hold(again.At(2), 1); ok || used != 600 {
		t.Fatalf("a lower cap must see what was held before; got used %d, ok %v", used, ok)
	}
	rule := &policy.Limit{ID: "l", Rate: decide.Rate{Amount: 2, Burst: 2, PerNanos: int64(time.Hour)}}
	one := table.Limits([]*policy.Limit{rule})[0]
	one.Take(1, 2)
	if v := table.Limits([]*policy.Limit{rule})[0].Take(1, 1); v.Allowed {
		t.Fatal("a limit forgot what was taken when the policy changed")
	}
}

func TestLimitGivesBack(t *testing.T) {
	l := NewTable(spool).Limits([]*policy.Limit{{ID: "l", Rate: decide.Rate{Amount: 10, Burst: 10, PerNanos: int64(time.Hour)}}})[0]
	if v := l.Take(1, 10); !v.Allowed {
		t.Fatal("the burst must pass")
	}
	l.Adjust(1, -4)
	if got := l.Left(1); got != 4 {
		t.Fatalf("unexpected rest after 4 of 10 were given back; got %d; want 4", got)
	}
	if v := l.Take(1, 5); v.Allowed || v.WaitNanos <= 0 {
		t.Fatalf("5 must wait when 4 are left; got %+v", v)
	}
}

func TestNoAllocations(t *testing.T) {
	table := NewTable(spool)
	b := budget(table, 1<<60, decide.Month, "month")
	l := table.Limits([]*policy.Limit{{ID: "l", Rate: decide.Rate{Amount: 1 << 30, Burst: 1 << 30, PerNanos: int64(time.Second)}}})[0]
	now := time.Now().UnixNano()
	if n := testing.AllocsPerRun(1000, func() {
		w := b.At(now)
		b.Hold(w, 5)
		w.Settle(5, 3)
		l.Take(now, 1)
		l.Adjust(now, -1)
	}); n != 0 {
		t.Fatalf("unexpected allocations per request; got %v; want 0", n)
	}
}
