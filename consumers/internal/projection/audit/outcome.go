package audit

import (
	"strings"

	"github.com/tallygate/tallygate/consumers/internal/projection"
	"github.com/tallygate/tallygate/schemas/event"
)

// Ranks of the ends of a request: the highest one stays in the table.
const (
	rankProvisional = 1
	rankFinal       = 2
)

// maxOffset is above every offset that a version can hold beside its rank.
const maxOffset = 1<<60 - 1

// version orders the ends of one request: a final one is above a provisional one,
// whichever came first, and of two alike the first in the log is the highest.
func version(rank uint64, offset int64) uint64 {
	return rank<<60 | (maxOffset - uint64(offset))
}

func completed(rec *projection.Record, c *event.Completed) *RequestRow {
	r := row(rec, c.Facts, rankFinal)
	r.Outcome = OutcomeName(c.Outcome)
	r.Status, r.ErrorCode, r.FinishReason = uint16(c.Status), c.ErrorCode, c.FinishReason
	r.Provider, r.UpstreamModel = c.Provider, c.UpstreamModel
	r.setUsage(c.Usage)
	r.CostNanos, r.CostAvoidedNanos, r.HoldNanos = c.CostNanos, c.CostAvoidedNanos, largestHold(c.Settlements)
	r.DurationNs, r.FirstTokenNs, r.OverheadNs, r.AnswerBytes = c.DurationNs, c.FirstTokenNs, c.OverheadNs, c.AnswerBytes
	r.OriginalID = projection.UUID(c.OriginalId)
	for _, a := range c.Attempts {
		r.addAttempt(a)
	}
	return r
}

func denied(rec *projection.Record, d *event.Denied) *RequestRow {
	r := row(rec, d.Facts, rankFinal)
	r.Outcome, r.Status, r.DurationNs = "denied", uint16(d.Status), d.DurationNs
	r.setVerdict(d.Verdict)
	return r
}

func abandoned(rec *projection.Record, a *event.Abandoned) *RequestRow {
	r := row(rec, a.Facts, rankProvisional)
	r.Outcome, r.Reason, r.HoldNanos = "abandoned", a.Reason, largestHold(a.Settlements)
	return r
}

// denialsCounted is one row that stands for many denials. Its id is the event's own.
func denialsCounted(rec *projection.Record, d *event.DenialsCounted) *RequestRow {
	r := row(rec, d.GetSample().GetFacts(), rankFinal)
	r.setVerdict(d.GetSample().GetVerdict())
	r.RequestID = projection.UUID(rec.Event.Id)
	r.Team, r.App, r.Key = d.Team, d.App, d.Key
	r.Outcome, r.Status, r.Calls = "denied", uint16(d.Status), d.Count
	r.Rule, r.ErrorCode = d.Rule, d.Code
	if d.FirstAt != 0 {
		r.ReceivedAt = projection.Moment(d.FirstAt)
	}
	if d.LastAt != 0 {
		r.CompletedAt = projection.Moment(d.LastAt)
	}
	return r
}

// ReceivedAt returns when the request of an outcome came, as the table has it.
func ReceivedAt(rec *projection.Record) (nanos int64, ok bool) {
	var facts *event.Facts
	switch b := rec.Event.Body.(type) {
	case *event.Envelope_Completed:
		facts = b.Completed.Facts
	case *event.Envelope_Denied:
		facts = b.Denied.Facts
	case *event.Envelope_Abandoned:
		facts = b.Abandoned.Facts
	case *event.Envelope_DenialsCounted:
		if b.DenialsCounted.FirstAt != 0 {
			return b.DenialsCounted.FirstAt, true
		}
		facts = b.DenialsCounted.GetSample().GetFacts()
	default:
		return 0, false
	}
	if at := facts.GetReceivedAt(); at != 0 {
		return at, true
	}
	return rec.Event.OccurredAt, true
}

