package check

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/tallygate/tallygate/schemas/event"
	"github.com/tallygate/tallygate/schemas/topic"
)

// gapMax bounds how many missing records of a chain are remembered one by one; a
// larger gap is taken for a wrong number.
const gapMax = 10_000_000

// Log is the requests topic, summed up.
type Log struct {
	// Findings are what is wrong with the log itself.
	Findings Findings
	// Records counts all records, Duplicates those that repeat an earlier one.
	Records, Duplicates int64

	partitions []partition
	chains     map[chainKey]*chain
	requests   map[event.ID]*request
	// aggregates are denials that were counted together, by their event's id.
	aggregates map[event.ID]*outcome
}

// partition is what was seen of one partition.
type partition struct {
	start, next int64
	// marks are the last eight bytes of each record, from start on: part of its hash.
	marks []uint64
	link  event.LedgerLink
}

// request is what the log says of one request.
type request struct {
	org      string
	admitted bool
	// held are its holds, final or provisional what has become of them.
	held        []charge
	final       *outcome
	finals      int
	charged     []charge
	provisional []charge
	// abandoned is the outcome in the audit table as long as there is no final one.
	abandoned *outcome
}

// charge is an amount in one window of one budget.
type charge struct {
	budget      string
	windowStart int64
	nanos       int64
}

// outcome is one row of the audit table, as it must be.
type outcome struct {
	owner  Owner
	kind   string
	status uint32
	minute int64 // of arrival, seconds since the Unix epoch
	sums   Sums
}

// NewLog returns the summary of an empty log with so many partitions.
func NewLog(partitions int) *Log {
	return &Log{
		partitions: make([]partition, partitions), chains: map[chainKey]*chain{},
		requests: map[event.ID]*request{}, aggregates: map[event.ID]*outcome{},
	}
}

// startAt says with which offset a partition begins. It is called before Add.
func (l *Log) startAt(p int32, offset int64) {
	l.partitions[p].start, l.partitions[p].next = offset, offset
}

// Add takes the next record of a partition. It keeps nothing of value.
func (l *Log) Add(p int32, offset int64, value []byte) {
	l.Records++
	at := fmt.Sprintf("partition %d offset %d", p, offset)
	part := &l.partitions[p]
	for ; part.next < offset; part.next++ {
		part.marks = append(part.marks, 0) // an offset without a record, as after an aborted write
	}
	part.next = offset + 1
	seal, err := event.OpenSeal(value)
	if err != nil {
		part.marks = append(part.marks, 0)
		l.Findings.add("broken seal", "%s: %s", at, err)
		return
	}
	part.marks = append(part.marks, binary.LittleEndian.Uint64(seal.Hash[24:]))
	var ev event.Envelope
	if err := ev.UnmarshalVT(value); err != nil {
		l.Findings.add("unreadable", "%s: %s", at, err)
		return
	}
	l.place(at, p, &ev)
	key := chainKey{ev.Spool, p}
	c := l.chains[key]
	if c == nil {
		c = &chain{}
		if part.start == 0 {
			c.first = 1
		}
		l.chains[key] = c
	}
	if seal.Pseq == 0 || seal.Pseq > c.first+uint64(len(c.hashes))+gapMax {
		l.Findings.add("gap", "%s, %s: pseq %d cannot be right", at, key, seal.Pseq)
		return
	}
	if !c.take(at+", "+key.String(), seal, &l.Findings) {
		l.Duplicates++
		return
	}
	l.apply(at, p, offset, c, seal.Pseq, &ev)
}

// place checks that the event is where it belongs.
func (l *Log) place(at string, p int32, ev *event.Envelope) {
	if ev.Partition != uint32(p) {
		l.Findings.add("wrong partition", "%s: the event says partition %d", at, ev.Partition)
	}
	if want := topic.PartitionOf(ev.Org, len(l.partitions)); ev.Org != event.SystemOrg && want != p {
		l.Findings.add("wrong partition", "%s: org %q belongs to partition %d", at, ev.Org, want)
	}
	if ev.SchemaVersion > event.SchemaVersion {
		l.Findings.add("newer schema", "%s: schema version %d; this checker knows %d", at, ev.SchemaVersion, event.SchemaVersion)
	}
}

// apply takes over what a new event says.
func (l *Log) apply(at string, p int32, offset int64, c *chain, pseq uint64, ev *event.Envelope) {
	switch b := ev.Body.(type) {
	case *event.Envelope_Admitted:
		l.admitted(at, ev, b.Admitted)
	case *event.Envelope_Completed:
		l.completed(at, ev, b.Completed)
	case *event.Envelope_Denied:
		l.denied(at, ev, b.Denied)
	case *event.Envelope_Abandoned:
		l.abandoned(at, ev, b.Abandoned)
	case *event.Envelope_DenialsCounted:
		l.denialsCounted(ev, b.DenialsCounted)
	case *event.Envelope_HoldExpired:
		if l.linked(p, offset, b.HoldExpired.Link) {
			r := l.request(at, b.HoldExpired.RequestId, ev.Org)
			r.provisional = append([]charge(nil), r.held...)
		}
	case *event.Envelope_PolicySeen:
		l.linked(p, offset, b.PolicySeen.Link)
	case *event.Envelope_Tick:
		l.linked(p, offset, b.Tick.Link)
	case *event.Envelope_SpoolClosed:
		c.closed = true
		if b.SpoolClosed.LastPseq != pseq-1 {
			l.Findings.add("gap", "%s: the spool was closed after pseq %d, but this is pseq %d", at, b.SpoolClosed.LastPseq, pseq)
		}
	}
}

