package check

import (
	"maps"
	"slices"

	"github.com/tallygate/tallygate/schemas/event"
)

// rows calls f with each row that the audit table must have.
func (l *Log) rows(f func(id event.ID, o *outcome)) {
	for id, r := range l.requests {
		if o := r.row(); o != nil {
			f(id, o)
		}
	}
	for id, o := range l.aggregates {
		f(id, o)
	}
}

// row is what the audit table must say of a request, or nil.
func (r *request) row() *outcome {
	if r.final != nil {
		return r.final
	}
	return r.abandoned
}

// position is what the ledger must say of a request.
type position struct {
	held, charged, costNanos int64
}

func (r *request) position() position {
	switch {
	case r.final != nil:
		return position{charged: total(r.charged), costNanos: r.final.sums.CostNanos}
	case r.provisional != nil:
		return position{charged: total(r.provisional)}
	}
	return position{held: total(r.held)}
}

func total(charges []charge) int64 {
	sum := int64(0)
	for _, c := range charges {
		sum += c.nanos
	}
	return sum
}

// window is one window of one budget.
type window struct {
	budget string
	start  int64
}

// used is what must have been charged and be held in each window.
func (l *Log) used() map[window]position {
	out := map[window]position{}
	for _, r := range l.requests {
		charges, held := r.charged, false
		switch {
		case r.final != nil:
		case r.provisional != nil:
			charges = r.provisional
		default:
			charges, held = r.held, true
		}
		for _, c := range charges {
			w := window{c.budget, c.windowStart}
			p := out[w]
			if held {
				p.held += c.nanos
			} else {
				p.charged += c.nanos
			}
			out[w] = p
		}
	}
	return out
}

// Summary counts what the log holds.
type Summary struct {
	Records, Duplicates, Spools, ClosedSpools, Requests, Completed, Denied, Abandoned, Open int64
}

// Summary returns the counts.
func (l *Log) Summary() Summary {
	s := Summary{Records: l.Records, Duplicates: l.Duplicates, Requests: int64(len(l.requests))}
	spools, open := map[uint64]bool{}, map[uint64]bool{}
	for k, c := range l.chains {
		spools[k.spool] = true
		if !c.closed {
			open[k.spool] = true
		}
	}
	s.Spools, s.ClosedSpools = int64(len(spools)), int64(len(spools)-len(open))
	for _, r := range l.requests {
		switch {
		case r.final != nil && r.final.kind == "denied":
			s.Denied++
		case r.final != nil:
			s.Completed++
		case r.abandoned != nil:
			s.Abandoned++
		default:
			s.Open++
		}
	}
	for _, o := range l.aggregates {
		s.Denied += o.sums.Calls
	}
	return s
}

// Ended makes a defect of each request that was admitted and has no end: of a system
// at rest, whose spools are shipped.
func (l *Log) Ended() {
	for _, id := range slices.SortedFunc(maps.Keys(l.requests), compareIDs) {
		if r := l.requests[id]; r.final == nil && r.provisional == nil && r.abandoned == nil {
			l.Findings.add("no end", "request %s was admitted and has no end", id)
		}
	}
}

func compareIDs(a, b event.ID) int { return slices.Compare(a[:], b[:]) }

// sum adds the log's outcomes to the table.
func (l *Log) sum(t *Table) {
	l.rows(func(_ event.ID, o *outcome) { t.add("log", o.owner, o.sums) })
}
