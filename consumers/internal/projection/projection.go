// Package projection says what a projection is: a pure function from the log's
// records to the rows of its own tables.
package projection

import (
	"context"
	"slices"
	"time"
)

// Projection turns events into the rows of its own tables. Apply is pure: the same
// records give the same rows, with no clock, network or random source, so that a
// table can be dropped and rebuilt from the log.
type Projection interface {
	// Name is the consumer group, the metric label and the folder.
	Name() string
	// Topics are what it reads.
	Topics() []string
	// Apply adds the rows of one record. An error says that the record itself is
	// unusable; it goes to the dead letter topic, and the rows it added are dropped.
	Apply(rows *Rows, rec *Record) error
}

// Folder is a projection whose rows depend on everything before them in the
// partition. Whoever runs it calls Refold when a partition is taken over, and then
// Apply with the partition's records from the start of the log.
type Folder interface {
	Refold(topic string, partition int32)
}

// Follower is a projection that reads the tables of another one. Its batches wait
// until the other has committed past them.
type Follower interface {
	// Follows returns the name of the other projection.
	Follows() string
}

// Writer is a projection that brings its tables up to date by statements of its
// own, instead of having its rows inserted.
type Writer interface {
	// Write must be repeatable: after a crash it is called again with the same rows.
	// end is the offset after the last record of the batch.
	Write(ctx context.Context, db Executor, rows []Row, end int64) error
}

// Executor runs statements in ClickHouse.
type Executor interface {
	Exec(ctx context.Context, query string, args ...any) error
}

// Row is one row of a table: a struct whose fields carry the columns' names in `ch` tags.
type Row interface {
	Table() string
	// Month is the month, as 202601, of the table's partition that the row falls into:
	// an insert is atomic, and deduplicated, within one.
	Month() int
}

// Rows collects the rows of a batch, each with the offset of the record it came from.
type Rows struct {
	rows    []Row
	offsets []int64
	current int64
}

// Add adds a row of the record that is being applied.
func (r *Rows) Add(row Row) {
	r.rows = append(r.rows, row)
	r.offsets = append(r.offsets, r.current)
}

// Apply runs a projection over one record. If that fails, the rows are as before.
func (r *Rows) Apply(p Projection, rec *Record) error {
	n := len(r.rows)
	r.current = rec.Offset
	if err := p.Apply(r, rec); err != nil {
		clear(r.rows[n:])
		r.rows, r.offsets = r.rows[:n], r.offsets[:n]
		return err
	}
	return nil
}

// All returns the rows in the order in which they were added, until the next change.
func (r *Rows) All() []Row { return r.rows }

// Len is the number of rows.
func (r *Rows) Len() int { return len(r.rows) }

// Between returns the rows of the records with first ≤ offset < end.
func (r *Rows) Between(first, end int64) []Row {
	from, to := r.span(first, end)
	return r.rows[from:to]
}

// Offsets returns the offsets, in order and each once, of the records with
// first ≤ offset < end that gave rows.
func (r *Rows) Offsets(first, end int64) []int64 {
	from, to := r.span(first, end)
	return slices.Compact(slices.Clone(r.offsets[from:to]))
}

func (r *Rows) span(first, end int64) (from, to int) {
	from, _ = slices.BinarySearch(r.offsets, first)
	to, _ = slices.BinarySearch(r.offsets, end)
	return from, max(from, to)
}

// Reset empties the collection and keeps its memory.
func (r *Rows) Reset() {
	clear(r.rows)
	r.rows, r.offsets = r.rows[:0], r.offsets[:0]
}

// MonthOf returns the month of a moment in UTC, as 202601.
func MonthOf(t time.Time) int {
	t = t.UTC()
	return t.Year()*100 + int(t.Month())
}