// linked says if a ledger's event names the latest one before it, and makes it the latest.
func (l *Log) linked(p int32, offset int64, link *event.LedgerLink) bool {
	last := &l.partitions[p].link
	if link.GetHasPrevious() != last.HasPrevious || last.HasPrevious && link.GetPreviousOffset() != last.PreviousOffset {
		return false
	}
	last.HasPrevious, last.PreviousOffset = true, offset
	return true
}

func (l *Log) request(at string, id []byte, org string) *request {
	if len(id) != len(event.ID{}) {
		l.Findings.add("no request id", "%s: the request's id has %d bytes", at, len(id))
		return &request{org: org}
	}
	key := event.ID(id)
	r := l.requests[key]
	if r == nil {
		r = &request{org: org}
		l.requests[key] = r
	}
	if r.org != org {
		l.Findings.add("two orgs", "%s: request %s is of org %q and of org %q", at, key, r.org, org)
	}
	return r
}

func (l *Log) admitted(at string, ev *event.Envelope, a *event.Admitted) {
	r := l.request(at, a.GetFacts().GetRequestId(), ev.Org)
	if r.admitted {
		l.Findings.add("admitted twice", "%s: request %s", at, event.ID(a.Facts.RequestId))
		return
	}
	r.admitted = true
	for _, h := range a.Holds {
		r.held = append(r.held, charge{h.Budget, h.WindowStart, h.AmountNanos})
	}
}

func (l *Log) completed(at string, ev *event.Envelope, c *event.Completed) {
	r := l.request(at, c.GetFacts().GetRequestId(), ev.Org)
	if !l.final(at, r, c.GetFacts()) {
		return
	}
	u := c.GetUsage()
	r.final = outcomeOf(ev, c.GetFacts(), outcomeName(c.Outcome), c.Status)
	r.final.sums = Sums{Calls: 1, Input: int64(u.GetInput()), Output: int64(u.GetOutput()), CostNanos: c.CostNanos}
	for _, s := range c.Settlements {
		r.charged = append(r.charged, charge{s.GetHold().GetBudget(), s.GetHold().GetWindowStart(), s.AmountNanos})
	}
	if !r.admitted && len(c.Attempts) > 0 && len(r.provisional) == 0 {
		l.Findings.add("called without admission", "%s: request %s", at, event.ID(c.Facts.RequestId))
	}
	l.costs(at, c)
}

// costs checks that the parts of a request add up.
func (l *Log) costs(at string, c *event.Completed) {
	if len(c.Attempts) == 0 {
		return
	}
	sum := int64(0)
	for _, a := range c.Attempts {
		sum += a.CostNanos
	}
	if sum != c.CostNanos {
		l.Findings.add("cost differs from its attempts", "%s: request %s: %d nanos; the attempts cost %d", at, event.ID(c.Facts.RequestId), c.CostNanos, sum)
	}
}

func (l *Log) denied(at string, ev *event.Envelope, d *event.Denied) {
	r := l.request(at, d.GetFacts().GetRequestId(), ev.Org)
	if l.final(at, r, d.GetFacts()) {
		r.final = outcomeOf(ev, d.GetFacts(), "denied", d.Status)
		r.final.sums.Calls = 1
	}
}

// final notes the one final record of a request; a second one is a defect.
func (l *Log) final(at string, r *request, f *event.Facts) bool {
	if r.finals++; r.finals > 1 {
		l.Findings.add("two final records", "%s: request %x", at, f.GetRequestId())
		return false
	}
	return true
}

func (l *Log) abandoned(at string, ev *event.Envelope, a *event.Abandoned) {
	r := l.request(at, a.GetFacts().GetRequestId(), ev.Org)
	if r.abandoned == nil {
		r.abandoned = outcomeOf(ev, a.GetFacts(), "abandoned", 0)
		r.abandoned.sums.Calls = 1
	}
	if len(r.provisional) > 0 {
		return
	}
	for _, s := range a.Settlements {
		h := s.GetHold()
		r.provisional = append(r.provisional, charge{h.GetBudget(), h.GetWindowStart(), h.GetAmountNanos()})
	}
}

func (l *Log) denialsCounted(ev *event.Envelope, d *event.DenialsCounted) {
	o := outcomeOf(ev, d.GetSample().GetFacts(), "denied", d.Status)
	o.owner.Key = d.Key
	o.sums.Calls = int64(d.Count)
	if d.FirstAt != 0 {
		o.minute = minuteOf(d.FirstAt)
	}
	if len(ev.Id) == len(event.ID{}) {
		l.aggregates[event.ID(ev.Id)] = o
	}
}

func outcomeOf(ev *event.Envelope, f *event.Facts, kind string, status uint32) *outcome {
	received := f.GetReceivedAt()
	if received == 0 {
		received = ev.OccurredAt
	}
	return &outcome{owner: Owner{ev.Org, f.GetKey()}, kind: kind, status: status, minute: minuteOf(received)}
}

func minuteOf(nanos int64) int64 {
	return time.Unix(0, nanos).UTC().Truncate(time.Minute).Unix()
}

// outcomeName is what the audit table calls an outcome.
func outcomeName(o event.Outcome) string {
	names := map[event.Outcome]string{
		event.Outcome_OUTCOME_OK: "ok", event.Outcome_OUTCOME_UPSTREAM_ERROR: "upstream_error",
		event.Outcome_OUTCOME_CLIENT_CLOSED: "client_closed", event.Outcome_OUTCOME_TIMEOUT: "timeout",
		event.Outcome_OUTCOME_REPLAYED: "replayed", event.Outcome_OUTCOME_INTERNAL_ERROR: "internal_error",
	}
	return names[o]
}
