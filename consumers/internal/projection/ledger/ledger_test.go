package ledger_test

import (
	"fmt"
	"testing"

	"github.com/tallygate/tallygate/consumers/internal/projection"
	"github.com/tallygate/tallygate/consumers/internal/projection/ledger"
	"github.com/tallygate/tallygate/consumers/internal/projection/projectiontest"
)

var suite = projectiontest.Suite{
	New: func() projection.Projection { return ledger.NewLedger() },
	Identity: func(r projection.Row) string {
		e := r.(*ledger.EntryRow)
		return fmt.Sprint(e.Org, e.Budget, e.WindowStart, e.Partition, e.Offset, e.N)
	},
	Version: func(projection.Row) uint64 { return 0 },
	Totals: func(rows []projection.Row) map[string]int64 {
		totals := map[string]int64{}
		for _, r := range rows {
			e := r.(*ledger.EntryRow)
			totals[fmt.Sprint(e.Org, e.Budget, e.WindowStart, e.Debit)] += e.AmountNanos
			totals[fmt.Sprint(e.Org, e.Budget, e.WindowStart, e.Credit)] -= e.AmountNanos
		}
		return totals
	},
}

func TestProjection(t *testing.T) { suite.Run(t) }

// Every account's balance is what a plain look at each request says, and for every
// org what was debited was credited.
func TestBalancesEqualTheNaiveSum(t *testing.T) {
	type account struct {
		budget string
		start  int64
	}
	for seed := range uint64(100) {
		w := projectiontest.Random(t, seed, 600)
		settled, held, cost := map[account]int64{}, map[account]int64{}, int64(0)
		for _, r := range w.Requests {
			if r.Completed != nil {
				cost += r.Completed.CostNanos
			}
			for _, h := range r.Holds {
				a := account{h.Budget, h.WindowStart}
				switch {
				case r.Completed != nil:
					settled[a] += r.Completed.CostNanos
				case r.Provisional:
					settled[a] += h.AmountNanos
				case r.Admitted:
					held[a] += h.AmountNanos
				}
			}
		}

		f := ledger.New(w.Partition)
		sums := map[string]int64{}
		var gotCost int64
		for _, rec := range w.Records {
			for _, e := range f.Apply(rec) {
				sums[e.Org+" "+e.Debit] += e.AmountNanos
				sums[e.Org+" "+e.Credit] -= e.AmountNanos
				if e.Entry == ledger.EntryCost {
					gotCost += e.AmountNanos
				}
			}
		}
		if gotCost != cost {
			t.Fatalf("seed %d: unexpected cost; got %d; want %d", seed, gotCost, cost)
		}
		perOrg := map[string]int64{}
		for key, n := range sums {
			var org string
			fmt.Sscan(key, &org)
			perOrg[org] += n
		}
		for org, n := range perOrg {
			if n != 0 {
				t.Fatalf("seed %d: debits and credits of %s differ by %d", seed, org, n)
			}
		}
		seen := 0
		for _, b := range f.Balances() {
			a := account{b.Budget, b.WindowStart}
			if b.SettledNanos != settled[a] || b.HeldNanos != held[a] {
				t.Fatalf("seed %d: unexpected balance of %v; got settled %d, held %d; want %d, %d", seed, a, b.SettledNanos, b.HeldNanos, settled[a], held[a])
			}
			seen++
			delete(settled, a)
			delete(held, a)
		}
		for a, n := range settled {
			if n != 0 {
				t.Fatalf("seed %d: balance of %v is missing; want settled %d", seed, a, n)
			}
		}
		if c := f.Counts(); int(c.Duplicates) != w.Duplicates || int(c.Void) > w.Void+w.Duplicates {
			t.Fatalf("seed %d: unexpected counts; got %+v; want %d duplicates", seed, c, w.Duplicates)
		}
		if seen == 0 {
			t.Fatalf("seed %d: no balances", seed)
		}
	}
}
