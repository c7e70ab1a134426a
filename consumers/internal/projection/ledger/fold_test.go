package ledger

import (
	"slices"
	"testing"
	"time"

	"github.com/tallygate/tallygate/consumers/internal/projection/projectiontest"
	"github.com/tallygate/tallygate/schemas/event"
)

const (
	gateway  = 7
	day      = int64(24 * time.Hour)
	monthEnd = 31 * day
)

// scene is a log with its fold.
type scene struct {
	*projectiontest.Log
	fold    *Fold
	entries []Entry
}

func newScene(t *testing.T) *scene {
	return &scene{Log: projectiontest.NewLog(t, 0), fold: New(0)}
}

// append appends an event and folds it.
func (s *scene) append(spool uint64, ev *event.Envelope) int64 {
	offset := s.Append(spool, "org", ev)
	s.entries = append(s.entries, s.fold.Apply(s.Records[offset])...)
	return offset
}

func (s *scene) kinds() (out []string) {
	for _, e := range s.entries {
		out = append(out, e.Entry)
	}
	return out
}

// balance is the one balance of the scene's budget that is published.
func (s *scene) balance() *event.Balance {
	s.T.Helper()
	list := s.fold.TakeChanged()
	if len(list) != 1 {
		s.T.Fatalf("unexpected number of balances; got %d; want 1", len(list))
	}
	return list[0]
}

func hold(start, end, nanos int64) *event.Hold {
	return &event.Hold{Budget: "b", WindowStart: start, WindowEnd: end, AmountNanos: nanos}
}

func admitted(id []byte, until int64, h *event.Hold) *event.Envelope {
	return &event.Envelope{Body: &event.Envelope_Admitted{Admitted: &event.Admitted{
		Facts: &event.Facts{RequestId: id}, Holds: []*event.Hold{h}, HoldsUntil: until,
	}}}
}

func completed(id []byte, h *event.Hold, nanos int64) *event.Envelope {
	return &event.Envelope{Body: &event.Envelope_Completed{Completed: &event.Completed{
		Facts: &event.Facts{RequestId: id}, CostNanos: nanos, Provider: "p", Settlements: []*event.Settlement{{Hold: h, AmountNanos: nanos}},
	}}}
}

func expired(id []byte, link *event.LedgerLink) *event.Envelope {
	return &event.Envelope{Body: &event.Envelope_HoldExpired{HoldExpired: &event.HoldExpired{RequestId: id, Link: link}}}
}

func TestLateCompletedCorrectsTheHoldsOwnWindow(t *testing.T) {
	s := newScene(t)
	id, h := s.ID(), hold(0, day, 100)
	s.append(gateway, admitted(id, 0, h))
	s.append(1, expired(id, s.fold.Link()))
	if b := s.balance(); b.SettledNanos != 100 || b.HeldNanos != 0 {
		t.Fatalf("unexpected balance after expiry; got %v; want 100 settled", b)
	}
	// Another window has begun meanwhile.
	next := s.ID()
	s.append(gateway, admitted(next, 0, hold(day, 2*day, 5)))
	s.append(gateway, completed(id, h, 130))
	if b := s.balance(); b.WindowStart != day || b.HeldNanos != 5 || b.SettledNanos != 0 {
		t.Fatalf("unexpected balance of the new window; got %v; want 5 held", b)
	}
	want := []string{EntryHold, EntryRelease, EntryProvisional, EntryHold, EntryCorrection, EntryCharge, EntryCost}
	if got := s.kinds(); !slices.Equal(got, want) {
		t.Fatalf("unexpected entries; got %v; want %v", got, want)
	}
	for i, e := range s.entries[4:6] {
		if e.WindowStart != 0 || e.WindowEnd != day || e.N != i {
			t.Fatalf("unexpected correction; got %+v; want it in the hold's own window", e)
		}
	}
	if !s.entries[5].Overdraft {
		t.Fatal("a charge above its hold must be flagged as an overdraft")
	}
}

