package ledger

import (
	"container/heap"

	"github.com/google/uuid"

	"github.com/tallygate/tallygate/consumers/internal/projection"
	"github.com/tallygate/tallygate/schemas/event"
)

// admitted opens the request's holds. A request without holds is not remembered.
func (f *Fold) admitted(ev *event.Envelope, a *event.Admitted) {
	if len(a.Holds) == 0 {
		return
	}
	id := projection.UUID(a.GetFacts().GetRequestId())
	if r := f.requests[id]; r != nil {
		// Its successor's abandoned overtook it: the holds are charged already.
		r.admitted = true
		f.counts.Repeated++
		return
	}
	if _, ok := f.ended[id]; ok {
		delete(f.ended, id)
		f.counts.Repeated++
		return
	}
	r := &request{id: id, org: ev.Org, spool: ev.Spool, admitted: true, until: a.HoldsUntil, holds: a.Holds}
	f.requests[id] = r
	heap.Push(&f.expiries, r)
	for _, h := range a.Holds {
		f.post(r, h, EntryHold, h.AmountNanos)
		f.budgets[h.Budget].touch(h, min(ev.OccurredAt, f.now))
	}
}

// completed ends a request finally: its holds are released, or what was charged
// provisionally is taken back, and the actual amounts are charged.
func (f *Fold) completed(ev *event.Envelope, seq *sequence, c *event.Completed) {
	id := projection.UUID(c.GetFacts().GetRequestId())
	r := f.requests[id]
	switch {
	case r == nil && len(c.Settlements) > 0 && len(seq.missing) == 0:
		// Admitted is in the same spool and before it. None of its events is missing,
		// so the request had ended.
		f.counts.Repeated++
		return
	case r == nil:
		r = &request{id: id, org: ev.Org, spool: ev.Spool}
	case r.provisional:
		f.counts.Corrected++
		for _, h := range r.holds {
			f.post(r, h, EntryCorrection, h.AmountNanos)
		}
	default:
		f.release(r)
	}
	delete(f.requests, id)
	if !r.admitted && len(c.Settlements) > 0 {
		f.ended[id] = struct{}{}
	}
	for _, s := range c.Settlements {
		f.post(r, s.Hold, EntryCharge, s.AmountNanos)
		if s.AmountNanos > s.Hold.AmountNanos {
			f.entries[len(f.entries)-1].Overdraft = true
			f.counts.Overdrafts++
		}
	}
	if c.CostNanos > 0 {
		f.entries = append(f.entries, Entry{
			Org: ev.Org, RequestID: id, Entry: EntryCost, Debit: accountSpend, Credit: accountProvider + c.Provider, AmountNanos: c.CostNanos,
		})
	}
}

// abandoned charges the holds of a request whose process died. It is in the
// successor's spool, so it may stand before the request's admitted.
func (f *Fold) abandoned(ev *event.Envelope, a *event.Abandoned) {
	id := projection.UUID(a.GetFacts().GetRequestId())
	if r := f.requests[id]; r != nil {
		f.provisional(r)
		return
	}
	_, ended := f.ended[id]
	if seq := f.sequences[a.AdmittedSpool]; ended || seq != nil && seq.has(a.AdmittedPseq) {
		f.counts.Repeated++
		return
	}
	r := &request{id: id, org: ev.Org, spool: a.AdmittedSpool, provisional: true}
	for _, s := range a.Settlements {
		r.holds = append(r.holds, s.Hold)
		f.post(r, s.Hold, EntryProvisional, s.Hold.AmountNanos)
	}
	if len(r.holds) > 0 {
		f.requests[id] = r
		f.counts.Provisional++
	}
}

// expired charges the holds of a request that was not heard of again.
func (f *Fold) expired(id uuid.UUID) {
	if r := f.requests[id]; r != nil {
		f.provisional(r)
		return
	}
	f.counts.Repeated++
}

// provisional turns open holds into charges. The request is remembered: a completed may come.
func (f *Fold) provisional(r *request) {
	if r.provisional {
		f.counts.Repeated++
		return
	}
	f.counts.Provisional++
	f.release(r)
	r.provisional = true
	for _, h := range r.holds {
		f.post(r, h, EntryProvisional, h.AmountNanos)
	}
}

func (f *Fold) release(r *request) {
	heap.Remove(&f.expiries, r.place)
	for _, h := range r.holds {
		f.post(r, h, EntryRelease, h.AmountNanos)
	}
}
