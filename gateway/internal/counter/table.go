package counter

import (
	"sync"
	"sync/atomic"

	"github.com/tallygate/tallygate/schemas/decide"
	"github.com/tallygate/tallygate/schemas/event"
	"github.com/tallygate/tallygate/schemas/policy"
)

// Table owns the counters of this process by rule id. It is asked when a snapshot
// is built and when the ledger has news, never on the way of a request.
type Table struct {
	// spool is this process's own: the part of a balance that it knows better.
	spool uint64

	mu      sync.Mutex
	budgets map[string]*budgetEntry
	limits  map[string]*atomic.Int64
}

// budgetEntry is all that is known of the budgets of one id. One whose kind of
// window was changed starts with a state of its own.
type budgetEntry struct {
	latest atomic.Pointer[balance]
	states map[decide.WindowKind]*budgetState
}

// NewTable returns an empty table of the process that writes the given spool.
func NewTable(spool uint64) *Table {
	return &Table{spool: spool, budgets: map[string]*budgetEntry{}, limits: map[string]*atomic.Int64{}}
}

// Budgets attaches counters to rules, in order.
func (t *Table) Budgets(rules []*policy.Budget) []*Budget {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := make([]*Budget, len(rules))
	for i, rule := range rules {
		entry := t.entry(rule.ID)
		state := entry.states[rule.Window]
		if state == nil {
			state = &budgetState{latest: &entry.latest}
			entry.states[rule.Window] = state
		}
		out[i] = &Budget{Rule: rule, state: state}
	}
	return out
}

func (t *Table) entry(id string) *budgetEntry {
	e := t.budgets[id]
	if e == nil {
		e = &budgetEntry{states: map[decide.WindowKind]*budgetState{}}
		t.budgets[id] = e
	}
	return e
}

// Limits attaches counters to rules, in order.
func (t *Table) Limits(rules []*policy.Limit) []*Limit {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := make([]*Limit, len(rules))
	for i, rule := range rules {
		cell := t.limits[rule.ID]
		if cell == nil {
			cell = new(atomic.Int64)
			t.limits[rule.ID] = cell
		}
		out[i] = &Limit{Rule: rule, cell: cell}
	}
	return out
}

// Apply takes over a balance from the ledger, unless a newer one was seen. Those
// of budgets that are not in the policy yet are kept for when they are.
func (t *Table) Apply(in *event.Balance) {
	t.mu.Lock()
	defer t.mu.Unlock()
	entry := t.entry(in.Budget)
	if old := entry.latest.Load(); old != nil && old.offset > in.Offset {
		return
	}
	bal := balanceOf(in, t.spool)
	entry.latest.Store(bal)
	for _, state := range entry.states {
		state.takeOver(bal)
	}
}
