package ledger

import (
	"time"

	"github.com/google/uuid"

	"github.com/tallygate/tallygate/consumers/internal/projection"
	"github.com/tallygate/tallygate/schemas/topic"
)

// Name of the projection.
const Name = "ledger"

// Ledger is the projection that keeps the entries. It has one fold per partition,
// and is fed each partition from the start of the log.
type Ledger struct {
	folds map[int32]*Fold
}

// NewLedger returns a ledger without partitions.
func NewLedger() *Ledger { return &Ledger{folds: map[int32]*Fold{}} }

// Name implements projection.Projection.
func (*Ledger) Name() string { return Name }

// Topics implements projection.Projection.
func (*Ledger) Topics() []string { return []string{topic.Requests} }

// Refold implements projection.Folder.
func (l *Ledger) Refold(_ string, partition int32) { l.folds[partition] = New(partition) }

// Apply adds the record's entries.
func (l *Ledger) Apply(rows *projection.Rows, rec *projection.Record) error {
	f := l.folds[rec.Partition]
	if f == nil {
		panic("BUG: a record of a partition that was not begun")
	}
	for _, e := range f.Apply(rec) {
		rows.Add(rowOf(&e))
	}
	clear(f.dirty) // Publishing balances is the keeper's work.
	return nil
}

// EntryRow is a row of the table ledger_entries.
type EntryRow struct {
	Org         string    `ch:"org"`
	Budget      string    `ch:"budget"`
	WindowStart time.Time `ch:"window_start"`
	WindowEnd   time.Time `ch:"window_end"`
	RequestID   uuid.UUID `ch:"request_id"`
	Entry       string    `ch:"entry"`
	Overdraft   bool      `ch:"overdraft"`
	Debit       string    `ch:"debit"`
	Credit      string    `ch:"credit"`
	AmountNanos int64     `ch:"amount_nanos"`
	Spool       uint64    `ch:"spool"`
	Pseq        uint64    `ch:"pseq"`
	Partition   uint32    `ch:"partition"`
	Offset      uint64    `ch:"offset"`
	N           uint16    `ch:"n"`
	AppendedAt  time.Time `ch:"appended_at"`
}

// Table implements projection.Row.
func (*EntryRow) Table() string { return "ledger_entries" }

// Month implements projection.Row.
func (r *EntryRow) Month() int { return projection.MonthOf(r.AppendedAt) }

func rowOf(e *Entry) *EntryRow {
	return &EntryRow{
		Org: e.Org, Budget: e.Budget, WindowStart: projection.Moment(e.WindowStart), WindowEnd: projection.Moment(e.WindowEnd),
		RequestID: e.RequestID, Entry: e.Entry, Overdraft: e.Overdraft, Debit: e.Debit, Credit: e.Credit, AmountNanos: e.AmountNanos,
		Spool: e.Spool, Pseq: e.Pseq, Partition: uint32(e.Partition), Offset: uint64(e.Offset), N: uint16(e.N), AppendedAt: e.AppendedAt,
	}
}