func TestPartsOfSpools(t *testing.T) {
	s := newScene(t)
	a, b := s.ID(), s.ID()
	s.append(gateway, admitted(a, 0, hold(0, day, 100)))
	s.append(8, admitted(b, 0, hold(0, day, 30)))
	s.append(gateway, completed(a, hold(0, day, 100), 60))
	got := s.balance()
	if got.SettledNanos != 60 || got.HeldNanos != 30 || len(got.Parts) != 2 || got.Offset != 3 {
		t.Fatalf("unexpected balance; got %v; want 60 settled, 30 held, two parts, at offset 3", got)
	}
	if p := got.Parts[0]; p.Spool != gateway || p.SettledNanos != 60 || p.HeldNanos != 0 || p.AppliedPseq != 2 {
		t.Fatalf("unexpected part of spool 7; got %v", p)
	}
	// An expiry is the ledger's event, and stays in the part of the request's spool:
	// there the gateway's own counter has the hold.
	s.append(1, expired(b, s.fold.Link()))
	if p := s.balance().Parts[1]; p.Spool != 8 || p.SettledNanos != 30 || p.HeldNanos != 0 {
		t.Fatalf("unexpected part of spool 8; got %v; want 30 settled", p)
	}
	s.append(gateway, &event.Envelope{Body: &event.Envelope_SpoolClosed{SpoolClosed: &event.SpoolClosed{LastPseq: 2}}})
	if got := s.balance(); got.SettledNanos != 90 || len(got.Parts) != 1 {
		t.Fatalf("unexpected balance after spool 7 closed; got %v; want 90 settled, one part", got)
	}
}

func TestGapMakesBalancesIncomplete(t *testing.T) {
	s := newScene(t)
	s.append(gateway, admitted(s.ID(), 0, hold(0, day, 1)))
	missing := s.Seal(gateway, "org", admitted(s.ID(), 0, hold(0, day, 10)))
	s.append(gateway, admitted(s.ID(), 0, hold(0, day, 100)))
	if b := s.balance(); !b.Incomplete || b.HeldNanos != 101 || s.fold.Gaps() != 1 {
		t.Fatalf("unexpected balance after a gap; got %v; want 101 held and incomplete", b)
	}
	// What was missing turns up after all.
	offset := s.AppendBytes(missing)
	s.fold.Apply(s.Records[offset])
	if b := s.balance(); b.Incomplete || b.HeldNanos != 111 || s.fold.Gaps() != 0 {
		t.Fatalf("unexpected balance after the gap closed; got %v; want 111 held and complete", b)
	}
}

// A request that completed while its admission was missing has ended: when the
// admission turns up after all, no hold is opened that nobody would end.
func TestAdmittedThatTurnsUpAfterItsCompleted(t *testing.T) {
	s := newScene(t)
	id, h := s.ID(), hold(0, day, 100)
	missing := s.Seal(gateway, "org", admitted(id, 0, h))
	s.append(gateway, completed(id, h, 60))
	s.append(8, &event.Envelope{Body: &event.Envelope_Abandoned{Abandoned: &event.Abandoned{
		Facts: &event.Facts{RequestId: id}, AdmittedSpool: gateway, AdmittedPseq: 1, Settlements: []*event.Settlement{{Hold: h, AmountNanos: 100}},
	}}})
	offset := s.AppendBytes(missing)
	s.fold.Apply(s.Records[offset])
	if b := s.balance(); b.SettledNanos != 60 || b.HeldNanos != 0 || b.Incomplete || s.fold.Open() != 0 {
		t.Fatalf("unexpected balance; got %v with %d open requests; want 60 settled, nothing held, none open", b, s.fold.Open())
	}
}