// row has what all outcomes share.
func row(rec *projection.Record, f *event.Facts, rank uint64) *RequestRow {
	receivedAt, _ := ReceivedAt(rec)
	return &RequestRow{
		Org: rec.Event.Org, RequestID: projection.UUID(f.GetRequestId()), ParentID: projection.UUID(f.GetParentId()),
		Team: f.GetTeam(), App: f.GetApp(), Key: f.GetKey(), EndUser: f.GetEndUser(), Operation: f.GetOperation(),
		Dialect: f.GetDialect(), Route: f.GetRoute(), Model: f.GetModel(), Stream: f.GetStream(), Calls: 1,
		InputTokensEstimated: f.GetInputTokensEstimated(), OutputTokensBound: f.GetOutputTokensBound(),
		ReceivedAt: projection.Moment(receivedAt), CompletedAt: projection.Moment(rec.Event.OccurredAt),
		RuleWindowStart: projection.Moment(0), RuleWindowEnd: projection.Moment(0),
		BodyBytes: f.GetBodyBytes(), UserAgent: f.GetUserAgent(),
		PolicyVersion: f.GetPolicyVersion(), DecisionVersion: f.GetDecisionVersion(),
		EventID: projection.UUID(rec.Event.Id), Spool: rec.Event.Spool, Partition: uint32(rec.Partition), Pseq: rec.Seal.Pseq,
		Offset: uint64(rec.Offset), AppendedAt: rec.AppendedAt, Version: version(rank, rec.Offset),
	}
}

func (r *RequestRow) setUsage(u *event.Usage) {
	if u == nil {
		return
	}
	r.InputTokens, r.OutputTokens, r.ReasoningTokens = u.Input, u.Output, u.Reasoning
	r.CacheReadTokens, r.CacheWrite5mTokens, r.CacheWrite1hTokens = u.CacheRead, u.CacheWrite_5M, u.CacheWrite_1H
	switch u.Source {
	case event.UsageSource_USAGE_SOURCE_REPORTED:
		r.UsageSource = "reported"
	case event.UsageSource_USAGE_SOURCE_ESTIMATED:
		r.UsageSource = "estimated"
	}
}

// setVerdict takes over why a rule denied, and what it had read.
func (r *RequestRow) setVerdict(v *event.Verdict) {
	if v == nil {
		return
	}
	r.Rule, r.ErrorCode, r.Reason, r.RetryAfterMs = v.Rule, v.Code, v.Reason, v.RetryAfterMs
	for _, reading := range v.Readings {
		if reading.Rule == v.Rule {
			r.RuleKind, r.RuleLimit, r.RuleUsed, r.RuleAsked = reading.Kind, reading.Limit, reading.Used, reading.Asked
			r.RuleWindowStart, r.RuleWindowEnd = projection.Moment(reading.WindowStart), projection.Moment(reading.WindowEnd)
		}
	}
}

func (r *RequestRow) addAttempt(a *event.Attempt) {
	r.AttemptProvider = append(r.AttemptProvider, a.GetProvider())
	r.AttemptModel = append(r.AttemptModel, a.GetModel())
	r.AttemptCredential = append(r.AttemptCredential, a.GetCredential())
	r.AttemptStatus = append(r.AttemptStatus, uint16(a.GetStatus()))
	r.AttemptErrorClass = append(r.AttemptErrorClass, a.GetErrorClass())
	r.AttemptStartedAt = append(r.AttemptStartedAt, projection.Moment(a.GetStartedAt()))
	r.AttemptFirstByteNs = append(r.AttemptFirstByteNs, a.GetFirstByteNs())
	r.AttemptDurationNs = append(r.AttemptDurationNs, a.GetDurationNs())
	r.AttemptInputTokens = append(r.AttemptInputTokens, a.GetUsage().GetInput())
	r.AttemptOutputTokens = append(r.AttemptOutputTokens, a.GetUsage().GetOutput())
	r.AttemptCostNanos = append(r.AttemptCostNanos, a.GetCostNanos())
	r.AttemptPriced = append(r.AttemptPriced, a.GetPriced())
	r.AttemptUpstreamRequestID = append(r.AttemptUpstreamRequestID, a.GetUpstreamRequestId())
}

// OutcomeName returns an outcome as the tables have it: OUTCOME_OK is "ok".
func OutcomeName(o event.Outcome) string {
	return strings.ToLower(strings.TrimPrefix(o.String(), "OUTCOME_"))
}

func largestHold(settlements []*event.Settlement) int64 {
	var largest int64
	for _, s := range settlements {
		largest = max(largest, s.GetHold().GetAmountNanos())
	}
	return largest
}
