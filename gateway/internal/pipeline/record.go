package pipeline

import (
	"slices"
	"time"

	"github.com/tallygate/tallygate/schemas/decide"
	"github.com/tallygate/tallygate/schemas/event"
	"github.com/tallygate/tallygate/schemas/topic"
)

// holdsGrace is added to a request's longest possible duration before the ledger
// may expire its holds: time for the completion to reach the log.
const holdsGrace = 5 * time.Minute

// fillFacts completes the facts that every kind of record has.
func (r *Request) fillFacts() {
	f := &r.facts
	f.RequestId = r.id[:]
	f.DecisionVersion = decide.Version
	if r.view != nil {
		f.PolicyVersion = r.view.Version
	}
	f.ReceivedAt = r.now
	if f.UserAgent == "" {
		f.UserAgent = r.keep(r.ctx.Request.Header.UserAgent(), userAgentMax)
	}
}

// org is the tenant in whose partition the request is recorded.
func (r *Request) org() string {
	if r.key == nil {
		return event.AnonymousOrg
	}
	return r.key.Org
}

// appendEvent writes the envelope with the body that was set into the spool.
// When it returns nil the record is safe from the death of this process.
func (r *Request) appendEvent(at time.Time) error {
	org := r.org()
	r.eventID = event.NewID(at)
	partition := topic.PartitionOf(org, r.p.Config.Kafka.Partitions)
	r.env.Id, r.env.Spool, r.env.Partition = r.eventID[:], r.p.Spool.ID(), uint32(partition)
	r.env.SchemaVersion, r.env.OccurredAt, r.env.Org = event.SchemaVersion, at.UnixNano(), org
	size := r.env.SizeVT()
	r.encoded = slices.Grow(r.encoded[:0], size)[:size]
	if _, err := r.env.MarshalToSizedBufferVT(r.encoded); err != nil {
		return err
	}
	r.entry.Partition, r.entry.Body = partition, r.encoded
	err := r.p.Spool.Append(&r.entry)
	if err != nil {
		r.p.metrics.spoolErrors.Inc()
	}
	return err
}

// recordAdmitted writes that the request passed every rule.
func (r *Request) recordAdmitted() error {
	r.fillFacts()
	v := &r.verdict
	v.Allowed, v.Readings = true, r.readings.all()
	a := &r.admission
	a.Facts, a.Verdict, a.Plan = &r.facts, v, r.targets.all()
	for _, h := range r.holds {
		e := r.holdEvents.next()
		e.Reset()
		e.Budget, e.WindowStart, e.WindowEnd, e.AmountNanos = h.rule.ID, h.window.Start, h.window.End, h.amount
	}
	a.Holds = r.holdEvents.all()
	timeout := time.Duration(len(r.model.Targets)) * r.p.Config.Gateway.Upstream.TotalTimeout
	a.HoldsUntil = r.received.Add(timeout + holdsGrace).UnixNano()
	r.env.Body = &r.asAdmitted
	return r.appendEvent(r.received)
}

// recordCompleted writes the one final record of a request that got an answer.
func (r *Request) recordCompleted(at time.Time) error {
	r.fillFacts()
	o, e := &r.out, &r.end
	e.Facts, e.Outcome, e.Status, e.ErrorCode = &r.facts, o.kind, uint32(o.status), o.code
	if o.source != event.UsageSource_USAGE_SOURCE_UNSPECIFIED {
		fillUsage(&r.endUsage, &o.usage, o.source)
		e.Usage = &r.endUsage
	}
	e.CostNanos, e.FinishReason = o.costNanos, o.finish
	for _, h := range r.holdEvents.all() {
		s := r.settlements.next()
		s.Reset()
		s.Hold, s.AmountNanos = h, o.costNanos
	}
	e.Settlements = r.settlements.all()
	r.attemptEvents = r.attemptEvents[:0]
	for _, a := range r.attempts.all() {
		r.attemptEvents = append(r.attemptEvents, &a.Attempt)
	}
	e.Attempts = r.attemptEvents
	total := at.Sub(r.received)
	e.DurationNs = uint64(max(total, 0))
	e.OverheadNs = uint64(max(total-o.waited, 0))
	if !o.firstContent.IsZero() {
		e.FirstTokenNs = uint64(max(o.firstContent.Sub(r.received), 0))
	}
	e.AnswerBytes = uint64(o.answerBytes)
	if o.target != nil {
		e.Provider, e.UpstreamModel = o.target.Provider, o.target.Model
	}
	e.OriginalId, e.CostAvoidedNanos = o.original, o.avoided
	r.env.Body = &r.asCompleted
	return r.appendEvent(at)
}

// recordDenied writes the one final record of a request that a rule ended.
func (r *Request) recordDenied(d *Denial) error {
	r.fillDenied(d)
	r.env.Body = &r.asDenied
	return r.appendEvent(time.Now())
}

func (r *Request) fillDenied(d *Denial) {
	r.fillFacts()
	v := &r.verdict
	v.Allowed, v.Rule, v.Code, v.Reason = false, d.Rule, d.Error.Code, d.text()
	v.Readings, v.RetryAfterMs = r.readings.all(), d.RetryAfterMs
	r.refusal.Facts, r.refusal.Verdict, r.refusal.Status = &r.facts, v, uint32(d.Error.Status)
	r.refusal.DurationNs = uint64(time.Since(r.received))
}
