package pipeline

import (
	"fmt"
	"time"

	"github.com/tallygate/tallygate/gateway/internal/apierror"
	"github.com/tallygate/tallygate/gateway/internal/counter"
	"github.com/tallygate/tallygate/schemas/config"
	"github.com/tallygate/tallygate/schemas/policy"
)

// recordBytes is the disk that is reserved for all records of a request before the
// first is written. Their texts are bounded; the rest is a few hundred bytes an attempt.
const recordBytes = 8 << 10

// reserve holds the request's estimated cost in every budget of its key, app,
// team and org, and disk for its records: in all, or in none.
func reserve(r *Request) *Denial {
	if err := r.p.Spool.Reserve(recordBytes); err != nil {
		return r.deny(apierror.SpoolFull, "", "")
	}
	r.reserved = true
	amount := r.estimate()
	for _, b := range r.key.Budgets {
		w := b.At(r.now)
		used, ok := b.Hold(w, amount)
		r.readBudget(b, w, used, amount)
		if !ok {
			return r.denyBudget(b, w, used)
		}
		r.holds = append(r.holds, hold{rule: b.Rule, window: w, amount: amount})
	}
	return nil
}

// estimate is the most that the estimated tokens cost at any of the targets, in
// nano-dollars. A target without a price is estimated at nothing.
func (r *Request) estimate() int64 {
	var most int64
	for i := range r.model.Targets {
		series := r.model.Targets[i].Prices
		if series == nil {
			continue
		}
		if p := series.At(r.now, r.facts.InputTokensEstimated); p != nil {
			most = max(most, p.Hold(r.facts.InputTokensEstimated, r.facts.OutputTokensBound))
		}
	}
	return most
}

func (r *Request) denyBudget(b *counter.Budget, w *counter.Window, used int64) *Denial {
	left := max(b.Rule.CapNanos-used, 0)
	d := r.deny(apierror.BudgetSpent, b.Rule.ID, fmt.Sprintf(
		"The budget %q of $%s per %s has $%s left, less than this request may cost.",
		b.Rule.ID, config.USD(b.Rule.CapNanos), b.Rule.WindowStr, config.USD(left)))
	if b.Rule.WindowStr != config.WindowTotal {
		d.RetryAfterMs = uint64(max(w.End-r.now, 0)) / uint64(time.Millisecond)
	}
	return d
}

func (r *Request) readBudget(b *counter.Budget, w *counter.Window, used, asked int64) {
	reading := r.readings.next()
	reading.Reset()
	reading.Rule, reading.Kind = b.Rule.ID, string(policy.KindBudget)
	reading.Limit, reading.Used, reading.Asked = b.Rule.CapNanos, used, asked
	reading.WindowStart, reading.WindowEnd = w.Start, w.End
}

// release gives back all that the stages took, for a request that ends before its
// provider was called.
func (r *Request) release() {
	for _, h := range r.holds {
		h.window.Settle(h.amount, 0)
	}
	r.holds = r.holds[:0]
	if r.tokensTaken > 0 {
		r.settleTokens(0)
	}
	r.releaseSpool()
	r.forget()
}

func (r *Request) releaseSpool() {
	if r.reserved {
		r.p.Spool.Release(recordBytes)
		r.reserved = false
	}
}
