package ship

import (
	"context"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tallygate/tallygate/gateway/internal/spool"
)

// item is a record on its way to Kafka. Items are used again.
type item struct {
	rec        kgo.Record
	end        int64
	seq        uint64
	occurredAt int64
	round      uint64
	done       bool
}

// itemKey finds the item of a record in the record's context, which is made once.
type itemKey struct{}

var items = sync.Pool{New: func() any {
	it := &item{}
	it.rec.Context = context.WithValue(context.Background(), itemKey{}, it)
	return it
}}

// ahead is the window of records that were read and are not acknowledged yet, in
// the spool's order. Acknowledgements come in any order; the spool is told of the
// part without holes.
type ahead struct {
	mu sync.Mutex
	// window holds the items from head on.
	window []*item
	head   int
	bytes  int64
	// waiting counts items of any round whose fate is not known.
	waiting int
	// round tells apart what was sent before and after a refusal.
	round  uint64
	failed bool
	// broken has a token after a refusal; room after the window has shrunk.
	broken chan struct{}
	room   chan struct{}
}

func (a *ahead) init() {
	a.broken, a.room = make(chan struct{}, 1), make(chan struct{}, 1)
}

// begin empties the window for a round, and returns what empties it after. What is
// still under way of an earlier round ends without effect.
func (a *ahead) begin() (end func()) {
	reset := func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.window, a.head, a.bytes, a.failed = a.window[:0], 0, 0, false
		a.round++
		select {
		case <-a.broken:
		default:
		}
	}
	reset()
	return reset
}

// push waits for room and adds a record. It returns nil if ctx is done, or if a
// record of this round was refused.
func (a *ahead) push(ctx context.Context, rec spool.Record, occurredAt int64) *item {
	for {
		a.mu.Lock()
		if a.failed {
			a.mu.Unlock()
			return nil
		}
		if len(a.window)-a.head < aheadRecords && a.bytes < aheadBytes {
			break
		}
		a.mu.Unlock()
		select {
		case <-ctx.Done():
			return nil
		case <-a.room:
		case <-a.broken:
		}
	}
	defer a.mu.Unlock()
	it := items.Get().(*item)
	it.rec = kgo.Record{Context: it.rec.Context}
	it.seq, it.end, it.occurredAt, it.round, it.done = rec.Seq, rec.End, occurredAt, a.round, false
	if a.head > 0 && len(a.window) == cap(a.window) {
		n := copy(a.window, a.window[a.head:])
		clear(a.window[n:])
		a.window, a.head = a.window[:n], 0
	}
	a.window = append(a.window, it)
	a.bytes += int64(len(rec.Bytes))
	a.waiting++
	return it
}

// finish notes an item's fate and returns up to where everything is acknowledged,
// if that has moved, by count records.
func (a *ahead) finish(it *item, err error) (next uint64, pos int64, count int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.waiting--
	defer a.signal(a.room)
	if it.round != a.round {
		items.Put(it)
		return 0, 0, 0
	}
	if err != nil {
		a.failed = true
		a.signal(a.broken)
		return 0, 0, 0
	}
	it.done = true
	for a.head < len(a.window) && a.window[a.head].done {
		it := a.window[a.head]
		next, pos, count = it.seq+1, it.end, count+1
		a.bytes -= int64(len(it.rec.Value))
		a.window[a.head] = nil
		a.head++
		items.Put(it)
	}
	if a.head == len(a.window) {
		a.window, a.head = a.window[:0], 0
	}
	return next, pos, count
}

func (a *ahead) signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// settled waits until the fate of every record that was sent is known.
func (a *ahead) settled(ctx context.Context) error {
	for {
		a.mu.Lock()
		n := a.waiting
		a.mu.Unlock()
		if n == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-a.room:
		}
	}
}

// oldest returns when the oldest event in the window happened, or zero.
func (a *ahead) oldest() int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.head == len(a.window) {
		return 0
	}
	return a.window[a.head].occurredAt
}
