// Package counter holds the live numbers that rules are asked about: money per
// budget and window, and the cells of rate limits. Counters outlive policy
// snapshots; everything here is safe for concurrent use and takes no lock on the
// way of a request.
package counter

import (
	"sync/atomic"

	"github.com/tallygate/tallygate/schemas/decide"
	"github.com/tallygate/tallygate/schemas/event"
	"github.com/tallygate/tallygate/schemas/policy"
)

// Budget is a budget's rule with its live state. The rule is of one snapshot, the
// state is shared with the same budget in later ones.
type Budget struct {
	Rule  *policy.Budget
	state *budgetState
}

type budgetState struct {
	// current is the window in use. It is replaced when time has moved on; holds
	// keep a pointer to the one they were made in.
	current atomic.Pointer[Window]
	// latest is what the ledger last said of the budget, of whichever window.
	latest *atomic.Pointer[balance]
}

// balance is the part of an event.Balance that a replica needs.
type balance struct {
	start, end int64
	// others is settled + held of everybody but this process, in nano-dollars.
	others int64
	// offset is where in the log it was true: an older one never replaces a newer one.
	offset int64
}

func (b *balance) isOf(w *Window) bool { return b != nil && b.start == w.Start && b.end == w.End }

// Window is the live state of one budget in one window.
type Window struct {
	decide.Window
	// own is what this process has settled and holds, in nano-dollars.
	own atomic.Int64
	// others is the same for all other processes, as the ledger last counted it.
	others atomic.Int64
}

// Used is settled + held over all replicas, in nano-dollars.
func (w *Window) Used() int64 { return w.others.Load() + w.own.Load() }

// At returns the budget's window at a moment (nanoseconds since the Unix epoch).
func (b *Budget) At(now int64) *Window {
	for {
		w := b.state.current.Load()
		if w != nil && w.Contains(now) {
			return w
		}
		if w != nil && now < w.Start {
			// The clock went back over the border. The window that has begun stays in use.
			return w
		}
		next := &Window{Window: b.Rule.Window.At(now)}
		if bal := b.state.latest.Load(); bal.isOf(next) {
			next.others.Store(bal.others)
		}
		if b.state.current.CompareAndSwap(w, next) {
			// A balance that came in between went to the old window.
			if bal := b.state.latest.Load(); bal.isOf(next) {
				next.others.Store(bal.others)
			}
			return next
		}
	}
}

// Hold reserves an amount in the window if the budget affords it. used is what
// was taken before it. Both are nano-dollars.
func (b *Budget) Hold(w *Window, amount int64) (used int64, ok bool) {
	for {
		own := w.own.Load()
		used = w.others.Load() + own
		if !decide.Afford(b.Rule.CapNanos, used, amount) {
			return used, false
		}
		if w.own.CompareAndSwap(own, own+amount) {
			return used, true
		}
	}
}

// Settle replaces a hold by what was really spent. Both are nano-dollars; spent
// is zero for a hold that is only given back.
func (w *Window) Settle(held, spent int64) { w.own.Add(spent - held) }

// balanceOf reads what the ledger says as the process that writes the given spool sees it.
func balanceOf(in *event.Balance, spool uint64) *balance {
	out := &balance{start: in.WindowStart, end: in.WindowEnd, others: in.SettledNanos + in.HeldNanos, offset: in.Offset}
	for _, part := range in.Parts {
		if part.Spool == spool {
			out.others -= part.SettledNanos + part.HeldNanos
		}
	}
	return out
}

// takeOver makes the window in use agree with the balance, if it is of that window.
func (b *budgetState) takeOver(bal *balance) {
	if w := b.current.Load(); w != nil && bal.isOf(w) {
		w.others.Store(bal.others)
	}
}
