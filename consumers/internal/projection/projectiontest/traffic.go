package projectiontest

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/tallygate/tallygate/schemas/event"
)

// Traffic is a random log, with what a plain look at each request says of it.
type Traffic struct {
	*Log
	// Requests are those with holds or an end, by request id.
	Requests map[string]*Request
	// Denials counts denied calls, those in aggregates included.
	Denials uint64
	// Duplicates counts records that repeat an earlier one.
	Duplicates int
	// Void counts ledger events that do not name the latest one.
	Void int

	rng      *rand.Rand
	open     []*Request
	order    []*Request
	dead     uint64
	gateways []uint64
	latest   event.LedgerLink
}

// Request is what became of a request, by the records that are in the log.
type Request struct {
	ID        []byte
	Org       string
	Spool     uint64
	Pseq      uint64
	Facts     *event.Facts
	Admitted  bool
	Holds     []*event.Hold
	Completed *event.Completed
	// Provisional is true if it was abandoned, or its hold expired.
	Provisional bool
	// Abandoned is true if its successor said so.
	Abandoned bool
}

// Spools of the random log: the lossy one has gaps in its sequence.
const (
	lossySpool  = 99
	ledgerSpool = 1000
)

// Random returns the traffic that a seed gives.
func Random(t testing.TB, seed uint64, steps int) *Traffic {
	t.Helper()
	w := &Traffic{
		Log: NewLog(t, 3), Requests: map[string]*Request{}, rng: rand.New(rand.NewPCG(seed, 1)),
		gateways: []uint64{11, 12, lossySpool},
	}
	w.Step = 250 * time.Millisecond
	for range steps {
		w.step()
	}
	return w
}

func (w *Traffic) step() {
	switch n := w.rng.IntN(100); {
	case n < 35:
		w.admit()
	case n < 65:
		w.complete()
	case n < 70:
		w.abandon()
	case n < 75:
		w.deny()
	case n < 80:
		w.ship(w.rng.IntN(8) + 1)
	case n < 85:
		w.ledger()
	case n < 88:
		w.restart()
	case n < 92:
		w.completeLate()
	case n < 95:
		w.overtake()
	default:
		w.complete()
	}
}

// org has one budget of its own and one per team, so that most requests have two holds.
func (w *Traffic) newRequest() *Request {
	id := w.ID()
	org := fmt.Sprintf("org%d", w.rng.IntN(3))
	received := w.Now().Add(-time.Duration(w.rng.IntN(100)) * time.Millisecond)
	minute := received.Truncate(time.Minute)
	amount := w.rng.Int64N(1_000_000)
	r := &Request{
		ID: id, Org: org, Spool: w.gateways[w.rng.IntN(len(w.gateways))],
		Facts: &event.Facts{
			RequestId: id, Team: "team", App: "app", Key: fmt.Sprintf("key%d", w.rng.IntN(4)), Operation: "chat", Dialect: "openai",
			Route: "/v1/chat/completions", Model: "gpt", ReceivedAt: received.UnixNano(),
		},
		Holds: []*event.Hold{{Budget: org + "-total", WindowStart: 0, WindowEnd: 1<<63 - 1, AmountNanos: amount}},
	}
	if w.rng.IntN(4) > 0 {
		r.Holds = append(r.Holds, &event.Hold{
			Budget: org + "-minute", WindowStart: minute.UnixNano(), WindowEnd: minute.Add(time.Minute).UnixNano(), AmountNanos: amount,
		})
	}
	if w.rng.IntN(10) == 0 {
		r.Holds = nil // No budget covers it.
	}
	w.Requests[string(id)] = r
	w.order = append(w.order, r)
	return r
}

func (w *Traffic) admit() {
	r := w.newRequest()
	w.appendAdmitted(r, w.lost(r.Spool))
	w.open = append(w.open, r)
}

func (w *Traffic) appendAdmitted(r *Request, lost bool) {
	value := w.Seal(r.Spool, r.Org, &event.Envelope{Body: &event.Envelope_Admitted{Admitted: &event.Admitted{
		Facts: r.Facts, Holds: r.Holds, HoldsUntil: w.Now().Add(50 * time.Millisecond).UnixNano(), Verdict: &event.Verdict{Allowed: true},
	}}})
	r.Pseq = w.Pseq(r.Spool)
	if !lost {
		r.Admitted = true
		w.AppendBytes(value)
	}
}

func (w *Traffic) lost(spool uint64) bool { return spool == lossySpool && w.rng.IntN(10) == 0 }

// take removes a request from those that have not ended.
func (w *Traffic) take() *Request {
	if len(w.open) == 0 {
		return nil
	}
	i := w.rng.IntN(len(w.open))
	r := w.open[i]
	w.open[i] = w.open[len(w.open)-1]
	w.open = w.open[:len(w.open)-1]
	return r
}

func (w *Traffic) complete() {
	if r := w.take(); r != nil {
		w.appendCompleted(r, w.lost(r.Spool))
	}
}

func (w *Traffic) appendCompleted(r *Request, lost bool) {
	cost := w.rng.Int64N(1_200_000) // Sometimes above the hold.
	c := &event.Completed{
		Facts: r.Facts, Outcome: event.Outcome_OUTCOME_OK, Status: 200, CostNanos: cost, Provider: "openai", UpstreamModel: "gpt",
		Usage:      &event.Usage{Source: event.UsageSource_USAGE_SOURCE_REPORTED, Input: w.rng.Uint64N(100), Output: w.rng.Uint64N(100)},
		DurationNs: uint64(w.rng.Int64N(int64(time.Minute))),
	}
	for _, h := range r.Holds {
		c.Settlements = append(c.Settlements, &event.Settlement{Hold: h, AmountNanos: cost})
	}
	value := w.Seal(r.Spool, r.Org, &event.Envelope{Body: &event.Envelope_Completed{Completed: c}})
	if lost {
		return
	}
	w.AppendBytes(value)
	if r.Completed == nil {
		r.Completed = c
	}
}

