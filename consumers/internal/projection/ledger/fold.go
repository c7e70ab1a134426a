// Package ledger folds one partition of the requests topic into double entries and
// balances. The fold reads the partition, in order, and nothing else: its time is
// the highest append time seen.
//
// What it keeps true:
//   - An event counts once, by its spool and pseq, however often it is in the log.
//   - A hold ends once: by a release and what was charged, or provisionally by its
//     full amount, which a later end takes back within the hold's own window.
//   - The same records give the same entries at the same places, whoever folds them.
//   - An event of a ledger counts only if it names the latest one before it, so that
//     two ledgers at work do no harm.
package ledger

import (
	"time"

	"github.com/google/uuid"

	"github.com/tallygate/tallygate/consumers/internal/projection"
	"github.com/tallygate/tallygate/schemas/event"
)

// Fold is the state of one partition's ledger. It is not safe for concurrent use.
type Fold struct {
	partition int32
	// next is the offset after the last record folded.
	next int64
	// now is the fold's time, in nanoseconds since the Unix epoch.
	now       int64
	sequences map[uint64]*sequence
	requests  map[uuid.UUID]*request
	// ended are requests that completed while their admission was missing. It may turn
	// up, and must not open holds then. There are no more of them than events missing.
	ended    map[uuid.UUID]struct{}
	expiries expiries
	budgets  map[string]*budget
	dirty    map[string]*budget
	link     event.LedgerLink
	// policyVersion is what the partition itself names.
	policyVersion uint64
	gaps          int
	counts        Counts
	entries       []Entry
}

// Counts say what the fold met that is not the usual course.
type Counts struct {
	// Duplicates are records whose event was folded before.
	Duplicates uint64
	// Void are ledger events that did not name the latest one.
	Void uint64
	// Repeated are ends of requests that had ended.
	Repeated uint64
	// Overdrafts are charges above their hold.
	Overdrafts uint64
	// Provisional are holds that ended unheard of, Corrected those of them that a completed took back.
	Provisional, Corrected uint64
}

// request is a request whose holds are open, or were charged provisionally.
type request struct {
	id  uuid.UUID
	org string
	// spool is the one whose part of the balances the request belongs to.
	spool       uint64
	provisional bool
	// admitted is false if a successor's abandoned came first.
	admitted bool
	until    int64
	// place is the request's index in the fold's expiries, while its holds are open.
	place int
	holds []*event.Hold
}

// New returns the fold of an empty partition.
func New(partition int32) *Fold {
	return &Fold{
		partition: partition, sequences: map[uint64]*sequence{}, requests: map[uuid.UUID]*request{},
		ended: map[uuid.UUID]struct{}{}, budgets: map[string]*budget{}, dirty: map[string]*budget{},
	}
}

// Apply folds one record and returns the entries it makes, which are valid until
// the next call.
func (f *Fold) Apply(rec *projection.Record) []Entry {
	f.entries = f.entries[:0]
	f.next = rec.Offset + 1
	f.now = max(f.now, rec.AppendedAt.UnixNano())
	ev := rec.Event
	seq := f.sequences[ev.Spool]
	if seq == nil {
		seq = &sequence{}
		f.sequences[ev.Spool] = seq
	}
	before := len(seq.missing)
	fresh, _ := seq.take(rec.Seal.Pseq)
	if after := len(seq.missing); after != before {
		f.gapsChanged(after - before)
	}
	if !fresh {
		f.counts.Duplicates++
		return nil
	}
	switch b := ev.Body.(type) {
	case *event.Envelope_Admitted:
		f.admitted(ev, b.Admitted)
	case *event.Envelope_Completed:
		f.completed(ev, seq, b.Completed)
	case *event.Envelope_Abandoned:
		f.abandoned(ev, b.Abandoned)
	case *event.Envelope_HoldExpired:
		if f.linked(rec.Offset, b.HoldExpired.Link) {
			f.expired(projection.UUID(b.HoldExpired.RequestId))
		}
	case *event.Envelope_PolicySeen:
		if f.linked(rec.Offset, b.PolicySeen.Link) {
			f.policyVersion = max(f.policyVersion, b.PolicySeen.Version)
		}
	case *event.Envelope_Tick:
		f.linked(rec.Offset, b.Tick.Link)
	case *event.Envelope_SpoolClosed:
		seq.closed = true
		f.closeParts(ev.Spool)
	}
	for i := range f.entries {
		e := &f.entries[i]
		e.Spool, e.Pseq, e.Partition, e.Offset, e.N, e.AppendedAt = ev.Spool, rec.Seal.Pseq, rec.Partition, rec.Offset, i, rec.AppendedAt
	}
	return f.entries
}

// Skip passes over a record that cannot be read. It is missing in its spool's sequence.
func (f *Fold) Skip(offset int64) { f.next = offset + 1 }

// Next is the offset after the last record folded.
func (f *Fold) Next() int64 { return f.next }

// Now is the fold's time: the highest append time seen.
func (f *Fold) Now() time.Time { return time.Unix(0, f.now) }

// PolicyVersion is the policy version that the partition last named.
func (f *Fold) PolicyVersion() uint64 { return f.policyVersion }

// Link is what the next event of a ledger must name to count.
func (f *Fold) Link() *event.LedgerLink {
	return &event.LedgerLink{HasPrevious: f.link.HasPrevious, PreviousOffset: f.link.PreviousOffset}
}

// Counts says what the fold met that is not the usual course.
func (f *Fold) Counts() Counts { return f.counts }

// Open is the number of requests whose holds are open.
func (f *Fold) Open() int { return len(f.expiries) }

// Gaps is the number of gaps in the sequences of spools.
func (f *Fold) Gaps() int { return f.gaps }

// linked says if a ledger's event names the latest one, and makes it the latest.
func (f *Fold) linked(offset int64, l *event.LedgerLink) bool {
	if l.GetHasPrevious() != f.link.HasPrevious || l.GetHasPrevious() && l.PreviousOffset != f.link.PreviousOffset {
		f.counts.Void++
		return false
	}
	f.link.HasPrevious, f.link.PreviousOffset = true, offset
	return true
}

// gapsChanged marks every balance: whose events are missing cannot be known.
func (f *Fold) gapsChanged(by int) {
	was := f.gaps > 0
	f.gaps += by
	if was != (f.gaps > 0) {
		for id, b := range f.budgets {
			f.dirty[id] = b
		}
	}
}
