package run

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/tallygate/tallygate/consumers/internal/clickhouse"
	"github.com/tallygate/tallygate/consumers/internal/projection"
)

const (
	// attemptTimeout bounds one attempt to flush: it is well below the time after which
	// the group gives the partitions to others.
	attemptTimeout = 30 * time.Second
	// requestTimeout bounds one question to Kafka.
	requestTimeout = 10 * time.Second
	// insertsAtOnce bounds the load on ClickHouse.
	insertsAtOnce = 4
	// followPause is the time between two looks at the progress of a projection that is followed.
	followPause = 100 * time.Millisecond
)

// flush brings batches into the tables. If a step fails for a lane, its batch is
// kept as it is and tried again later from that step; if the process dies instead,
// its successor makes the same batch again.
func (e *Engine) flush(ctx context.Context, due []*lane) {
	if len(due) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	begin := time.Now()

	// 1. Set aside what could not be read. If the process dies here, it is set aside
	// once more: whoever reads dead letters knows them by their position.
	due = e.each(due, "set records aside", func(l *lane) error {
		if err := e.setAside(ctx, l.batch.dead); err != nil {
			return err
		}
		l.batch.dead = nil
		return nil
	})

	// 2. Note the range: commit where it begins, with its end as metadata. From here on
	// whoever takes the partition over makes exactly this batch first.
	toNote := slices.DeleteFunc(slices.Clone(due), func(l *lane) bool { return l.batch.step != collecting || l.batch.rows.Len() == 0 })
	noteErrs := e.commit(ctx, toNote, func(l *lane) (int64, string) { return l.batch.first, noteText(l.batch.end) })
	due = e.each(due, "note a batch in Kafka", func(l *lane) error {
		if err := noteErrs[l]; err != nil {
			return err
		}
		l.batch.step = max(l.batch.step, noted)
		return nil
	})

	// 3. Insert under a token made of the range. If the answer is lost, or the process
	// dies, the same rows come again under the same token, and change nothing.
	due = e.insertAll(ctx, due)

	// 4. Commit the end. If that fails, the rows are inserted again by whoever has the
	// partition then, under the same token.
	commitErrs := e.commit(ctx, due, func(l *lane) (int64, string) { return l.batch.end, "" })
	due = e.each(due, "commit a batch to Kafka", func(l *lane) error { return commitErrs[l] })

	for _, l := range due {
		e.metrics.rows.Add(l.batch.rows.Len())
		e.metrics.batches.Inc()
		l.done()
	}
	fault := ""
	for _, l := range e.lanes {
		if l.failures > 0 {
			fault = "cannot flush: " + l.fault
		}
	}
	e.setFault(fault)
	e.metrics.flushes.UpdateDuration(begin)
}

// each runs one step for each lane and returns those for which it succeeded.
func (e *Engine) each(lanes []*lane, what string, do func(*lane) error) []*lane {
	var ok []*lane
	for _, l := range lanes {
		if err := do(l); err != nil {
			e.failed(l, what, err)
			continue
		}
		ok = append(ok, l)
	}
	return ok
}

func (e *Engine) failed(l *lane, what string, err error) {
	l.failed(time.Now())
	l.fault = what + " failed"
	e.metrics.retries.Inc()
	e.log.Warn(what, "cannot "+what+"; trying on", "projection", e.projection.Name(), "topic", l.topic, "partition", l.partition,
		"first", l.batch.first, "end", l.batch.end, "attempt", l.failures, "error", err)
}

// insertAll inserts the batches of several lanes at once.
func (e *Engine) insertAll(ctx context.Context, lanes []*lane) []*lane {
	errs := make(map[*lane]error, len(lanes))
	var mu sync.Mutex
	var wg sync.WaitGroup
	slots := make(chan struct{}, insertsAtOnce)
	for _, l := range lanes {
		if l.batch.step == inserted {
			continue
		}
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			err := e.insert(ctx, l)
			mu.Lock()
			defer mu.Unlock()
			errs[l] = err
		})
	}
	wg.Wait()
	return e.each(lanes, "write a batch to ClickHouse", func(l *lane) error {
		if err := errs[l]; err != nil {
			return err
		}
		l.batch.step = inserted
		return nil
	})
}

func (e *Engine) insert(ctx context.Context, l *lane) error {
	b := &l.batch
	if b.rows.Len() == 0 {
		return nil
	}
	if w, ok := e.projection.(projection.Writer); ok {
		return w.Write(ctx, e.store, b.rows.All(), b.end)
	}
	return e.insertRange(ctx, l, b.first, b.end)
}

// insertRange inserts a part of a batch. If ClickHouse rejects the rows, it halves
// the part until one record is to blame, and sets that aside. The halves have tokens
// of their own ranges, so that a repetition meets the same ones.
func (e *Engine) insertRange(ctx context.Context, l *lane, first, end int64) error {
	rows := l.batch.rows.Between(first, end)
	if len(rows) == 0 {
		return nil
	}
	token := fmt.Sprintf("%s:%d:%d-%d", l.topic, l.partition, first, end-1)
	err := e.store.Insert(ctx, token, rows)
	if !errors.Is(err, clickhouse.ErrRejected) {
		return err
	}
	offsets := l.batch.rows.Offsets(first, end)
	if len(offsets) == 1 {
		return e.setAside(ctx, []deadRecord{{l.batch.record(offsets[0]), err.Error()}})
	}
	middle := offsets[len(offsets)/2]
	if err := e.insertRange(ctx, l, first, middle); err != nil {
		return err
	}
	return e.insertRange(ctx, l, middle, end)
}
