package run

import (
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tallygate/tallygate/consumers/internal/projection"
	"github.com/tallygate/tallygate/schemas/config"
)

// Back-off after a failed flush.
const (
	retryMin = 250 * time.Millisecond
	retryMax = 30 * time.Second
)

// lane is the way of one partition's records into one batch after the other.
type lane struct {
	place
	// committed is what the group has committed, or -1.
	committed int64
	// redo is the end of a batch that a predecessor may have inserted without
	// committing: the first batch must end there, so that it is the same. Zero if there is none.
	redo int64
	// folds says that records before committed are applied as well, for the state that they leave.
	folds bool
	// queue is what was polled and is in no batch yet. While there is any, the
	// partition is not fetched, so that it is at most what one poll hands over.
	queue   []*kgo.Record
	batch   batch
	scratch projection.Rows
	// failures counts the attempts at the batch that failed; fault is the last one.
	failures      int
	fault         string
	retryAt       time.Time
	paused        bool
	highWatermark int64
}

// batch is a range of a partition, first ≤ offset < end, and the rows it gives.
type batch struct {
	first, end int64
	rows       projection.Rows
	records    []*kgo.Record
	// dead are the records that go to the dead letter topic, with the reason.
	dead  []deadRecord
	bytes int64
	since time.Time
	step  step
}

// step is how far a batch has come. Once its range is noted it does not grow.
type step int

const (
	collecting step = iota
	noted
	inserted
)

func newLane(at place, n note, folds bool) *lane {
	l := &lane{place: at, committed: n.committed, redo: n.end, folds: folds}
	l.batch.reset(n.committed)
	return l
}

func (b *batch) reset(first int64) {
	b.rows.Reset()
	clear(b.records)
	*b = batch{first: first, end: first, rows: b.rows, records: b.records[:0]}
}

// empty says that no record is in the batch, read or dead.
func (b *batch) empty() bool { return len(b.records) == 0 }

// fill moves records from the queue into the batch until it is full.
func (e *Engine) fill(l *lane, now time.Time) {
	for len(l.queue) > 0 && l.batch.step == collecting && !l.full(e.cfg) {
		r := l.queue[0]
		if l.redo > 0 && r.Offset >= l.redo {
			if !l.batch.empty() {
				l.batch.end = l.redo
				return
			}
			l.redo = 0 // The log has nothing of the range any more.
		}
		l.queue[0] = nil
		l.queue = l.queue[1:]
		if r.Offset < l.committed {
			e.refold(l, r)
			continue
		}
		if l.batch.first < 0 {
			l.batch.first = r.Offset
		}
		if l.batch.empty() {
			l.batch.since = now
		}
		l.batch.records = append(l.batch.records, r)
		l.batch.bytes += int64(len(r.Value))
		l.batch.end = r.Offset + 1
		if err := e.apply(&l.batch.rows, r); err != nil {
			l.batch.dead = append(l.batch.dead, deadRecord{r, err.Error()})
		}
	}
	if len(l.queue) == 0 {
		l.queue = nil
	}
}

// refold applies a record whose rows are in the table already.
func (e *Engine) refold(l *lane, r *kgo.Record) {
	if l.folds {
		_ = e.apply(&l.scratch, r) // What cannot be read was set aside when it was met first.
		l.scratch.Reset()
	}
}

func (e *Engine) apply(rows *projection.Rows, r *kgo.Record) error {
	rec, err := projection.Read(r.Topic, r.Partition, r.Offset, r.Timestamp, r.Value)
	if err != nil {
		return err
	}
	return rows.Apply(e.projection, rec)
}

// full says that the batch must be cut before the next record.
func (l *lane) full(cfg config.Consumers) bool {
	b := &l.batch
	if l.redo > 0 {
		return b.end >= l.redo
	}
	return b.rows.Len() >= cfg.BatchRows || b.bytes >= cfg.BatchBytes || len(b.records) >= cfg.BatchRows
}

// dueAt returns when the batch should be flushed, if it has anything to flush.
func (l *lane) dueAt(cfg config.Consumers) (time.Time, bool) {
	b := &l.batch
	switch {
	case b.empty():
		return time.Time{}, false
	case l.failures > 0:
		return l.retryAt, true
	case l.full(cfg) || b.step != collecting:
		return b.since, true
	case l.redo > 0:
		return time.Time{}, false // The rest of the range is still to come.
	}
	return b.since.Add(cfg.FlushInterval), true
}

func (l *lane) due(now time.Time, cfg config.Consumers, stopping bool) bool {
	at, ok := l.dueAt(cfg)
	return ok && (stopping || !now.Before(at))
}

// failed puts the next attempt off: longer each time.
func (l *lane) failed(now time.Time) {
	wait := retryMax
	if l.failures < 7 {
		wait = retryMin << l.failures
	}
	l.failures++
	l.retryAt = now.Add(wait)
}

// done makes room for the next batch.
func (l *lane) done() {
	l.committed, l.redo, l.failures = l.batch.end, 0, 0
	l.batch.reset(l.committed)
}
