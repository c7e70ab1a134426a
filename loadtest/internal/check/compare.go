package check

import (
	"context"
	"time"

	"github.com/tallygate/tallygate/schemas/event"
)

// CompareTables compares the tables with the log. What differs is a finding; an
// error says that a table could not be read. The sums are added to t.
func (l *Log) CompareTables(ctx context.Context, tables Tables, f *Findings, t *Table) error {
	l.sum(t)
	for _, compare := range []func(context.Context, Tables, *Findings, *Table) error{
		l.compareArchive, l.compareRequests, l.compareLedger, l.compareBudgets, l.compareRollup,
	} {
		if err := compare(ctx, tables, f, t); err != nil {
			return err
		}
	}
	return nil
}

func (l *Log) compareArchive(ctx context.Context, tables Tables, f *Findings, _ *Table) error {
	seen := make([][]bool, len(l.partitions))
	for p := range l.partitions {
		seen[p] = make([]bool, len(l.partitions[p].marks))
	}
	err := tables.Archive(ctx, func(r ArchiveRow) {
		if int(r.Partition) >= len(l.partitions) || r.Offset < l.partitions[r.Partition].start {
			return // the log's start is gone; that is what the archive is for
		}
		part := &l.partitions[r.Partition]
		i := r.Offset - part.start
		switch {
		case i >= int64(len(part.marks)):
			// The log went on after it was read.
		case seen[r.Partition][i]:
			f.add("archive: record twice", "partition %d offset %d", r.Partition, r.Offset)
		case !r.Whole || r.Mark != part.marks[i]:
			f.add("archive: record differs", "partition %d offset %d", r.Partition, r.Offset)
			seen[r.Partition][i] = true
		default:
			seen[r.Partition][i] = true
		}
	})
	for p := range seen {
		for i, ok := range seen[p] {
			if !ok && l.partitions[p].marks[i] != 0 {
				f.add("archive: record missing", "partition %d offset %d", p, l.partitions[p].start+int64(i))
			}
		}
	}
	return err
}

func (l *Log) compareRequests(ctx context.Context, tables Tables, f *Findings, t *Table) error {
	want := map[event.ID]*outcome{}
	l.rows(func(id event.ID, o *outcome) { want[id] = o })
	seen := map[event.ID]bool{}
	err := tables.Requests(ctx, func(r RequestRow) {
		t.add("requests", r.Owner, r.Sums)
		w := want[r.ID]
		switch {
		case seen[r.ID]:
			f.add("requests: row twice", "request %s", r.ID)
		case w == nil:
			f.add("requests: row too many", "request %s is not in the log", r.ID)
		case w.owner != r.Owner || w.kind != r.Outcome || w.status != r.Status:
			f.add("requests: row differs", "request %s: %v %s %d; the log has %v %s %d", r.ID, r.Owner, r.Outcome, r.Status, w.owner, w.kind, w.status)
		case w.sums != r.Sums:
			f.add("requests: row differs", "request %s: %+v; the log has %+v", r.ID, r.Sums, w.sums)
		}
		seen[r.ID] = true
	})
	for id := range want {
		if !seen[id] {
			f.add("requests: row missing", "request %s", id)
		}
	}
	return err
}

func (l *Log) compareLedger(ctx context.Context, tables Tables, f *Findings, t *Table) error {
	left := map[event.ID]*request{}
	for id, r := range l.requests {
		if r.position() != (position{}) {
			left[id] = r
		}
	}
	err := tables.Ledger(ctx, func(row LedgerRow) {
		got := position{row.Held, row.Charged, row.CostNanos}
		r := l.requests[row.ID]
		delete(left, row.ID)
		if r == nil {
			f.add("ledger: request too many", "request %s is not in the log", row.ID)
			return
		}
		if want := r.position(); got != want {
			f.add("ledger: request differs", "request %s: held %d, charged %d, cost %d nanos; the log has %d, %d, %d",
				row.ID, got.held, got.charged, got.costNanos, want.held, want.charged, want.costNanos)
		}
		owner := Owner{Org: r.org}
		if o := r.row(); o != nil {
			owner = o.owner
		}
		t.add(sourceLedger, owner, Sums{CostNanos: got.costNanos})
	})
	for id := range left {
		f.add("ledger: request missing", "request %s", id)
	}
	return err
}

func (l *Log) compareBudgets(ctx context.Context, tables Tables, f *Findings, _ *Table) error {
	want := l.used()
	err := tables.Budgets(ctx, func(row BudgetRow) {
		w := window{row.Budget, row.WindowStart}
		if got := (position{held: row.Held, charged: row.Charged}); got != want[w] {
			f.add("ledger: budget differs", "budget %q from %s: held %d, charged %d nanos; the log has %d, %d", row.Budget,
				time.Unix(0, row.WindowStart).UTC().Format(time.RFC3339), got.held, got.charged, want[w].held, want[w].charged)
		}
		delete(want, w)
	})
	for w, p := range want {
		if p != (position{}) {
			f.add("ledger: budget missing", "budget %q from %s", w.budget, time.Unix(0, w.start).UTC().Format(time.RFC3339))
		}
	}
	return err
}

func (l *Log) compareRollup(ctx context.Context, tables Tables, f *Findings, t *Table) error {
	type cell struct {
		owner  Owner
		minute int64
	}
	want := map[cell]Sums{}
	l.rows(func(_ event.ID, o *outcome) {
		c := cell{o.owner, o.minute}
		s := want[c]
		s.add(o.sums)
		want[c] = s
	})
	at := func(c cell) string { return time.Unix(c.minute, 0).UTC().Format("2006-01-02 15:04") }
	err := tables.Rollup(ctx, func(r RollupRow) {
		t.add("rollup", r.Owner, r.Sums)
		c := cell{r.Owner, r.Minute}
		if want[c] != r.Sums {
			f.add("rollup: minute differs", "%v at %s: %+v; the log has %+v", c.owner, at(c), r.Sums, want[c])
		}
		delete(want, c)
	})
	for c, s := range want {
		if s != (Sums{}) {
			f.add("rollup: minute missing", "%v at %s: the log has %+v", c.owner, at(c), s)
		}
	}
	return err
}
