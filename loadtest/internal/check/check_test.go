package check

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tallygate/tallygate/schemas/event"
	"github.com/tallygate/tallygate/schemas/topic"
)

const testPartitions = 4

var epoch = time.Date(2026, 5, 4, 10, 30, 20, 0, time.UTC)

// record is a record of the test's log.
type record struct {
	partition int32
	value     []byte
}

// spool writes sealed records, as a gateway or a ledger does.
type spool struct {
	id   uint64
	pseq map[int32]uint64
	prev map[int32]event.Hash
	log  *[]record
}

func newSpool(log *[]record, id uint64) *spool {
	return &spool{id: id, pseq: map[int32]uint64{}, prev: map[int32]event.Hash{}, log: log}
}

func (s *spool) write(t testing.TB, p int32, org string, body any) {
	t.Helper()
	ev := &event.Envelope{SchemaVersion: 1, Spool: s.id, Partition: uint32(p), OccurredAt: epoch.UnixNano(), Org: org}
	id := event.NewID(epoch)
	ev.Id = id[:]
	switch b := body.(type) {
	case *event.Admitted:
		ev.Body = &event.Envelope_Admitted{Admitted: b}
	case *event.Completed:
		ev.Body = &event.Envelope_Completed{Completed: b}
	case *event.Denied:
		ev.Body = &event.Envelope_Denied{Denied: b}
	case *event.Abandoned:
		ev.Body = &event.Envelope_Abandoned{Abandoned: b}
	case *event.DenialsCounted:
		ev.Body = &event.Envelope_DenialsCounted{DenialsCounted: b}
	case *event.SpoolOpened:
		ev.Body = &event.Envelope_SpoolOpened{SpoolOpened: b}
	case *event.SpoolClosed:
		b.LastPseq = s.pseq[p]
		ev.Body = &event.Envelope_SpoolClosed{SpoolClosed: b}
	case *event.HoldExpired:
		ev.Body = &event.Envelope_HoldExpired{HoldExpired: b}
	default:
		t.Fatalf("BUG: no event is made of %T", body)
	}
	value, err := ev.MarshalVT()
	if err != nil {
		t.Fatal(err)
	}
	s.seal(p, value)
}

// seal adds a record of the given bytes.
func (s *spool) seal(p int32, value []byte) {
	s.pseq[p]++
	prev := s.prev[p]
	value, hash := event.AppendSeal(value, 0, s.pseq[p], &prev)
	s.prev[p] = hash
	*s.log = append(*s.log, record{p, value})
}

func idOf(n int) event.ID {
	id := event.ID{0: 1, 6: 0x70, 8: 0x80}
	id[14], id[15] = byte(n>>8), byte(n)
	return id
}

func facts(n int) *event.Facts {
	id := idOf(n)
	return &event.Facts{RequestId: id[:], Key: "key-1", Operation: "chat", Model: "gpt-5-mini", ReceivedAt: epoch.Add(time.Duration(n) * time.Second).UnixNano()}
}

func hold(nanos int64) *event.Hold {
	return &event.Hold{Budget: "b1", WindowStart: epoch.Truncate(time.Hour).UnixNano(), AmountNanos: nanos}
}

func (s *spool) admit(t testing.TB, org string, n int) {
	s.write(t, topic.PartitionOf(org, testPartitions), org, &event.Admitted{Facts: facts(n), Holds: []*event.Hold{hold(1000)}})
}

func (s *spool) complete(t testing.TB, org string, n int) {
	cost := int64(100 + n)
	s.write(t, topic.PartitionOf(org, testPartitions), org, &event.Completed{
		Facts: facts(n), Outcome: event.Outcome_OUTCOME_OK, Status: 200, CostNanos: cost,
		Usage:       &event.Usage{Source: event.UsageSource_USAGE_SOURCE_REPORTED, Input: uint64(10 + n), Output: uint64(20 + n)},
		Attempts:    []*event.Attempt{{Status: 200, CostNanos: cost}},
		Settlements: []*event.Settlement{{Hold: hold(1000), AmountNanos: cost}},
	})
}

