package ledger

import (
	"bytes"
	"cmp"
	"slices"
	"time"

	"github.com/tallygate/tallygate/schemas/event"
)

// expiries are the requests with open holds, as a heap: the one that ends first is first.
type expiries []*request

func (x expiries) Len() int           { return len(x) }
func (x expiries) Less(i, j int) bool { return before(x[i], x[j]) < 0 }
func (x expiries) Swap(i, j int) {
	x[i], x[j] = x[j], x[i]
	x[i].place, x[j].place = i, j
}

// Push implements heap.Interface.
func (x *expiries) Push(v any) {
	r := v.(*request)
	r.place = len(*x)
	*x = append(*x, r)
}

// Pop implements heap.Interface.
func (x *expiries) Pop() any {
	old := *x
	r := old[len(old)-1]
	old[len(old)-1] = nil
	*x = old[:len(old)-1]
	return r
}

// before orders requests by the end of their holds, then by id: never by the order of a map.
func before(a, b *request) int {
	return cmp.Or(cmp.Compare(a.until, b.until), bytes.Compare(a.id[:], b.id[:]))
}

// Expiry is a HoldExpired that may be appended, and the org it belongs to.
type Expiry struct {
	Org   string
	Event *event.HoldExpired
}

// Expired returns up to n requests whose holds ended before the fold's time less
// the grace, the longest ended first, as the events that a ledger appends for them,
// without their links.
func (f *Fold) Expired(grace time.Duration, n int) []Expiry {
	if !f.endedBy(f.now, grace) {
		return nil
	}
	var ended []*request
	for _, r := range f.expiries {
		if r.until < f.now-int64(grace) {
			ended = append(ended, r)
		}
	}
	slices.SortFunc(ended, before)
	var out []Expiry
	for _, r := range ended[:min(n, len(ended))] {
		x := Expiry{Org: r.org, Event: &event.HoldExpired{RequestId: r.id[:]}}
		for _, h := range r.holds {
			x.Event.Settlements = append(x.Event.Settlements, &event.Settlement{Hold: h, AmountNanos: h.AmountNanos})
		}
		out = append(out, x)
	}
	return out
}

// TickDue says if open holds have ended by the given clock while the fold's time,
// which only records move, does not show it yet.
func (f *Fold) TickDue(clock time.Time, grace time.Duration) bool {
	return f.endedBy(clock.UnixNano(), grace) && !f.endedBy(f.now, grace)
}

func (f *Fold) endedBy(nanos int64, grace time.Duration) bool {
	return len(f.expiries) > 0 && f.expiries[0].until < nanos-int64(grace)
}
