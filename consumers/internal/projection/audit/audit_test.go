package audit_test

import (
	"fmt"
	"testing"

	"github.com/tallygate/tallygate/consumers/internal/projection"
	"github.com/tallygate/tallygate/consumers/internal/projection/audit"
	"github.com/tallygate/tallygate/consumers/internal/projection/projectiontest"
	"github.com/tallygate/tallygate/schemas/event"
)

var suite = projectiontest.Suite{
	New: func() projection.Projection { return audit.Audit{} },
	Identity: func(r projection.Row) string {
		switch r := r.(type) {
		case *audit.EventRow:
			return fmt.Sprint("events ", r.Topic, r.Partition, r.Offset)
		case *audit.RequestRow:
			return fmt.Sprint("requests ", r.Org, r.ReceivedAt, r.RequestID)
		}
		panic("BUG: a row of another table")
	},
	Version: func(r projection.Row) uint64 {
		if r, ok := r.(*audit.RequestRow); ok {
			return r.Version
		}
		return 0
	},
	Totals: func(rows []projection.Row) map[string]int64 {
		totals := map[string]int64{}
		seen := map[[2]uint64]bool{}
		for _, row := range rows {
			switch r := row.(type) {
			case *audit.EventRow:
				if id := [2]uint64{r.Spool, r.Pseq}; !seen[id] {
					seen[id] = true
					totals["events"]++
				}
			case *audit.RequestRow:
				totals["calls "+r.Outcome] += int64(r.Calls)
				totals["cost "+r.Org] += r.CostNanos
				totals["tokens "+r.Key] += int64(r.InputTokens + r.OutputTokens)
			}
		}
		return totals
	},
}

func TestProjection(t *testing.T) { suite.Run(t) }

func TestTotalsEqualTheNaiveSum(t *testing.T) {
	for seed := range uint64(50) {
		w := projectiontest.Random(t, seed, 600)
		want := map[string]int64{"denied": int64(w.Denials)}
		var cost int64
		for _, r := range w.Requests {
			switch {
			case r.Completed != nil:
				want["ok"]++
				cost += r.Completed.CostNanos
			case r.Abandoned:
				want["abandoned"]++
			}
		}
		got := map[string]int64{}
		var gotCost int64
		for _, row := range suite.Final(suite.Apply(t, w.Records, nil)) {
			if r, ok := row.(*audit.RequestRow); ok {
				got[r.Outcome] += int64(r.Calls)
				gotCost += r.CostNanos
			}
		}
		for outcome, n := range want {
			if got[outcome] != n {
				t.Fatalf("seed %d: unexpected calls with outcome %s; got %d; want %d", seed, outcome, got[outcome], n)
			}
		}
		if gotCost != cost {
			t.Fatalf("seed %d: unexpected cost; got %d; want %d", seed, gotCost, cost)
		}
	}
}

// A denial is in the table with its rule and what the rule had read.
func TestDenialHasItsRule(t *testing.T) {
	l := projectiontest.NewLog(t, 0)
	l.Append(1, "org", &event.Envelope{Body: &event.Envelope_Denied{Denied: &event.Denied{
		Facts: &event.Facts{RequestId: l.ID(), Key: "k"}, Status: 429,
		Verdict: &event.Verdict{Rule: "b1", Code: "insufficient_quota", Reason: "over", RetryAfterMs: 5, Readings: []*event.Reading{
			{Rule: "b0", Kind: "requests", Limit: 1}, {Rule: "b1", Kind: "budget", Limit: 10, Used: 9, Asked: 2},
		}},
	}}})
	rows := suite.Apply(t, l.Records, nil)
	r := rows[1].(*audit.RequestRow)
	if r.Outcome != "denied" || r.Rule != "b1" || r.RuleKind != "budget" || r.RuleLimit != 10 || r.RuleUsed != 9 || r.RuleAsked != 2 ||
		r.ErrorCode != "insufficient_quota" || r.Status != 429 || r.Key != "k" || r.Calls != 1 {
		t.Fatalf("unexpected row; got %+v", r)
	}
}