// goodLog is a log in which everything happens that may happen.
func goodLog(t testing.TB) []record {
	var log []record
	g := newSpool(&log, 11)
	for p := range int32(testPartitions) {
		g.write(t, p, event.SystemOrg, &event.SpoolOpened{Role: "gateway"})
	}
	orgs := []string{"acme", "globex"}
	for n := range 40 {
		g.admit(t, orgs[n%2], n)
	}
	for n := range 38 {
		g.complete(t, orgs[n%2], n)
	}
	g.write(t, topic.PartitionOf("acme", testPartitions), "acme", &event.Denied{Facts: facts(100), Status: 429})
	g.write(t, topic.PartitionOf("acme", testPartitions), "acme", &event.DenialsCounted{Key: "key-1", Rule: "r", Count: 7, Status: 429, FirstAt: epoch.UnixNano()})
	// The process dies: some of its records are shipped twice, and the next one ends request 38.
	p := topic.PartitionOf("acme", testPartitions)
	for _, r := range slices.Clone(log) {
		if r.partition == p && len(log) < 200 {
			log = append(log, r)
		}
	}
	h := newSpool(&log, 12)
	for p := range int32(testPartitions) {
		h.write(t, p, event.SystemOrg, &event.SpoolOpened{Role: "gateway"})
	}
	h.write(t, p, "acme", &event.Abandoned{Facts: facts(38), AdmittedSpool: 11, Settlements: []*event.Settlement{{Hold: hold(1000), AmountNanos: 1000}}})
	// The ledger expires request 39; a second ledger's event is void.
	l := newSpool(&log, 13)
	id, other := idOf(39), idOf(3)
	l.write(t, topic.PartitionOf("globex", testPartitions), "globex", &event.HoldExpired{Link: &event.LedgerLink{}, RequestId: id[:]})
	l.write(t, topic.PartitionOf("globex", testPartitions), "globex", &event.HoldExpired{Link: &event.LedgerLink{}, RequestId: other[:]})
	for p := range int32(testPartitions) {
		h.write(t, p, event.SystemOrg, &event.SpoolClosed{})
	}
	return log
}

// summed reads records as a log.
func summed(records []record) *Log {
	l := NewLog(testPartitions)
	var next [testPartitions]int64
	for _, r := range records {
		l.Add(r.partition, next[r.partition], r.value)
		next[r.partition]++
	}
	return l
}

func text(f *Findings) string {
	var b strings.Builder
	f.Write(&b)
	return b.String()
}

func TestGoodLog(t *testing.T) {
	l := summed(goodLog(t))
	l.Ended()
	if n := l.Findings.Count(""); n != 0 {
		t.Fatalf("unexpected defects in a good log: %d\n%s", n, text(&l.Findings))
	}
	got := l.Summary()
	want := Summary{Records: l.Records, Duplicates: l.Duplicates, Spools: 3, ClosedSpools: 1, Requests: 41, Completed: 38, Denied: 8, Abandoned: 1, Open: 1}
	if got != want || got.Duplicates == 0 {
		t.Fatalf("unexpected summary; got %+v; want %+v", got, want)
	}
	cost := int64(0)
	for n := range 38 {
		cost += int64(100 + n)
	}
	used := l.used()[window{"b1", epoch.Truncate(time.Hour).UnixNano()}]
	if want := (position{charged: cost + 2*1000}); used != want {
		t.Fatalf("unexpected use of the budget; got %+v; want %+v", used, want)
	}
}

// find returns the index of the n-th record of which the condition holds.
func find(t *testing.T, log []record, n int, condition func(ev *event.Envelope) bool) int {
	t.Helper()
	for i, r := range log {
		var ev event.Envelope
		if err := ev.UnmarshalVT(r.value); err != nil {
			t.Fatal(err)
		}
		if condition(&ev) {
			if n == 0 {
				return i
			}
			n--
		}
	}
	t.Fatal("BUG: the test's log does not hold what it looks for")
	return 0
}

func isCompleted(ev *event.Envelope) bool { return ev.GetCompleted() != nil && ev.Org == "globex" }