// abandon ends a request by a successor, now and then twice.
func (w *Traffic) abandon() {
	r := w.take()
	if r == nil {
		return
	}
	for range 1 + w.rng.IntN(2) {
		w.appendAbandoned(r)
	}
}

func (w *Traffic) appendAbandoned(r *Request) {
	a := &event.Abandoned{Facts: r.Facts, AdmittedSpool: r.Spool, AdmittedPseq: r.Pseq, Reason: "the process died"}
	for _, h := range r.Holds {
		a.Settlements = append(a.Settlements, &event.Settlement{Hold: h, AmountNanos: h.AmountNanos})
	}
	w.Append(w.gateways[0]+100, r.Org, &event.Envelope{Body: &event.Envelope_Abandoned{Abandoned: a}})
	r.Provisional, r.Abandoned = true, true
}

// completeLate completes a request again, or one that had ended provisionally.
func (w *Traffic) completeLate() {
	for _, r := range w.order {
		// A request without holds is not remembered, and a lossy spool cannot tell a
		// repeated end from one whose beginning is missing.
		if len(r.Holds) == 0 || !r.Admitted || r.Spool == lossySpool || r.Completed == nil && !r.Provisional || w.rng.IntN(4) > 0 {
			continue
		}
		w.appendCompleted(r, false)
		return
	}
}

// overtake writes a request's abandoned before its admitted arrives.
func (w *Traffic) overtake() {
	r := w.newRequest()
	w.dead++
	r.Spool = 500 + w.dead // A dead spool with one event in it.
	r.Pseq = 1
	w.appendAbandoned(r)
	w.appendAdmitted(r, false)
}

func (w *Traffic) deny() {
	r := w.newRequest()
	delete(w.Requests, string(r.ID))
	w.order = w.order[:len(w.order)-1]
	d := &event.Denied{
		Facts: r.Facts, Status: 429, Verdict: &event.Verdict{
			Rule: r.Org + "-total", Code: "insufficient_quota",
			Readings: []*event.Reading{{Rule: r.Org + "-total", Kind: "budget", Limit: 5, Used: 4, Asked: 3}},
		},
	}
	if w.rng.IntN(2) == 0 {
		w.Append(11, r.Org, &event.Envelope{Body: &event.Envelope_Denied{Denied: d}})
		w.Denials++
		return
	}
	n := 1 + w.rng.Uint64N(1000)
	w.Append(11, r.Org, &event.Envelope{Body: &event.Envelope_DenialsCounted{DenialsCounted: &event.DenialsCounted{
		Key: r.Facts.Key, Rule: d.Verdict.Rule, Code: d.Verdict.Code, Status: 429, Count: n, FirstAt: r.Facts.ReceivedAt, LastAt: r.Facts.ReceivedAt + 5, Sample: d,
	}}})
	w.Denials += n
}

// ship writes records again, as a gateway does that crashed before it knew them to be written.
func (w *Traffic) ship(n int) {
	if n > len(w.Records) {
		return
	}
	first := w.rng.IntN(len(w.Records) - n + 1)
	for _, rec := range w.Records[first : first+n] {
		w.AppendBytes(rec.Bytes)
		w.Duplicates++
	}
}

// restart replaces a gateway's spool.
func (w *Traffic) restart() {
	if w.rng.IntN(2) == 0 {
		w.Append(w.gateways[1], event.SystemOrg, &event.Envelope{Body: &event.Envelope_SpoolClosed{SpoolClosed: &event.SpoolClosed{LastPseq: w.Pseq(w.gateways[1])}}})
	}
	w.gateways[1]++
	w.Append(w.gateways[1], event.SystemOrg, &event.Envelope{Body: &event.Envelope_SpoolOpened{SpoolOpened: &event.SpoolOpened{Role: "gateway"}}})
}

// ledger appends an event of one of two ledgers, which may not have read the other's.
func (w *Traffic) ledger() {
	spool := uint64(ledgerSpool + w.rng.IntN(2))
	link := &event.LedgerLink{HasPrevious: w.latest.HasPrevious, PreviousOffset: w.latest.PreviousOffset}
	valid := w.rng.IntN(3) > 0
	if !valid {
		link = &event.LedgerLink{HasPrevious: true, PreviousOffset: w.latest.PreviousOffset - 1}
		w.Void++
	}
	ev := &event.Envelope{Body: &event.Envelope_Tick{Tick: &event.Tick{Link: link}}}
	org := event.SystemOrg
	switch w.rng.IntN(3) {
	case 0:
		ev.Body = &event.Envelope_PolicySeen{PolicySeen: &event.PolicySeen{Link: link, Version: w.rng.Uint64N(9)}}
	case 1:
		if len(w.open) == 0 {
			break
		}
		r := w.open[w.rng.IntN(len(w.open))]
		if !r.Admitted {
			break
		}
		x := &event.HoldExpired{Link: link, RequestId: r.ID}
		for _, h := range r.Holds {
			x.Settlements = append(x.Settlements, &event.Settlement{Hold: h, AmountNanos: h.AmountNanos})
		}
		ev.Body, org = &event.Envelope_HoldExpired{HoldExpired: x}, r.Org
		// The request stays among the open ones: its completed may still come.
		r.Provisional = r.Provisional || valid
	}
	offset := w.Append(spool, org, ev)
	if valid {
		w.latest = event.LedgerLink{HasPrevious: true, PreviousOffset: offset}
	}
}