// The window that is published is that of the latest request, whatever its start.
func TestBudgetThatChangedItsWindow(t *testing.T) {
	s := newScene(t)
	s.append(gateway, admitted(s.ID(), 0, hold(10*day, 11*day, 1)))
	s.append(gateway, admitted(s.ID(), 0, hold(0, monthEnd, 2)))
	if b := s.balance(); b.WindowEnd != monthEnd {
		t.Fatalf("unexpected window; got %v; want the month", b)
	}
	// A record of the old window that comes late does not bring it back.
	late := admitted(s.ID(), 0, hold(10*day, 11*day, 4))
	value := s.Seal(gateway, "org", late)
	s.fold.budgets["b"].touched += int64(time.Hour)
	s.fold.Apply(s.Records[s.AppendBytes(value)])
	if b := s.balance(); b.WindowEnd != monthEnd || b.HeldNanos != 2 {
		t.Fatalf("unexpected window; got %v; want the month with 2 held", b)
	}
}

func TestVoidLedgerEventsHaveNoEffect(t *testing.T) {
	s := newScene(t)
	a, b := s.ID(), s.ID()
	s.append(gateway, admitted(a, 0, hold(0, day, 1)))
	s.append(gateway, admitted(b, 0, hold(0, day, 2)))
	link := s.fold.Link()
	s.append(1, expired(a, link))
	s.append(2, expired(b, link)) // The second ledger had not read the first one's event.
	if got := s.balance(); got.SettledNanos != 1 || got.HeldNanos != 2 || s.fold.Counts().Void != 1 {
		t.Fatalf("unexpected balance; got %v; want 1 settled, 2 held, one void event", got)
	}
	s.append(2, expired(b, s.fold.Link()))
	if got := s.balance(); got.SettledNanos != 3 {
		t.Fatalf("unexpected balance; got %v; want 3 settled", got)
	}
}

func TestExpiredInOrderAndOnlyByTheLogsTime(t *testing.T) {
	s := newScene(t)
	late, early := s.ID(), s.ID()
	now := s.Now().UnixNano()
	s.append(gateway, admitted(late, now+int64(2*time.Second), hold(0, day, 1)))
	s.append(gateway, admitted(early, now+int64(time.Second), hold(0, day, 2)))
	if got := s.fold.Expired(0, 10); got != nil {
		t.Fatalf("unexpected expiries before their time: %v", got)
	}
	if !s.fold.TickDue(s.Now().Add(time.Minute), 0) || s.fold.TickDue(s.Now().Add(time.Minute), time.Hour) {
		t.Fatal("a tick is due when holds have ended by the clock, with the grace")
	}
	s.Step = time.Minute
	s.append(1, &event.Envelope{Body: &event.Envelope_Tick{Tick: &event.Tick{Link: s.fold.Link()}}})
	got := s.fold.Expired(0, 10)
	if len(got) != 2 || string(got[0].Event.RequestId) != string(early) || got[0].Event.Settlements[0].AmountNanos != 2 {
		t.Fatalf("unexpected expiries; got %v; want the early one first", got)
	}
	if s.fold.TickDue(s.Now().Add(time.Hour), 0) {
		t.Fatal("no tick is due when the log's time shows the end already")
	}
}

func TestSequence(t *testing.T) {
	var s sequence
	f := func(pseq uint64, fresh bool, missing ...gap) {
		t.Helper()
		if got, _ := s.take(pseq); got != fresh || !slices.Equal(s.missing, missing) {
			t.Fatalf("unexpected result for %d; got %v, missing %v; want %v, missing %v", pseq, got, s.missing, fresh, missing)
		}
	}
	f(1, true)
	f(1, false)
	f(6, true, gap{2, 6})
	f(4, true, gap{2, 4}, gap{5, 6})
	f(4, false, gap{2, 4}, gap{5, 6})
	f(5, true, gap{2, 4})
	f(2, true, gap{3, 4})
	f(3, true)
	f(6, false)
	f(7, true)
}
