package ledger

import (
	"maps"
	"slices"
	"time"

	"github.com/tallygate/tallygate/schemas/event"
)

// keepAfterEnd is how long the balance of a window that has ended is remembered.
// Entries do not need it: they come from the requests.
const keepAfterEnd = int64(48 * time.Hour)

// budget has the balances of one budget, by window.
type budget struct {
	org     string
	windows map[window]*balance
	// current is the window of the request that came last, and touched when it came.
	// It is the one that is published. A window is not chosen by its start: that of a
	// month begins before that of a day, if the budget's kind was changed.
	current window
	touched int64
}

type window struct{ start, end int64 }

// balance is what one budget has used in one window, and the part of each live spool.
type balance struct {
	settled, held int64
	parts         map[uint64]*part
}

type part struct{ settled, held int64 }

// move adds an amount to an account. The part of a closed spool is in the totals only.
func (b *budget) move(h *event.Hold, account string, spool uint64, closed bool, amountNanos int64) {
	w := window{h.WindowStart, h.WindowEnd}
	bal := b.windows[w]
	if bal == nil {
		bal = &balance{parts: map[uint64]*part{}}
		b.windows[w] = bal
		if len(b.windows) == 1 {
			b.current = w
		}
	}
	p := bal.parts[spool]
	if p == nil {
		p = &part{}
		if !closed {
			bal.parts[spool] = p
		}
	}
	switch account {
	case accountHeld:
		bal.held += amountNanos
		p.held += amountNanos
	case accountCharged:
		bal.settled += amountNanos
		p.settled += amountNanos
	}
}

// touch makes the window of a request that came at a moment the current one, if none
// came later. The moment is never after the fold's time, so that a wrong clock does
// not keep a window in place.
func (b *budget) touch(h *event.Hold, at int64) {
	w := window{h.WindowStart, h.WindowEnd}
	if at < b.touched || w == b.current {
		b.touched = max(b.touched, at)
		return
	}
	b.current, b.touched = w, at
	maps.DeleteFunc(b.windows, func(w window, bal *balance) bool {
		return w != b.current && bal.held == 0 && at-keepAfterEnd > w.end
	})
}

// closeParts moves what a closed spool had into the totals only: no process asks for it any more.
func (f *Fold) closeParts(spool uint64) {
	for id, b := range f.budgets {
		for w, bal := range b.windows {
			if _, ok := bal.parts[spool]; ok {
				delete(bal.parts, spool)
				if w == b.current {
					f.dirty[id] = b
				}
			}
		}
	}
}

// Dirty says if a balance changed since TakeChanged.
func (f *Fold) Dirty() bool { return len(f.dirty) > 0 }

// TakeChanged returns the balances of the current windows that changed since the
// last call, by budget. They are absolute.
func (f *Fold) TakeChanged() []*event.Balance {
	ids := slices.Sorted(maps.Keys(f.dirty))
	out := make([]*event.Balance, 0, len(ids))
	for _, id := range ids {
		out = append(out, f.balanceOf(id, f.dirty[id], f.dirty[id].current))
	}
	clear(f.dirty)
	return out
}

// MarkChanged makes balances count as changed again, whose publication failed.
func (f *Fold) MarkChanged(list []*event.Balance) {
	for _, b := range list {
		f.dirty[b.Budget] = f.budgets[b.Budget]
	}
}

// Balances returns the balances of all windows that are remembered, in a fixed order.
func (f *Fold) Balances() []*event.Balance {
	var out []*event.Balance
	for _, id := range slices.Sorted(maps.Keys(f.budgets)) {
		b := f.budgets[id]
		windows := slices.SortedFunc(maps.Keys(b.windows), func(x, y window) int {
			if x.start != y.start {
				return int(min(max(x.start-y.start, -1), 1))
			}
			return int(min(max(x.end-y.end, -1), 1))
		})
		for _, w := range windows {
			out = append(out, f.balanceOf(id, b, w))
		}
	}
	return out
}

func (f *Fold) balanceOf(id string, b *budget, w window) *event.Balance {
	bal := b.windows[w]
	out := &event.Balance{
		Budget: id, Org: b.org, WindowStart: w.start, WindowEnd: w.end, SettledNanos: bal.settled, HeldNanos: bal.held,
		Partition: uint32(f.partition), Offset: f.next, Incomplete: f.gaps > 0,
	}
	for _, spool := range slices.Sorted(maps.Keys(bal.parts)) {
		p := bal.parts[spool]
		part := &event.SpoolPart{Spool: spool, SettledNanos: p.settled, HeldNanos: p.held}
		if seq := f.sequences[spool]; seq != nil {
			part.AppliedPseq = seq.seen
		}
		out.Parts = append(out.Parts, part)
	}
	return out
}
