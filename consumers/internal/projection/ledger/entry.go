package ledger

import (
	"time"

	"github.com/google/uuid"

	"github.com/tallygate/tallygate/schemas/event"
)

// Kinds of entries.
const (
	EntryHold        = "hold"
	EntryRelease     = "release"
	EntryCharge      = "charge"
	EntryProvisional = "provisional"
	EntryCorrection  = "correction"
	EntryCost        = "cost"
)

// Accounts. Within a budget's window, allowance is what the budget gives, held and
// charged what has become of it. Outside of budgets, spend is what calls cost, and
// each provider's account what it is owed.
const (
	accountAllowance = "allowance"
	accountHeld      = "held"
	accountCharged   = "charged"
	accountSpend     = "spend"
	accountProvider  = "provider:"
)

// accounts are those that each kind of entry of a budget debits and credits.
var accounts = map[string]struct{ debit, credit string }{
	EntryHold:        {accountHeld, accountAllowance},
	EntryRelease:     {accountAllowance, accountHeld},
	EntryCharge:      {accountCharged, accountAllowance},
	EntryProvisional: {accountCharged, accountAllowance},
	EntryCorrection:  {accountAllowance, accountCharged},
}

// Entry moves an amount from the credit account to the debit account of one budget's
// window; a cost entry has no budget. (Partition, Offset, N) is its identity.
type Entry struct {
	Org                    string
	Budget                 string
	WindowStart, WindowEnd int64
	RequestID              uuid.UUID
	Entry                  string
	Overdraft              bool
	Debit, Credit          string
	AmountNanos            int64
	Spool, Pseq            uint64
	Partition              int32
	Offset                 int64
	N                      int
	AppendedAt             time.Time
}

// post makes an entry in a hold's own window and moves the balance with it.
func (f *Fold) post(r *request, h *event.Hold, kind string, amountNanos int64) {
	a := accounts[kind]
	f.entries = append(f.entries, Entry{
		Org: r.org, Budget: h.Budget, WindowStart: h.WindowStart, WindowEnd: h.WindowEnd, RequestID: r.id,
		Entry: kind, Debit: a.debit, Credit: a.credit, AmountNanos: amountNanos,
	})
	b := f.budgets[h.Budget]
	if b == nil {
		b = &budget{org: r.org, windows: map[window]*balance{}}
		f.budgets[h.Budget] = b
	}
	f.dirty[h.Budget] = b
	seq := f.sequences[r.spool]
	b.move(h, a.debit, r.spool, seq != nil && seq.closed, amountNanos)
	b.move(h, a.credit, r.spool, seq != nil && seq.closed, -amountNanos)
}