// TestSeededDefectsInTheLog makes one defect each and wants it found under its name.
func TestSeededDefectsInTheLog(t *testing.T) {
	f := func(kind string, spoil func(log []record) []record) {
		t.Helper()
		l := summed(spoil(goodLog(t)))
		l.Ended()
		if l.Findings.Count(kind) == 0 {
			t.Fatalf("the defect %q was not found; found were:\n%s", kind, text(&l.Findings))
		}
	}
	f("gap", func(log []record) []record {
		i := find(t, log, 5, isCompleted)
		return slices.Delete(log, i, i+1)
	})
	f("no end", func(log []record) []record {
		i := find(t, log, 5, isCompleted)
		return slices.Delete(log, i, i+1)
	})
	f("broken seal", func(log []record) []record {
		i := find(t, log, 5, isCompleted)
		log[i].value = slices.Clone(log[i].value)
		log[i].value[len(log[i].value)/3] ^= 1
		return log
	})
	// A record that was replaced by another one with a right seal: the next one does not name it.
	f("broken chain", func(log []record) []record {
		i := find(t, log, 5, isCompleted)
		seal, err := event.OpenSeal(log[i].value)
		if err != nil {
			t.Fatal(err)
		}
		var ev event.Envelope
		if err := ev.UnmarshalVT(log[i].value); err != nil {
			t.Fatal(err)
		}
		ev.GetCompleted().CostNanos++
		ev.GetCompleted().Attempts[0].CostNanos++
		ev.Pseq, ev.PrevHash, ev.Hash = 0, nil, nil
		value, err := ev.MarshalVT()
		if err != nil {
			t.Fatal(err)
		}
		log[i].value, _ = event.AppendSeal(value, 0, seal.Pseq, &seal.Prev)
		return log
	})
	f("forked chain", func(log []record) []record {
		s := newSpool(&log, 11)
		p := topic.PartitionOf("globex", testPartitions)
		s.pseq[p] = 2
		s.complete(t, "globex", 3)
		return log
	})
	f("two final records", func(log []record) []record {
		s := newSpool(&log, 14)
		s.complete(t, "globex", 3)
		return log
	})
	f("called without admission", func(log []record) []record {
		newSpool(&log, 14).complete(t, "globex", 300)
		return log
	})
	f("admitted twice", func(log []record) []record {
		newSpool(&log, 14).admit(t, "globex", 3)
		return log
	})
	f("wrong partition", func(log []record) []record {
		p := (topic.PartitionOf("acme", testPartitions) + 1) % testPartitions
		newSpool(&log, 14).write(t, p, "acme", &event.Denied{Facts: facts(200)})
		return log
	})
	f("out of order", func(log []record) []record {
		i, j := find(t, log, 5, isCompleted), find(t, log, 6, isCompleted)
		log[i], log[j] = log[j], log[i]
		return log
	})
	f("after closing", func(log []record) []record {
		i := find(t, log, 0, func(ev *event.Envelope) bool { return ev.GetSpoolClosed() != nil })
		seal, err := event.OpenSeal(log[i].value)
		if err != nil {
			t.Fatal(err)
		}
		s := newSpool(&log, 12)
		p := log[i].partition
		s.pseq[p], s.prev[p] = seal.Pseq, seal.Hash
		s.write(t, p, event.SystemOrg, &event.SpoolOpened{})
		return log
	})
	f("cost differs from its attempts", func(log []record) []record {
		s := newSpool(&log, 14)
		s.admit(t, "acme", 300)
		s.write(t, topic.PartitionOf("acme", testPartitions), "acme", &event.Completed{Facts: facts(300), CostNanos: 5, Attempts: []*event.Attempt{{CostNanos: 4}}})
		return log
	})
	f("unreadable", func(log []record) []record {
		newSpool(&log, 14).seal(0, []byte{0xff, 0xff})
		return log
	})
}

// memory are tables in memory. It begins with those that belong to a log.
type memory struct {
	archive  []ArchiveRow
	requests []RequestRow
	ledger   []LedgerRow
	budgets  []BudgetRow
	rollup   []RollupRow
}

func tablesOf(l *Log) *memory {
	m := &memory{}
	for p := range l.partitions {
		for i, mark := range l.partitions[p].marks {
			m.archive = append(m.archive, ArchiveRow{int32(p), int64(i), mark, true})
		}
	}
	minutes := map[RollupRow]Sums{}
	l.rows(func(id event.ID, o *outcome) {
		m.requests = append(m.requests, RequestRow{id, o.owner, o.kind, o.status, o.sums})
		cell := RollupRow{Owner: o.owner, Minute: o.minute}
		s := minutes[cell]
		s.add(o.sums)
		minutes[cell] = s
	})
	for cell, s := range minutes {
		cell.Sums = s
		m.rollup = append(m.rollup, cell)
	}
	for id, r := range l.requests {
		if p := r.position(); p != (position{}) {
			m.ledger = append(m.ledger, LedgerRow{id, p.held, p.charged, p.costNanos})
		}
	}
	for w, p := range l.used() {
		m.budgets = append(m.budgets, BudgetRow{w.budget, w.start, p.held, p.charged})
	}
	return m
}

func each[T any](rows []T, f func(T)) error {
	for _, r := range rows {
		f(r)
	}
	return nil
}

func (m *memory) Archive(_ context.Context, f func(ArchiveRow)) error  { return each(m.archive, f) }
func (m *memory) Requests(_ context.Context, f func(RequestRow)) error { return each(m.requests, f) }
func (m *memory) Ledger(_ context.Context, f func(LedgerRow)) error    { return each(m.ledger, f) }
func (m *memory) Budgets(_ context.Context, f func(BudgetRow)) error   { return each(m.budgets, f) }
func (m *memory) Rollup(_ context.Context, f func(RollupRow)) error    { return each(m.rollup, f) }

