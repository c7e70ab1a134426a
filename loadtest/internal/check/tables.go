package check

import (
	"context"

	"github.com/tallygate/tallygate/schemas/event"
)

// Tables are what the consumers wrote. Each method calls f for every row; rows
// that a table holds in several versions count once, as its engine says.
type Tables interface {
	// Archive gives the rows of events.
	Archive(ctx context.Context, f func(ArchiveRow)) error
	// Requests gives the rows of requests.
	Requests(ctx context.Context, f func(RequestRow)) error
	// Ledger gives the sums of ledger_entries by request.
	Ledger(ctx context.Context, f func(LedgerRow)) error
	// Budgets gives the sums of ledger_entries by budget and window.
	Budgets(ctx context.Context, f func(BudgetRow)) error
	// Rollup gives the sums of rollup_minute by org, key and minute.
	Rollup(ctx context.Context, f func(RollupRow)) error
}

// ArchiveRow is the position of one archived record. Mark is the last eight of its
// bytes, little-endian; Whole says that the bytes hash to what the record says.
type ArchiveRow struct {
	Partition int32
	Offset    int64
	Mark      uint64
	Whole     bool
}

// RequestRow is one outcome.
type RequestRow struct {
	ID      event.ID
	Owner   Owner
	Outcome string
	Status  uint32
	Sums    Sums
}

// LedgerRow is what the ledger says of one request: what is held and charged, over
// all budgets, and what it cost.
type LedgerRow struct {
	ID                       event.ID
	Held, Charged, CostNanos int64
}

// BudgetRow is what the ledger says of one window of one budget.
type BudgetRow struct {
	Budget        string
	WindowStart   int64 // nanoseconds since the Unix epoch
	Held, Charged int64
}

// RollupRow is what the rollup says of one minute, in seconds since the Unix epoch.
type RollupRow struct {
	Owner  Owner
	Minute int64
	Sums   Sums
}