// TestSeededDefectsInTheTables spoils one row each and wants it found under its name.
func TestSeededDefectsInTheTables(t *testing.T) {
	l := summed(goodLog(t))
	f := func(kind string, spoil func(m *memory)) {
		t.Helper()
		m := tablesOf(l)
		spoil(m)
		var found Findings
		var table Table
		if err := l.CompareTables(context.Background(), m, &found, &table); err != nil {
			t.Fatalf("unexpected error: %s", err)
		}
		if kind == "" && found.Count("") != 0 || kind != "" && (found.Count(kind) == 0 || len(found.Kinds()) != 1) {
			t.Fatalf("unexpected findings; want only %q; got:\n%s", kind, text(&found))
		}
	}
	completed := slices.IndexFunc(tablesOf(l).requests, func(r RequestRow) bool { return r.Outcome == "ok" })
	if completed < 0 {
		t.Fatal("BUG: the test's log completes nothing")
	}
	f("", func(*memory) {})
	f("archive: record missing", func(m *memory) { m.archive = m.archive[1:] })
	f("archive: record differs", func(m *memory) { m.archive[3].Mark ^= 1 })
	f("archive: record differs", func(m *memory) { m.archive[3].Whole = false })
	f("archive: record twice", func(m *memory) { m.archive = append(m.archive, m.archive[4]) })
	f("requests: row missing", func(m *memory) { m.requests = m.requests[1:] })
	f("requests: row twice", func(m *memory) { m.requests = append(m.requests, m.requests[0]) })
	f("requests: row too many", func(m *memory) { m.requests = append(m.requests, RequestRow{ID: idOf(999)}) })
	f("requests: row differs", func(m *memory) { m.requests[0].Sums.CostNanos++ })
	f("requests: row differs", func(m *memory) { m.requests[0].Sums.Output-- })
	f("requests: row differs", func(m *memory) { m.requests[0].Owner.Key = "key-2" })
	f("requests: row differs", func(m *memory) { m.requests[0].Outcome = "timeout" })
	f("ledger: request missing", func(m *memory) { m.ledger = m.ledger[1:] })
	f("ledger: request too many", func(m *memory) { m.ledger = append(m.ledger, LedgerRow{ID: idOf(999)}) })
	f("ledger: request differs", func(m *memory) { m.ledger[0].Charged++ })
	f("ledger: request differs", func(m *memory) { m.ledger[0].CostNanos = 0; m.ledger[0].Held = 7 })
	f("ledger: budget differs", func(m *memory) { m.budgets[0].Charged-- })
	f("ledger: budget missing", func(m *memory) { m.budgets = nil })
	f("rollup: minute differs", func(m *memory) { m.rollup[0].Sums.Calls++ })
	f("rollup: minute missing", func(m *memory) { m.rollup = m.rollup[1:] })
}

func TestAnswers(t *testing.T) {
	l := summed(goodLog(t))
	f := func(kind string, lines ...string) {
		t.Helper()
		var found Findings
		if _, err := l.CompareAnswers(strings.NewReader(strings.Join(lines, "\n")), &found); err != nil {
			t.Fatalf("unexpected error: %s", err)
		}
		if kind == "" && found.Count("") != 0 || kind != "" && (found.Count(kind) != 1 || found.Count("") != 1) {
			t.Fatalf("unexpected findings; want only %q; got:\n%s", kind, text(&found))
		}
	}
	line := func(n int, class, tokens string) string {
		return fmt.Sprintf(`{"id":"%s","target":"g","status":200,"class":%q%s,"sum":"1"}`, idOf(n), class, tokens)
	}
	f("", line(3, "", `,"input":13,"output":23`), line(4, "", `,"input":14,"output":24`))
	f("", line(3, "", ""), line(38, "cut", ""), line(39, "cut", ""))
	f("", `{"id":"","status":503,"class":"status_503"}`, `{"id":"0100","status":429,"class":"status_429"}`)
	f("answers: tokens differ", line(3, "", `,"input":13,"output":24`))
	f("answers: request missing", line(900, "", `,"input":13,"output":23`))
	f("answers: id twice", line(3, "", `,"input":13,"output":23`), line(3, "", `,"input":13,"output":23`))
	f("answers: not completed", line(38, "", `,"input":1,"output":1`))
	f("answers: denied", line(100, "", `,"input":0,"output":0`))
	f("answers: no request id", `{"id":"","status":200,"class":""}`)

	if _, err := l.CompareAnswers(strings.NewReader("{}\nnonsense\n"), &Findings{}); err == nil || !strings.Contains(err.Error(), "line 2") {
		t.Fatalf("unexpected error for a line that is not JSON: %v", err)
	}
}

func TestFindingsNameTheFirst(t *testing.T) {
	var f Findings
	for i := range 100 {
		f.add("lost", "request %d", i)
	}
	if got := text(&f); !strings.HasPrefix(got, "lost: 100\n  request 0\n") || strings.Count(got, "\n") != 1+samplesMax {
		t.Fatalf("unexpected text: %s", got)
	}
}
